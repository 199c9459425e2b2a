"""How time and memory grow: `python -m benchmarks scaling`."""
