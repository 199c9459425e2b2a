"""Which readings can be learned from, and what they say of sensors and missing values.

The device's own `Preparation` decides: a value it would not take shapes neither the scaling nor a limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Channel, Operating, PreparationSections, Scaling
from edge_runtime.prepare import Preparation
from edge_runtime.rule import compile_rule, parse_rule

BOUNDLESS = 1e290
"""A scale by which no value is too far from its center to calculate with (see `clean.LARGEST_SCALED`)."""


def usable_values(
    sections: PreparationSections, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """An unbroken stretch's values (N, C), NaN where the device would not take them; no scaling is known yet to limit them.

    Returns also in which rows the machine is in the state to learn (N,).
    """
    F = len(sections.input_names)
    boundless = Scaling("standard", (0.0,) * F, (BOUNDLESS,) * F)
    return Preparation(sections._replace(scaling=boundless)).usable(values, times)


def check_in_state(
    operating: Operating,
    source: str,
    names: Sequence[str],
    values: npt.NDArray[np.float64],
    in_state: npt.NDArray[np.bool_],
) -> None:
    """Raise `TrainingError` with figures if the machine is in none of the rows `values` (N, C), by `in_state` (N,), to be learned."""
    if in_state.any():
        return
    figures = []
    for channel in operating.channels:
        column = values[:, names.index(channel)]
        present = column[~np.isnan(column)]
        figures.append(
            f"{channel} {f'goes from {present.min():g} to {present.max():g}' if len(present) else 'is missing'}"
        )
    settled = f" and has held for {operating.settle_s:g} s" if operating.settle_s else ""
    raise TrainingError(
        f"{source}: expected rows in which operating.when = {operating.when!r} holds{settled}, "
        f"got none in {len(values)} rows: {', '.join(figures)}"
    )


def switching_reading(
    operating: Operating | None, names: Sequence[str], stretches: Sequence[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64] | None:
    """The last of the measured readings (N, C) that switches the machine on by itself; None where the state has one level only."""
    if operating is None or operating.until is None:
        return None
    rows = np.concatenate(stretches)
    columns = list(rows.T)
    is_on = compile_rule(parse_rule(operating.when), names)(columns)
    is_off = compile_rule(parse_rule(operating.until), names)(columns)
    found = np.flatnonzero(is_on & ~is_off & np.isfinite(rows).all(axis=1))
    return rows[found[-1]] if len(found) else None


def with_stuck_limits(
    channels: Sequence[Channel], usable: Sequence[npt.NDArray[np.float64]], factor: float, least: int
) -> tuple[Channel, ...]:
    """The channels, those without `stuck_after` with `factor` times their longest repeat in `usable` stretches (N, C).

    A limit is `least` readings or more: what is shorter than a window the model can see for itself.
    """
    limits = [
        max(least, math.ceil(factor * max(_longest_repeat(stretch[:, index]) for stretch in usable)))
        for index in range(len(channels))
    ]
    return tuple(
        replace(channel, stuck_after=limit) if channel.stuck_after is None else channel
        for channel, limit in zip(channels, limits, strict=True)
    )


def _longest_repeat(column: npt.NDArray[np.float64]) -> int:
    """How many readings (N,) in a row say the same; a missing one stands between no two, as on the device."""
    present = column[~np.isnan(column)]
    if not len(present):
        return 1
    changes = np.flatnonzero(np.diff(present)) + 1
    return int(np.diff(np.concatenate(([0], changes, [len(present)]))).max())


def interpolated(values: npt.NDArray[np.float64], times: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.float64]:
    """A copy of `values` (N, C) with at most `rows` missing ones in a row on the straight line between their neighbours.

    For training only: at the moment of a missing value the device does not know the next one yet.
    """
    filled = values.copy()
    for column in filled.T:
        good = np.flatnonzero(~np.isnan(column))
        steps = np.diff(good)
        between = np.zeros(len(column), np.bool_)
        for start, step in zip(good[:-1], steps, strict=True):
            between[start + 1 : start + step] = 1 < step <= rows + 1
        missing = np.flatnonzero(between)
        if len(missing):
            column[missing] = np.interp(times[missing], times[good], column[good])
    return filled
