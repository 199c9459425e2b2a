"""What the cost gate runs on an emulated board: stretches of work between marks, which the emulator's counter answers to.

    python -m benchmarks.cost.device '[["update", "mae"], ["window", BUNDLE, VARIANT, ENGINE], ["load", BUNDLE, ENGINE], ["read", BUNDLE]]'

Each of the cases is prepared `ROUNDS` times, at other places in memory, which move what numpy executes by up to 1 %; each time two
marks enclose `few` and two more `many` calls. Prints, as one line of JSON, what `Plan.facts` reads. Needs only numpy and the engine, as the runtime does.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.cost.start import facts, mark
from benchmarks.instructions_update import main as take_readings
from edge_runtime.bundle import Bundle
from edge_runtime.opening import load

ROUNDS = 4
MARKS_A_ROUND = 4


class Stretches(NamedTuple):
    """How many calls the two stretches of a case have."""

    few: int
    many: int


STRETCHES = {
    "window": Stretches(5, 15),
    "load": Stretches(1, 3),
    "read": Stretches(2, 6),
    "update": Stretches(50, 650),
}
"""By kind of case. Their difference is what calls cost, without what a stretch costs."""


def window(path: str, variant: str, engine: str) -> Callable[[int], object]:
    """Windows through the bare engine."""
    detector = load(path, engine=engine, variant=variant)
    run = detector.engine.run
    windows = np.random.default_rng(1).normal(size=(1, *detector.manifest.window_shape)).astype(np.float32)

    def repeat(calls: int) -> None:
        for _ in range(calls):
            run(windows)

    return repeat


def load_only(path: str, engine: str) -> Callable[[int], object]:
    """`load` in a process that has everything imported."""

    def repeat(calls: int) -> None:
        for _ in range(calls):
            load(path, engine=engine).engine.close()

    return repeat


def read(path: str) -> Callable[[int], object]:
    """`Bundle.read`."""

    def repeat(calls: int) -> None:
        for _ in range(calls):
            Bundle.read(path)

    return repeat


def update(case: str) -> Callable[[int], object]:
    """Readings with their verdicts and no engine; `empty` is the loop alone."""
    return lambda calls: take_readings(case, calls)


PREPARE: dict[str, Callable[..., Callable[[int], object]]] = {
    "window": window,
    "load": load_only,
    "read": read,
    "update": update,
}
"""By kind of case: what makes the function that repeats it."""


def main(cases: list[list[str]]) -> None:
    """Every case in turn."""
    marks = 0
    for kind, *arguments in cases:
        kept: list[object] = []
        for turn in range(ROUNDS):
            repeat = PREPARE[kind](*arguments)
            repeat(STRETCHES[kind].few)  # what only the first calls do
            for calls in STRETCHES[kind]:
                gc.collect()  # so that collections fall at the same places in both
                gc.freeze()  # and what was left behind before costs them nothing
                mark(marks)
                repeat(calls)
                mark(marks + 1)
                marks += 2
            kept += [repeat, bytearray(7919 * (turn + 1))]  # so that the next one lies elsewhere
        del kept


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    facts()
