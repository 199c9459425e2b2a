"""Irregular readings onto the sampling grid: one row for each period in which readings arrived.

A period's row is stamped with its end and completed by the first reading that lies `max_delay_s` or more after that end; so it
waits for late readings that long, as seen from what has arrived, and never looks at a clock. What is later still is dropped.
Periods without readings become rows of missing values, as soon as there is a row after them. Several readings of a
period become one value a channel, its last or its mean; two at the same time are duplicates.

Kept in plain Python, an object a machine: collecting is a few additions a reading, and machines complete their rows at
different moments. The rows completed are then prepared together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LONGEST, NEVER
from edge_runtime.manifest import Cleaning, Grid, Sampling

NAN, INFINITY = float("nan"), float("inf")


OPEN = 2
"""The most periods of a machine that are not complete, since the delay is not longer than one."""


class Row(NamedTuple):
    """A completed grid row."""

    values: list[float]
    """C numbers in the channels' units, NaN where the period has no value."""
    time: int
    """The end of the period, microseconds since 1970 UTC."""


class GridRows:
    """Collects the readings of M machines until the rows they belong to are complete."""

    def __init__(self, grid: Grid, sampling: Sampling, cleaning: Cleaning, channels: int, machines: int) -> None:
        self._grid = grid
        self._period = round(sampling.period_s * 1e6)
        self._delay = round(grid.max_delay_s * 1e6)
        self._longest_gap = round(min(sampling.longest_gap_s, LONGEST) * 1e6)
        self._most_missing = cleaning.hold_limit + 1  # after so many rows without a value one more changes nothing
        self._channels = channels
        self._open: list[dict[int, _Period]] = [{} for _ in range(machines)]
        """The periods that are not complete, by number since 1970, `OPEN` at most."""
        self._oldest = [NEVER] * machines
        """The oldest period that still takes readings."""
        self._last = [NEVER] * machines
        """The last period that became a row."""

    def reset(self, machine: int | slice) -> None:
        """Forget the machine's readings."""
        for each in range(len(self._open))[machine] if isinstance(machine, slice) else [machine]:
            self._open[each] = {}
            self._oldest[each] = self._last[each] = NEVER

    def step(self, machine: int, values: Sequence[float], time: int) -> list[Row] | None:
        """Take one reading of one machine, `time` in microseconds since 1970 UTC.

        Returns the rows that it completes, in order of time and the last of them with readings; None if the reading came too
        late and was dropped.
        """
        number = time // self._period
        if number < self._oldest[machine]:
            return None
        oldest = max(self._oldest[machine], (time - self._delay) // self._period)
        periods = self._open[machine]
        rows = []
        for each in sorted(periods):
            if each < oldest:
                rows += self._missing_rows(machine, each)
                rows.append(Row(periods.pop(each).values(self._grid.value), (each + 1) * self._period))
                self._last[machine] = each
        self._oldest[machine] = oldest
        if number not in periods:
            periods[number] = _Period(self._channels)
        periods[number].take(values, time, self._grid.duplicate)
        return rows

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """As `clean.Remembers` says; what counts periods, and all that is in an open one, stands by itself."""
        some = machines.tolist()
        numbers = np.full((len(some), OPEN), NEVER)
        sums = np.zeros((len(some), OPEN, 4, self._channels))
        newest = np.full((len(some), OPEN, self._channels), NEVER)
        for row, machine in enumerate(some):
            for place, (number, period) in enumerate(sorted(self._open[machine].items())):
                numbers[row, place] = number
                newest[row, place] = period.newest
                sums[row, place] = period.newest_sum, period.newest_count, period.older_sum, period.older_count
        return {
            "oldest_period": np.array([self._oldest[machine] for machine in some], np.int64),
            "last_period": np.array([self._last[machine] for machine in some], np.int64),
            "open_period": numbers,
            "newest_time": newest,
            "sums": sums,
        }

    def recall(self, machines: npt.NDArray[np.int64], remembered: dict[str, npt.NDArray[Any]]) -> None:
        """Remember that of these machines (B,), and nothing else."""
        for row, machine in enumerate(machines.tolist()):
            self._oldest[machine] = remembered["oldest_period"].item(row)
            self._last[machine] = remembered["last_period"].item(row)
            self._open[machine] = periods = {}
            for place, number in enumerate(remembered["open_period"][row].tolist()):
                if number != NEVER:
                    periods[number] = period = _Period(self._channels)
                    period.newest = remembered["newest_time"][row, place].tolist()
                    new, new_count, old, old_count = remembered["sums"][row, place].tolist()
                    period.newest_sum, period.newest_count = new, list(map(int, new_count))
                    period.older_sum, period.older_count = old, list(map(int, old_count))

    def _missing_rows(self, machine: int, number: int) -> list[Row]:
        """Rows for the periods without readings before the given one; none after a gap, which restarts the window anyway."""
        passed = number - self._last[machine]
        if passed * self._period > self._longest_gap:
            return []
        count = min(passed - 1, self._most_missing)
        return [Row([NAN] * self._channels, each * self._period) for each in range(number - count + 1, number + 1)]


class _Period:
    """What the readings of one period say so far, for each of C channels."""

    __slots__ = ("newest", "newest_count", "newest_sum", "older_count", "older_sum")

    def __init__(self, channels: int) -> None:
        self.newest = [NEVER] * channels  # the time of the newest value
        self.newest_sum, self.newest_count = [0.0] * channels, [0] * channels  # of the values at that time
        self.older_sum, self.older_count = [0.0] * channels, [0] * channels

    def take(self, values: Sequence[float], time: int, duplicate: str) -> None:
        for channel, value in enumerate(values):
            if value != value:
                continue
            if time > self.newest[channel]:
                self.older_sum[channel] += self.newest_sum[channel]
                self.older_count[channel] += self.newest_count[channel]
                self.newest[channel], self.newest_sum[channel], self.newest_count[channel] = time, value, 1
            elif time < self.newest[channel]:
                self.older_sum[channel] += value
                self.older_count[channel] += 1
            elif duplicate == "last":
                self.newest_sum[channel], self.newest_count[channel] = value, 1
            elif duplicate == "mean":
                self.newest_sum[channel] += value
                self.newest_count[channel] += 1

    def values(self, kind: str) -> list[float]:
        sums, counts = self.newest_sum, self.newest_count
        if kind == "mean":
            sums = [new + old for new, old in zip(sums, self.older_sum, strict=True)]
            counts = [new + old for new, old in zip(counts, self.older_count, strict=True)]
        means = [total / count if count else NAN for total, count in zip(sums, counts, strict=True)]
        # Infinities of both signs: still an impossible value, not a missing one.
        return [INFINITY if count and mean != mean else mean for mean, count in zip(means, counts, strict=True)]
