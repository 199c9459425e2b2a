"""Which of the measured variants to run here, and the file beside the bundle that makes `load` take it."""

from __future__ import annotations

from os import PathLike

from edge_runtime.bench.compare import MEMORY_MB, typical_ratio
from edge_runtime.bench.result import Bench, Result, name_of
from edge_runtime.bench.table import AS_FAST
from edge_runtime.choice import FORMAT, Choice, write_choice
from edge_runtime.cpu import board_name, cpu_kind
from edge_runtime.errors import EngineError


def choose(path: str | PathLike[str], bench: Bench) -> tuple[Choice, str]:
    """Write what was the fastest beside the bundle at `path` that `bench` measured on this machine; returns it and the file's path.

    Raises `EngineError` if nothing passed parity, or an emulator ran it; `OutputError`.
    """
    if bench.device.emulated:
        raise EngineError(
            f"{path}: nothing is chosen: an emulator ran this, and its times are no board's; choose on the board"
        )
    best = fastest(bench)
    versions = {"python": bench.device.python, "numpy": bench.device.numpy, **bench.device.packages}
    choice = Choice(
        FORMAT, best.engine, best.variant, bench.digest, board_name(), cpu_kind(), best.us_p50, best.us_p99, best.peak_mb,
        bench.time, versions,
    )  # fmt: skip
    return choice, write_choice(path, choice)


def fastest(bench: Bench) -> Result:
    """The variant with the least typical time of those that passed parity.

    Where others are as fast, which is within 5 % and within the noise of both (`compare.typical_ratio`), the one that takes the
    least memory, which is measured more exactly than any time; with as much memory the one with the lowest 99th percentile.
    Raises `EngineError` if none passed.
    """
    proven = [each for each in bench.results if each.passed_parity]
    if not proven:
        raise EngineError(
            f"{bench.bundle}: nothing is chosen: none of the variants measured here holds a parity record and answers the golden "
            "readings right (anomalite verify says more)"
        )
    best = min(proven, key=lambda each: each.us_p50)
    tied = [each for each in proven if each is best or _is_as_fast(each, best)]
    least = min(each.peak_mb for each in tied)
    tied = [each for each in tied if each.peak_mb <= least + MEMORY_MB]
    return min(tied, key=lambda each: each.us_p99)


def choice_lines(choice: Choice, target: str) -> list[str]:
    """What was chosen, for people."""
    return [
        f"Chosen: {name_of(choice.engine, choice.variant)}, written to {target}.",
        "It is taken on this board from now on, wherever no engine or variant is named; delete the file to undo it.",
    ]


def _is_as_fast(result: Result, best: Result) -> bool:
    ratio = typical_ratio(result, best)
    return not ratio.differs and ratio.ratio <= AS_FAST
