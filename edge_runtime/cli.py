"""The command `anomalite`: finds the subcommand and turns every failure into one line and an exit status.

0: done; 1: anomalies found, where asked (`--fail-on-anomaly`); 2: wrong use or bad input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from edge_runtime.errors import AnomaliteError, OutputError

COMMANDS = {
    "train": ("training.cli", "train a detector from a configuration; writes a run directory"),
    "export": ("export.cli", "turn a run directory into one verified file, NAME.anomalite"),
    "score": ("edge_runtime.commands.score", "score a table or a stream of readings with a bundle"),
    "evaluate": ("training.evaluate_cli", "judge a bundle by labelled readings or a run to failure"),
    "serve": (
        "edge_runtime.commands.serve",
        "watch many machines for months: MQTT in, alerts out, a status page (extra gateway)",
    ),
    "replay": ("edge_runtime.commands.replay", "compute an alert of the gateway again, bit for bit"),
    "bench": ("edge_runtime.commands.bench", "measure latency, memory and start-up of a bundle on this machine"),
    "inspect": ("edge_runtime.commands.inspect", "say what a bundle holds and where it comes from"),
    "verify": ("edge_runtime.commands.verify", "prove a bundle whole and its variants right on this machine"),
}
"""Each command's module, whose `main(arguments) -> exit status` runs it, and what it does."""

EXIT_DONE, EXIT_ANOMALIES, EXIT_BAD_INPUT = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `anomalite` with the given arguments (default: the process's); returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stdout is None:  # closed by whoever started this process: nobody reads it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open
    try:
        status = _run(arguments)
        flush()
        return status
    except AnomaliteError as fault:
        return _fail(str(fault))
    except KeyboardInterrupt:
        return _fail("interrupted")
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop_output()
        return EXIT_DONE


def write(line: str) -> None:
    """Print a line on standard output. Raises `OutputError` if it cannot take it."""
    try:
        try:
            sys.stdout.write(line + "\n")
        except UnicodeEncodeError:  # a terminal without "°"
            encoding = sys.stdout.encoding
            sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise OutputError(f"standard output: cannot be written: {fault.strerror}") from None


def flush() -> None:
    """Hand on what was printed so far. Raises `OutputError` if standard output cannot take it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise OutputError(f"standard output: cannot be written: {fault.strerror}") from None


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        write(_usage())
        return EXIT_DONE if arguments else EXIT_BAD_INPUT
    if arguments[0] == "--version":
        from importlib.metadata import PackageNotFoundError, version

        try:
            write(f"anomalite {version('anomalite')}")
        except PackageNotFoundError:
            write("anomalite, run from its source, not installed")
        return EXIT_DONE
    if arguments[0] not in COMMANDS:
        return _fail(f"unknown command {arguments[0]!r}, known: {', '.join(COMMANDS)}")
    try:
        status: int = import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    except SystemExit:  # argparse, after --help or wrong use
        flush()
        raise
    return status


def _usage() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: anomalite COMMAND ...",
            "",
            "Anomaly detection for machines, small enough for the gateway next to them.",
            "",
            *lines,
            "",
            "anomalite COMMAND --help shows what a command takes, with an example.",
        ]
    )


def _fail(message: str) -> int:
    """Say what is wrong on one line."""
    try:
        flush()
    except (OutputError, BrokenPipeError):
        _drop_output()
    print(f"anomalite: {' '.join(message.splitlines())}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _drop_output() -> None:
    """Keep Python from writing what is left once more, and complaining, when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
