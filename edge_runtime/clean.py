"""Missing, impossible and late readings: the first step of preparation.

A missing value is filled in for a few readings, with the channel's last one or its median in training; a value outside its
valid range, or too far from the last good one for the time between them, is treated as missing and its reading is answered
`out_of_range`; a silence longer than the longest gap, or a value missing for too long, restarts the window. A channel that is
missing for too long while others speak is a silent sensor. Only the past is used.

A reading is a list of C items: numbers for one machine, arrays (B,) for several. The same lines serve both, and for one
machine plain Python numbers are several times faster than numpy's smallest arrays (docs/decisions/0007-one-reading.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.manifest import Channel, Cleaning, Sampling, Scaling, Sensors
from edge_runtime.readings import GAP, OUT_OF_RANGE, SCORED, SENSOR_FAULT

Machines = int | npt.NDArray[np.int64]
"""One machine, or the indices (B,) of different ones. Every step takes either."""

Columns = Sequence[Any]
"""One item for each of the C channels: a number for one machine, an array (B,) for several."""

Flags = bool | np.bool_ | npt.NDArray[np.bool_]
"""A truth for one machine, or one each (B,)."""

NEVER = -(2**62)
"""A time in microseconds before all others, far enough from the ends of int64 to calculate with."""

LONGEST = 1e12
"""Seconds that stand for any longer time: no two times are so far apart, and in microseconds they still fit into int64."""

LARGEST_SCALED = 1e12
"""A value further than this many scales from its center is out of range: beyond it float32 would overflow."""


class Remembers:
    """A step whose state is arrays with a place for each machine, so that it can be handed on (`state.py`)."""

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays themselves, by name, machines first; names that end in `time` are of times in microseconds."""
        raise NotImplementedError

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """What the step remembers of some machines (B,), by name, (B, ...)."""
        return {name: array[machines] for name, array in self.memory().items()}

    def recall(self, machines: npt.NDArray[np.int64], remembered: dict[str, npt.NDArray[Any]]) -> None:
        """Remember that of these machines (B,), and nothing else."""
        for name, array in self.memory().items():
            array[machines] = remembered[name]


