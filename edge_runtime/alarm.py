"""From anomalous readings to an alarm: deciding is not alerting.

The alarm is raised by a score above the enter level when at least k of the last n were, and cleared when n scores in
a row were below the exit level; after that a cooldown keeps it quiet. Readings without a score change nothing, and
a restarted window forgets the scores before it but not a raised alarm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LONGEST, NEVER, Machines, Remembers, holds_anywhere, read
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.readings import ACTIVE, CLEARED, QUIET, RAISED


class Alarm(Remembers):
    """The alarms of M machines."""

    def __init__(self, policy: AlarmPolicy, threshold: float, machines: int) -> None:
        self._k, self._n, self._mask = policy.k, policy.n, (1 << policy.n) - 1
        self._policy = policy
        self.enter, self._exit = policy.enter * threshold, policy.exit * threshold
        self._cooldown = round(min(policy.cooldown_s, LONGEST) * 1e6)
        self._history = np.zeros(machines, np.int64)  # one bit a score, the newest lowest: above the enter level?
        self._hits = np.zeros(machines, np.int64)  # bits set among the newest n
        self._calm = np.zeros(machines, np.int64)  # scores in a row below the exit level
        self._is_active = np.zeros(machines, np.bool_)
        self._quiet_until = np.full(machines, NEVER)
        self._is_busy = np.zeros(machines, np.bool_)  # is active, or has a history
        self.is_busy_of_one = self._is_busy.data  # the same memory, as Python's truths

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {
            "history": self._history,
            "hits": self._hits,
            "calm": self._calm,
            "is_active": self._is_active,
            "quiet_until_time": self._quiet_until,
            "is_busy": self._is_busy,
        }

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says; the same bytes whatever other machines did: calm counts from the reading that raised an alarm."""
        all_of_it = super().remembered(machines)
        all_of_it["calm"] = all_of_it["calm"] * all_of_it["is_active"]
        return all_of_it

    def reset(self, machine: int | slice) -> None:
        """Forget everything about the machine, a raised alarm too."""
        self.restart(machine)
        self._is_active[machine] = self._is_busy[machine] = False
        self._quiet_until[machine] = NEVER

    def restart(self, machine: Machines | slice) -> None:
        """Forget the machine's recent scores; a raised alarm stays."""
        self._history[machine] = self._hits[machine] = self._calm[machine] = 0

    def state(self, machine: Machines) -> Any:
        """`QUIET` or `ACTIVE` for readings without a score, (...)."""
        return read(self._is_active, machine) * ACTIVE

    def step(
        self,
        machine: Machines,
        score: float | npt.NDArray[np.float64],
        time: int | npt.NDArray[np.int64],
        threshold: float | npt.NDArray[np.float64] | None = None,
    ) -> Any:
        """Take one score of each machine (...), at `time` (...) in microseconds; returns the alarm's state (...).

        `threshold` (...) is the one that judges these scores, where it is not always the same. The same arithmetic serves arrays and, for one machine, plain Python numbers, which are much faster than numpy's.
        """
        # Any: each name below is a number for one machine and an array for several.
        is_busy: Any = (self.is_busy_of_one if type(machine) is int else self._is_busy)[machine]
        enter: Any = self.enter if threshold is None else self._policy.enter * threshold
        is_above: Any = score > enter
        if (is_above is False and is_busy is False) or not holds_anywhere(is_above | is_busy):
            return QUIET * is_above  # all is quiet, and the state says so already
        history: Any = read(self._history, machine)
        was_active: Any = read(self._is_active, machine)
        quiet_until: Any = read(self._quiet_until, machine)
        hits = read(self._hits, machine) + is_above - (history >> (self._n - 1) & 1)
        exit_level: Any = self._exit if threshold is None else self._policy.exit * threshold
        calm = (read(self._calm, machine) + 1) * (score < exit_level)
        raises = is_above & (hits >= self._k) & (was_active == 0) & (time >= quiet_until)
        clears = was_active & (calm >= self._n)

        self._history[machine] = history = (history << 1 | is_above) & self._mask
        self._hits[machine] = hits
        self._calm[machine] = calm
        is_active = (was_active | raises) & (clears == 0)
        self._is_busy[machine] = is_active | (history != 0)
        if holds_anywhere(raises | clears):
            self._is_active[machine] = is_active
            self._quiet_until[machine] = quiet_until + clears * (time + self._cooldown - quiet_until)
        return raises * RAISED + clears * CLEARED + (was_active & (clears == 0)) * ACTIVE
