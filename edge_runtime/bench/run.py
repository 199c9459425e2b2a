"""One run of `anomalite bench`: every engine and variant that runs here, one after the other."""

from __future__ import annotations

from os import PathLike

from edge_runtime.bench.result import Bench


def measure(
    path: str | PathLike[str], *, engine: str = "all", variant: str | None = None, seconds: float = 10.0
) -> Bench:
    """Measure a bundle on this machine."""
    raise NotImplementedError
