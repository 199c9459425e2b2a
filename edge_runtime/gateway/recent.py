"""Score and threshold of every machine over the last hour, small enough for ten thousand of them.

Intervals are counted by a clock that never steps; what a copy says of the time of day is reckoned back from now, so a wall
clock that was set in between moves the whole curve and does not tear it.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from edge_runtime.gateway.status import Recent

INTERVALS = 120
INTERVAL_S = 30
_NEVER = -(2**40)
_LARGEST = float(np.finfo(np.float32).max)


class RecentScores:
    """For M machines the largest score and the last threshold in each of 120 intervals of 30 s: 960 bytes a machine.

    Where thresholds do not move, one of each machine is enough, and it takes 480. One thread updates, others copy.
    """

    def __init__(self, machines: int, *, thresholds_move: bool = True) -> None:
        self._places = INTERVALS if thresholds_move else 1
        """Of thresholds."""
        self._scores = np.full((INTERVALS, machines), np.nan, np.float32)  # by interval, so that a new one is one row
        self._thresholds = np.full((self._places, machines), np.nan, np.float32)
        self._newest = _NEVER
        self._lock = threading.Lock()

    @property
    def machines(self) -> int:
        """M, how many there is room for."""
        return self._scores.shape[1]

    def grow(self, machines: int) -> None:
        """Make room for so many; fewer than there are: nothing happens."""
        if machines <= self.machines:
            return
        more = np.full((INTERVALS, machines - self.machines), np.nan, np.float32)
        with self._lock:
            self._scores = np.concatenate((self._scores, more), axis=1)
            self._thresholds = np.concatenate((self._thresholds, more[: self._places]), axis=1)

    def forget(self, machine: int) -> None:
        """As if nothing had been heard of the machine: another one takes its row, or it has another bundle."""
        with self._lock:
            self._scores[:, machine] = self._thresholds[:, machine] = np.nan

    def update(
        self,
        machines: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
        thresholds: npt.NDArray[np.float64],
        now: float,
    ) -> None:
        """Take B scores, NaN where a reading has none, and the thresholds that judged them. A machine may be there repeatedly.

        `now`: monotonic, seconds.
        """
        with self._lock:
            place = self._begin(int(now // INTERVAL_S))
            largest = np.minimum(scores, _LARGEST)  # an infinite score is shown as a very large one, not as none
            np.fmax.at(self._scores[place], machines, largest.astype(np.float32))
            self._thresholds[place % self._places, machines] = np.minimum(thresholds, _LARGEST)

    def copy(self, machine: int, now: float, wall: float) -> Recent:
        """The machine's last hour, oldest first: P = 120 intervals, the last one not over yet.

        Of one that there is no room for yet nothing is known. `now`, `wall`: the same moment by the monotonic and by the wall clock, seconds.
        """
        last = int(now // INTERVAL_S)
        numbers = np.arange(last - INTERVALS + 1, last + 1)
        scores, thresholds = np.full((2, INTERVALS), np.nan, np.float32)
        with self._lock:
            if machine < self.machines:
                is_kept = (numbers <= self._newest) & (numbers > self._newest - INTERVALS)
                places = numbers[is_kept] % INTERVALS
                scores[is_kept] = self._scores[places, machine]
                thresholds[is_kept] = self._thresholds[places % self._places, machine]
        times = (numbers * INTERVAL_S).astype(np.float64) + (wall - now)
        return Recent(times, scores, thresholds)

    def _begin(self, number: int) -> int:
        """Clear the intervals since the last update; returns the place of this one."""
        missed = min(number - self._newest, INTERVALS)
        if missed > 0:
            places = np.arange(number - missed + 1, number + 1) % INTERVALS
            self._scores[places] = np.nan
            if self._places > 1:
                self._thresholds[places] = np.nan
            self._newest = number
        return self._newest % INTERVALS
