"""Faults of sensors, apart from what happens to the machine: stuck, and saturated (at the end of its range).

A sensor is stuck when it has said exactly the same value for `stuck_after` readings, whatever it measures; it is saturated
when it has been at a rail for `saturated_after`. A missing value is neither here nor there: counts stand still. They begin
anew while the machine is not in the state the model knows, since a machine that is off has every right not to change.
Silent sensors are found where values are filled in, in `clean.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns, Machines, Remembers, choose, read
from edge_runtime.manifest import Channel

NEVER_STUCK = 2**62
"""More readings than there will ever be."""


class SensorFaults(Remembers):
    """Watches the sensors of M machines, as far as their channels say when they are at fault."""

    def __init__(self, channels: Sequence[Channel], machines: int) -> None:
        self._watched = [
            (
                index,
                NEVER_STUCK if channel.stuck_after is None else channel.stuck_after,
                np.nan if channel.rail_low is None else channel.rail_low,  # nothing is at or below NaN
                np.nan if channel.rail_high is None else channel.rail_high,
                channel.saturated_after,
            )
            for index, channel in enumerate(channels)
            if channel.is_watched
        ]
        self._last = np.full((len(channels), machines), np.nan)
        self._same_for = np.zeros((len(channels), machines), np.int64)
        self._at_rail_for = np.zeros((len(channels), machines), np.int64)
        self._is_faulty = np.zeros((len(channels), machines), np.bool_)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {
            "last": self._last.T,
            "same_for": self._same_for.T,
            "at_rail_for": self._at_rail_for.T,
            "is_faulty": self._is_faulty.T,
        }

    def reset(self, machine: Machines | slice) -> None:
        """Forget the machine's readings."""
        self._last[:, machine] = np.nan
        self._same_for[:, machine] = self._at_rail_for[:, machine] = 0

    def step(self, machine: Machines, values: Columns, is_new: Any, is_on: Any) -> Any:
        """Take one reading of each machine, C items as measured; returns whether any of its sensors is at fault.

        `is_new`: false for a reading that changes nothing, because it is late; `is_on`: whether the machine is in the state the
        model knows.
        """
        is_any_faulty: Any = False
        for index, stuck_after, rail_low, rail_high, saturated_after in self._watched:
            value = values[index]
            last, same_for = read(self._last[index], machine), read(self._same_for[index], machine)
            at_rail_for = read(self._at_rail_for[index], machine)
            is_at_rail = (value <= rail_low) | (value >= rail_high)
            is_present = is_new & (value == value)
            now = choose(is_present, value, last)
            same_now = choose(is_present, choose(value == last, same_for + 1, 1), same_for)
            rail_now = choose(is_present, choose(is_at_rail, at_rail_for + 1, 0), at_rail_for)
            is_cleared = is_new & (is_on ^ True)
            self._last[index, machine] = choose(is_cleared, np.nan, now)
            self._same_for[index, machine] = same_now = choose(is_cleared, 0, same_now)
            self._at_rail_for[index, machine] = rail_now = choose(is_cleared, 0, rail_now)
            is_faulty = (same_now >= stuck_after) | (rail_now >= saturated_after)
            self._is_faulty[index, machine] = is_faulty
            is_any_faulty = is_any_faulty | is_faulty
        return is_any_faulty

    def faults(self, machine: Machines) -> npt.NDArray[np.bool_]:
        """Which sensors (C, ...) were at fault after the machine's last reading."""
        return np.asarray(self._is_faulty[:, machine])
