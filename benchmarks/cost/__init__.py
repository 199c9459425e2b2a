"""Instructions of windows, readings and starts on emulated boards, held to `benchmarks/baseline.json`: `python -m benchmarks cost`."""
