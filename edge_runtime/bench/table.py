"""What was measured, as lines for people."""

from __future__ import annotations

from edge_runtime.bench.result import Bench


def lines(bench: Bench) -> list[str]:
    """The table."""
    return [bench.bundle]
