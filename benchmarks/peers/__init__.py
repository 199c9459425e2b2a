"""The peers: what one would use instead, and ours, side by side in one run. `python -m benchmarks peers`."""
