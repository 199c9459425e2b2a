"""`Detector.update` with an engine that does nothing, a given number of times: what a counter of instructions is to be put on.

    python -m benchmarks.instructions_update CASE N

Two runs of different N, their difference divided by that of the Ns, are the instructions of one reading with its verdict, and those
of the case `empty` (the loop and the engine's call) are to be subtracted. Needs only numpy, so it runs wherever the runtime does.

Both runs have to be of the same files in the same folder: where things lie in memory makes a difference of up to 4 %, which is the same
every time as long as nothing is moved (docs/decisions/0013-update.md).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.reference_bundle import CHANNELS, LENGTH, reference_manifest
from edge_runtime.detector import Detector
from edge_runtime.manifest import Score
from edge_runtime.readings import Reading

DIAGONAL = tuple(tuple(float(row == column) for column in range(CHANNELS)) for row in range(CHANNELS))
FULL = tuple(tuple(0.1 + (row == column) for column in range(CHANNELS)) for row in range(CHANNELS))
SCORES = {
    "reference": Score(),
    "mae": Score("mae"),
    "mse": Score("mse"),
    "mahalanobis": Score("mahalanobis", whitening=DIAGONAL),
    "mahalanobis-full": Score("mahalanobis", whitening=FULL),
    "alarm": Score(),
    "empty": Score(),
}
"""By case. `alarm` has every score above the threshold; in the others all is quiet, as it nearly always is."""


class NoEngine:
    """Answers every window with the same output."""

    best_batch = 1

    def __init__(self, level: float) -> None:
        self._output = np.full((1, LENGTH, CHANNELS), level, np.float32)

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The output, (1, T, C), whatever the window."""
        return self._output

    def close(self) -> None:
        """Nothing to give back."""


def main(case: str, count: int) -> None:
    """Fill the window, then take `count` readings."""
    engine = NoEngine(3.0 if case == "alarm" else 0.0)
    detector = Detector(replace(reference_manifest(), score=SCORES[case]), engine)
    rows = [tuple(row) for row in np.random.default_rng(1).normal(0.0, 0.5, (64, CHANNELS)).tolist()]
    window = np.zeros((1, LENGTH, CHANNELS), np.float32)
    take: Callable[[float, int], object]
    if case == "empty":

        def take(time: float, row: int) -> object:
            return Reading(time, rows[row]), engine.run(window)

    else:

        def take(time: float, row: int) -> object:
            return detector.update(Reading(time, rows[row]))

    for step in range(2 * LENGTH + count):
        take(1e9 + step, step % 64)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
