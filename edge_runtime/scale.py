"""Scaling: each channel in units of its normal spread.

All three kinds are `(value - center) / scale`; they differ in what is fitted: mean and standard deviation
(`standard`), least value and range (`min_max`), median and the distance between the quartiles (`robust`). With a
clip the scaled values are limited to its size: one wild reading then weighs no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns
from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Scaling


def fit_scaling(
    kind: Literal["standard", "min_max", "robust"],
    values: npt.NDArray[np.float64],
    channels: Sequence[str],
    clip: float | None = None,
    resolutions: Sequence[float | None] | None = None,
) -> Scaling:
    """Fit the scaling to normal readings.

    `values`: (N, C) float64 in the channels' units, NaN where missing; `resolutions`: of each channel, in its unit, the least that
    its scale can be; None: inputs that have none. Raises `TrainingError` for a channel that has no value, or that does not vary and
    has no resolution, naming it.
    """
    least = np.array([each or 0.0 for each in resolutions or [None] * len(channels)])
    or_resolution = "" if resolutions is None else ", or give it a resolution"
    for column, name in enumerate(channels):
        present = values[~np.isnan(values[:, column]), column]
        if not len(present):
            raise TrainingError(f"channel {name!r}: expected readings to fit the scaling to, got none")
        if present.min() == present.max() and not least[column]:
            raise TrainingError(
                f"channel {name!r}: expected readings that vary, got {present[0]:g} in all {len(present)} rows; "
                f"leave the channel out or train on more data{or_resolution}"
            )
    if kind == "standard":
        center, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    elif kind == "min_max":
        center = np.nanmin(values, axis=0)
        scale = np.nanmax(values, axis=0) - center
    else:
        lower, center, upper = np.nanpercentile(values, [25, 50, 75], axis=0)
        scale = upper - lower
    scale = np.maximum(scale, least)
    for name, spread in zip(channels, scale, strict=True):
        if not 0 < spread < np.inf:
            raise TrainingError(
                f"channel {name!r}: expected readings that vary, got a {kind} scale of {spread:g}; "
                f"choose another kind of scaling{or_resolution}"
            )
    return Scaling(kind, tuple(center.tolist()), tuple(scale.tolist()), clip)


class Scale:
    """Applies a fitted scaling."""

    def __init__(self, scaling: Scaling, limits: Sequence[tuple[float, float]] | None = None) -> None:
        """`limits`: the least and the greatest usual value of each channel, for `usual.py`."""
        limits = limits or [(-np.inf, np.inf)] * len(scaling.center)
        self.parts = [
            (low, high, center, 1 / scale)
            for (low, high), center, scale in zip(limits, scaling.center, scaling.scale, strict=True)
        ]
        self.clip = scaling.clip

    def step(self, values: Columns) -> list[Any]:
        """Scale one reading of each machine: `values`, C items in the channels' units; returns C items."""
        parts = zip(values, self.parts)  # noqa: B905 - `strict` costs a tenth
        scaled = [(value - center) * per_unit for value, (_, _, center, per_unit) in parts]
        return scaled if self.clip is None else [_limit(value, self.clip) for value in scaled]

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Scale `values` (..., C) in the channels' units, to the same bits as `step`; returns (..., C)."""
        return np.stack(self.step(list(np.moveaxis(values, -1, 0))), axis=-1)

    def invert(self, scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The values (..., C) that scale to `scaled` (..., C), as far as they were not clipped."""
        _, _, center, per_unit = np.array(self.parts).T
        values: npt.NDArray[np.float64] = scaled / per_unit + center
        return values


def _limit(value: Any, size: float) -> Any:
    """The number, or each of an array, within `size` of zero; numpy would take ten times as long for the number."""
    return min(max(value, -size), size) if isinstance(value, float) else np.clip(value, -size, size)
