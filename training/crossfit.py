"""Held-out answers for every normal window, from models that are computed rather than trained: blocked cross-fitting.

A part of the readings set aside for the threshold is short, and the days it covers may be quieter than others. A model in closed form
can be computed again in no time, so all windows are divided into blocks in order of time, and each block is answered by a model
fitted to the others (Bergmeir & Benitez, "On the use of cross-validation for time series predictor evaluation", 2012). Windows
that share readings with the block are left out of its fit. The model that is exported is fitted to all windows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from training.calibrate import HeldOut
from training.data import Part
from training.families import LinearAutoencoder
from training.linear import Affine, apply, linear_autoencoder


def cross_fitted(spec: LinearAutoencoder, part: Part, *, trim: float = 0.0, reach: int | None = None) -> HeldOut:
    """The answers to every window of a part, each from a model that has seen none of its readings.

    `trim`: each model drops this share of the windows it is fitted to, as `trim.py` does for the one that is exported. `reach`: how
    many readings in a row a window is made of, more than its length where inputs are derived; None: its length. Scores begin
    anew with each block. Raises `TrainingError` if there are fewer windows than it takes.
    """
    windows, reach = part.windows, part.windows.shape[1] if reach is None else reach
    fewest = 2 * spec.folds
    if len(windows) < fewest:
        raise TrainingError(
            f"expected at least {fewest} windows for {spec.folds} folds, got {len(windows)}: use more readings or fewer folds"
        )
    runs = np.cumsum(part.begins, dtype=np.int64)
    outputs = np.empty_like(windows)
    begins = part.begins.copy()
    edges = np.linspace(0, len(windows), spec.folds + 1).astype(np.int64)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        others = ~_shares_readings(runs, begin, end, reach)
        if others.sum() < 2:
            raise TrainingError(
                f"expected windows without readings of the block of {end - begin} that they are to judge, got "
                f"{others.sum()}: use more readings, fewer folds or a shorter window"
            )
        outputs[begin:end] = apply(_fit(spec, windows[others], trim), windows[begin:end])
        begins[begin] = True
    return HeldOut(windows, outputs, begins)


def _fit(spec: LinearAutoencoder, windows: npt.NDArray[np.float32], trim: float) -> tuple[Affine, Affine]:
    layers = linear_autoencoder(spec, windows)
    count = round(trim * len(windows))
    if not count:
        return layers
    residuals = np.mean((apply(layers, windows) - windows).astype(np.float64) ** 2, axis=(1, 2))
    kept = np.sort(np.argsort(residuals, kind="stable")[:-count])
    return linear_autoencoder(spec, windows[kept])


def _shares_readings(runs: npt.NDArray[np.int64], begin: int, end: int, reach: int) -> npt.NDArray[np.bool_]:
    """Which windows (N,) have a reading in common with those from `begin` to `end`; `runs` (N,) numbers the unbroken runs."""
    shares = np.zeros(len(runs), np.bool_)
    shares[begin:end] = True
    before, after = slice(max(begin - reach + 1, 0), begin), slice(end, end + reach - 1)
    shares[before] = runs[before] == runs[begin]
    shares[after] = runs[after] == runs[end - 1]
    return shares
