"""The commands that run on the device, one module each: `main(arguments) -> exit status`."""
