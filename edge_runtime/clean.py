"""Missing, impossible and late readings: the first step of preparation.

A missing value takes the channel's last one for a few readings; a value outside its valid range is treated
as missing and its reading is answered `out_of_range`; a silence longer than the longest gap, or a value
missing for too long, restarts the window. Only the past is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.manifest import Channel, Cleaning, Sampling, Scaling
from edge_runtime.readings import GAP, OUT_OF_RANGE, SCORED

Machines = int | npt.NDArray[np.int64]
"""One machine, or the indices (B,) of different ones: every step takes either and drops the leading axis for one."""

Flags = bool | np.bool_ | npt.NDArray[np.bool_]
"""A truth for one machine, or one each (B,)."""

NEVER = -(2**62)
"""A time in microseconds before all others, far enough from the ends of int64 to calculate with."""

LONGEST = 1e12
"""Seconds that stand for any longer time: no two times are so far apart, and in microseconds they still fit into int64."""

LARGEST_SCALED = 1e12
"""A value further than this many scales from its center is out of range: beyond it float32 would overflow."""


class Clean:
    """Cleans readings of M machines; holds each channel's last good value.

    `channels`, `scaling` and the limits come from the manifest.
    """

    def __init__(
        self, channels: Sequence[Channel], sampling: Sampling, cleaning: Cleaning, scaling: Scaling, machines: int
    ) -> None:
        center, reach = np.array(scaling.center), LARGEST_SCALED * np.array(scaling.scale)
        low = [-np.inf if channel.low is None else channel.low for channel in channels]
        high = [np.inf if channel.high is None else channel.high for channel in channels]
        self._low, self._high = np.maximum(low, center - reach), np.minimum(high, center + reach)
        self._longest_gap = round(min(sampling.longest_gap_s, LONGEST) * 1e6)
        self._hold_limit = cleaning.hold_limit
        self._last_time = np.zeros(machines, np.int64)
        self._latest_next = np.full(machines, NEVER)  # a reading after this one comes after a gap
        self._held = np.full((machines, len(channels)), np.nan)
        self._held_for = np.zeros((machines, len(channels)), np.int64)
        self._holds_any = False

    def reset(self, machine: Machines | slice) -> None:
        """Forget the machine's readings."""
        self._latest_next[machine] = NEVER

    def step(
        self, machine: Machines, values: npt.NDArray[np.float64], time: int | npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], int | npt.NDArray[np.int64], Flags, Flags]:
        """Clean one reading of each machine.

        `values`: (..., C) float64, NaN where missing; `time`: (...) microseconds since 1970 UTC. Returns the filled values
        (..., C); the status (...), `SCORED` where nothing is wrong; whether the window restarts (...); and whether the
        filled values are complete, so that they may enter the window (...).
        """
        on_time = (time > self._last_time[machine]) & (time <= self._latest_next[machine])
        good = np.greater_equal(values, self._low)
        good &= np.less_equal(values, self._high)
        if _holds(on_time) and _holds(good):  # the usual case
            self._last_time[machine] = time
            self._latest_next[machine] = time + self._longest_gap
            self._held[machine] = values
            if self._holds_any:
                self._held_for[machine] = 0
            return values, SCORED, False, True
        return self._repair(machine, values, np.asarray(time), good)

    def _repair(
        self,
        machine: Machines,
        values: npt.NDArray[np.float64],
        time: npt.NDArray[np.int64],
        good: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], Flags, Flags]:
        latest_next = self._latest_next[machine]
        is_first = latest_next == NEVER
        is_late = ~is_first & (time <= self._last_time[machine])
        is_after_gap = ~is_first & (time > latest_next)
        has_nothing_to_hold = np.asarray(is_first | is_after_gap)[..., None]
        held_for = np.where(has_nothing_to_hold, self._hold_limit, self._held_for[machine])
        held_for = np.where(good, 0, held_for + 1)
        filled = np.where(good, values, self._held[machine])
        is_broken = (held_for > self._hold_limit).any(axis=-1)
        is_outside = (~good & ~np.isnan(values)).any(axis=-1)
        status = np.where(is_late | is_after_gap | is_broken, GAP, SCORED)
        status = np.where(is_outside & ~is_late, OUT_OF_RANGE, status)

        late = np.asarray(is_late)[..., None]  # a late reading changes nothing
        self._held_for[machine] = np.where(late, self._held_for[machine], held_for)
        self._held[machine] = np.where(late, self._held[machine], filled)
        self._last_time[machine] = np.where(is_late, self._last_time[machine], time)
        self._latest_next[machine] = np.where(is_late, latest_next, time + self._longest_gap)
        self._holds_any = bool(self._held_for.any())
        return filled, status, (is_after_gap | is_broken) & ~is_late, ~is_broken & ~is_late


def _holds(condition: npt.NDArray[np.bool_] | np.bool_) -> bool:
    """Whether it is true everywhere. For one machine `condition` is a scalar, whose own `all()` is twenty times slower."""
    return bool(condition) if condition.ndim == 0 else np.count_nonzero(condition) == condition.size
