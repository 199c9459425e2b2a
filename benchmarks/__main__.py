"""`python -m benchmarks [runtime | targets | detection | instructions | window_length | imports] ...`: what the runtime costs, and what the detectors are worth."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "runtime": "benchmarks.runtime",
    "detection": "benchmarks.detection.command",
    "instructions": "benchmarks.instructions",
    "window_length": "benchmarks.window_length",
    "targets": "benchmarks.targets",
    "imports": "benchmarks.imports",
}
"""Each benchmark's module, whose `main(arguments) -> exit status` runs it. The first is the default."""


def main() -> int:
    """Run the benchmark that the first argument names; returns the exit status."""
    arguments = sys.argv[1:]
    name = arguments.pop(0) if arguments and arguments[0] in COMMANDS else next(iter(COMMANDS))
    status: int = import_module(COMMANDS[name]).main(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
