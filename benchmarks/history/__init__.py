"""What the runtime has cost, commit by commit: asv's suites, one module each, and `python -m benchmarks history`, which runs them.

The suites measure with `benchmarks.history.subjects`, whose bundles the command makes first, so that TensorFlow is in none of the
processes measured. Results are those of one machine and of no use on another.
"""
