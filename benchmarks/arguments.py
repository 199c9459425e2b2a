"""What several benchmarks take on the command line."""

from __future__ import annotations

import argparse


def at_least_one(text: str) -> int:
    """A number of rounds, readings or the like."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text!r}")
    return int(text)