class Clean(Remembers):
    """Cleans readings of M machines; holds each channel's last good value.

    `channels`, `scaling` and the limits come from the manifest.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        sampling: Sampling,
        cleaning: Cleaning,
        scaling: Scaling,
        machines: int,
        sensors: Sensors | None = None,
    ) -> None:
        center, reach = np.array(scaling.center), LARGEST_SCALED * np.array(scaling.scale)
        low = [-np.inf if channel.low is None else channel.low for channel in channels]
        high = [np.inf if channel.high is None else channel.high for channel in channels]
        lows, highs = np.maximum(low, center - reach), np.minimum(high, center + reach)
        self.limits = list(zip(lows.tolist(), highs.tolist(), strict=True))
        """The least and the greatest value of each channel that is not out of range."""
        self.longest_gap = round(min(sampling.longest_gap_s, LONGEST) * 1e6)
        self._hold_limit = cleaning.hold_limit
        self._medians = None if cleaning.medians is None else np.array(cleaning.medians)
        self._rates = [  # in units a microsecond
            (index, channel.max_rate / 1e6) for index, channel in enumerate(channels) if channel.max_rate is not None
        ]
        self.has_rates = bool(self._rates)
        self._tells_silent = sensors is not None and sensors.silent
        self._last_time = np.full(machines, NEVER)
        self.last_time_of_one = self._last_time.data  # the same memory, read and written as Python numbers
        self._held = np.full((len(channels), machines), np.nan)
        self._held_columns = list(self._held)
        self.newest: dict[int, tuple[float, ...]] = {}  # by machine, not yet in the arrays
        self._held_for = np.zeros((len(channels), machines), np.int64)
        self._silent_for = np.zeros((len(channels), machines), np.int64)
        self.holds_any = False
        self._good_time = np.full((len(channels), machines), NEVER)
        """When a channel's last good value was measured; only where it is held: else it was with the last reading."""

    def reset(self, machine: Machines | slice) -> None:
        """Forget the machine's readings."""
        self._last_time[machine] = NEVER

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        _ = self.held  # what came one by one, into the arrays
        return {
            "last_time": self._last_time,
            "held": self._held.T,
            "held_for": self._held_for.T,
            "silent_for": self._silent_for.T,
            "good_time": self._good_time.T,
        }

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says; the same bytes whatever other machines did, which decides whether a time that nobody needs is kept."""
        all_of_it = super().remembered(machines)
        is_held = all_of_it["held_for"] != 0
        all_of_it["good_time"] = np.where(is_held, all_of_it["good_time"], all_of_it["last_time"][:, None])
        return all_of_it

    def recall(self, machines: npt.NDArray[np.int64], remembered: dict[str, npt.NDArray[Any]]) -> None:
        """As `Remembers` says."""
        super().recall(machines, remembered)
        self.holds_any = bool(self._held_for.any())

    @property
    def held(self) -> list[npt.NDArray[np.float64]]:
        """Each channel's last good value (M,), NaN where there is none, or none young enough to be held."""
        if self.newest:
            for machine, values in self.newest.items():
                self._held[:, machine] = values
            self.newest.clear()
        return self._held_columns

    def step(
        self, machine: Machines, values: Columns, time: int | npt.NDArray[np.int64]
    ) -> tuple[Columns, int | npt.NDArray[np.int64], Flags, Flags]:
        """Clean one reading of each machine.

        `values`: C items, NaN where missing; `time`: microseconds since 1970 UTC. Returns the filled values (C items); the
        status, `SCORED` where nothing is wrong; whether the window restarts; and whether the filled values are complete, so
        that they may enter the window.
        """
        held = self.held
        elapsed = time - read(self._last_time, machine)
        is_usual = (elapsed > 0) & (elapsed <= self.longest_gap)
        for value, (low, high) in zip(values, self.limits):  # noqa: B905 - once a reading: `strict` costs a tenth of it
            is_usual = is_usual & (value >= low) & (value <= high)
        for index, rate in self._rates:
            is_usual = is_usual & (abs(values[index] - read(held[index], machine)) <= rate * elapsed)
        if is_usual if isinstance(is_usual, bool) else is_usual.all():
            self._last_time[machine] = time
            for column, value in zip(held, values):  # noqa: B905 - as above
                column[machine] = value
            if self.holds_any:
                self._held_for[:, machine] = self._silent_for[:, machine] = 0
                self.holds_any = bool(self._held_for.any())
            return values, SCORED, False, True
        return self._repair(machine, np.array(values, np.float64), np.asarray(time))

    def _repair(
        self, machine: Machines, values: npt.NDArray[np.float64], time: npt.NDArray[np.int64]
    ) -> tuple[Columns, npt.NDArray[np.int64], Flags, Flags]:
        """The same for readings of which some are not as usual; `values` (C, ...)."""
        low, high = (np.array(limits).reshape(-1, *(1,) * time.ndim) for limits in zip(*self.limits, strict=True))
        good = (values >= low) & (values <= high)
        last_time = self._last_time[machine]
        is_first = last_time == NEVER
        is_late = ~is_first & (time <= last_time)
        is_after_gap = ~is_first & (time - last_time > self.longest_gap)
        is_fresh = is_first | is_after_gap
        held = np.where(is_fresh, np.nan, self._held[:, machine])
        good_time = np.where(self._held_for[:, machine] == 0, last_time, self._good_time[:, machine])
        for index, rate in self._rates:  # NaN, where nothing is held, is never too fast
            change = np.abs(np.where(good[index], values[index], np.nan) - held[index])
            good[index] &= ~(change > rate * (time - good_time[index]))
        nothing_yet = self._hold_limit if self._medians is None else 0
        held_for = np.where(good, 0, np.where(is_fresh, nothing_yet, self._held_for[:, machine]) + 1)
        is_too_long = held_for > self._hold_limit
        held = np.where(is_too_long, np.nan, np.where(good, values, held))
        filled = held
        if self._medians is not None:
            filled = np.where(good, values, self._medians.reshape(-1, *(1,) * time.ndim))
        is_broken = is_too_long.any(axis=0)
        is_missing = np.isnan(values)
        is_outside = (~good & ~is_missing).any(axis=0)
        silent_for = np.where(is_missing, np.where(is_fresh, 0, self._silent_for[:, machine]) + 1, 0)
        status = np.where(is_late | is_after_gap | is_broken, GAP, SCORED)
        status = np.where(is_outside & ~is_late, OUT_OF_RANGE, status)
        if self._tells_silent:
            is_silent = (silent_for > self._hold_limit).any(axis=0) & ~is_missing.all(axis=0)
            status = np.where(is_silent & ~is_late, SENSOR_FAULT, status)

        # A late reading changes nothing.
        for state, now in (
            (self._held_for, held_for),
            (self._held, held),
            (self._silent_for, silent_for),
            (self._good_time, np.where(good, time, good_time)),
        ):
            state[:, machine] = np.where(is_late, state[:, machine], now)
        self._last_time[machine] = np.where(is_late, last_time, time)
        self.holds_any = bool(self._held_for.any())
        columns = filled.tolist() if filled.ndim == 1 else list(filled)
        return columns, status, (is_after_gap | is_broken) & ~is_late, ~is_broken & ~is_late

    def silent(self, machine: Machines) -> npt.NDArray[np.bool_]:
        """Which channels (C, ...) have been missing for too long, as of the machine's last reading."""
        return np.asarray(self._silent_for[:, machine] > self._hold_limit)


def read(state: npt.NDArray[Any], machine: Machines) -> Any:
    """The state of one machine as a Python number, or of several as an array (B,)."""
    return state.item(machine) if isinstance(machine, int) else state[machine]


def holds_anywhere(condition: Any) -> bool:
    """Whether a truth for one machine, or any of several (B,), holds."""
    return condition if isinstance(condition, bool) else bool(condition.any())


def choose(condition: Any, one: Any, other: Any) -> Any:
    """`one` where the condition holds, else `other`: for one machine plain Python, for several arrays (B,)."""
    return (one if condition else other) if isinstance(condition, bool) else np.where(condition, one, other)
