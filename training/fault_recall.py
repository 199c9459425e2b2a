"""How often made-up faults in held-out normal windows lift the score above the threshold, by kind and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.faults import FAULTS

SIZES = (1.0, 2.0, 3.0, 5.0, 10.0)
"""In normal spreads of the disturbed channel."""
MOST_WINDOWS = 200
"""So many windows are disturbed for each kind and size."""

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FaultRecall:
    """What was found of the faults."""

    windows: int
    """How many windows were disturbed for each kind and size."""
    undisturbed: float
    """The share of the same windows that is above the threshold as they are."""
    found: dict[str, tuple[float, ...]]
    """By kind: the share above the threshold for each of `SIZES`."""


def fault_recall(
    score: Callable[[Windows], npt.NDArray[np.float64]], windows: Windows, last: int, threshold: float, seed: int
) -> FaultRecall:
    """Disturb one input of each window (B, T, F), scaled, and count the scores above the threshold.

    `score` gives the scores (B,) of windows. The fault begins within the window's `last` readings, those that are scored: this
    is how the first windows with a new fault fare, and later ones, which hold more of it, fare better. Input, sign and
    onset are drawn anew for each kind and size.
    """
    rng = np.random.default_rng(seed)
    kept = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(np.int64)
    normal = windows[kept].astype(np.float64)
    found = {
        kind: tuple(_share(score(_disturb(normal, kind, size, last, rng)), threshold) for size in SIZES)
        for kind in FAULTS
    }
    return FaultRecall(len(normal), _share(score(windows[kept]), threshold), found)


def _disturb(normal: npt.NDArray[np.float64], kind: str, size: float, last: int, rng: np.random.Generator) -> Windows:
    """A copy of windows (B, T, F), scaled so that the normal spread is about 1, with a fault in one input of each."""
    disturbed = normal.copy()
    count, length, inputs = map(int, normal.shape)
    onsets = rng.integers(length - last, length, count)
    where = rng.integers(0, inputs, count)
    signed = size * rng.choice((-1.0, 1.0), count)
    for i in range(count):
        onset, column, amount = int(onsets[i]), int(where[i]), float(signed[i])
        disturbed[i, :, column] = FAULTS[kind](disturbed[i, :, column], onset, amount, rng)
    return disturbed.astype(np.float32)


def _share(scores: npt.NDArray[np.float64], threshold: float) -> float:
    return float(np.mean(scores > threshold))
