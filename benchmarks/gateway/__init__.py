"""The proofs of the gateway: killed at random, loaded, watched for weeks, weighed. `python -m benchmarks gateway --help`."""
