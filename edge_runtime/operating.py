"""The operating state: whether the machine is in the state the model knows.

The rule `when` switches the state on, the rule `until` off (two levels, so that a value at the border does not switch to and
fro); both looks at the channels' last good values, so a missing one keeps the state for `hold_limit` readings. Then the
state is unknown, and so it is after a gap: the machine may have been off meanwhile. From wherever it is first seen on, it
settles. Only the past is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LONGEST, NEVER, Machines, Remembers, choose, read
from edge_runtime.manifest import Operating, Sampling
from edge_runtime.rule import channels_of, compile_rule, parse_rule

IS_OFF = 2**61
"""In place of the time at which the machine switched on: later than all others."""


class OperatingState(Remembers):
    """Follows the state of M machines."""

    def __init__(self, rule: Operating, sampling: Sampling, channels: Sequence[str], machines: int) -> None:
        when = parse_rule(rule.when)
        until = () if rule.until is None else parse_rule(rule.until)
        names = channels_of(when + until)
        self._inputs = [channels.index(name) for name in names]
        self._when = compile_rule(when, names)
        self._until = None if rule.until is None else compile_rule(until, names)
        self._settle = round(rule.settle_s * 1e6)
        self._longest_gap = round(min(sampling.longest_gap_s, LONGEST) * 1e6)
        self._since = np.full(machines, IS_OFF)
        self._last_time = np.full(machines, NEVER)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {"since_time": self._since, "last_time": self._last_time}

    def reset(self, machine: Machines | slice) -> None:
        """Forget the machine's state."""
        self._since[machine] = IS_OFF
        self._last_time[machine] = NEVER

    def step(
        self, machine: Machines, held: Sequence[npt.NDArray[np.float64]], time: Any, is_new: Any
    ) -> tuple[Any, Any]:
        """Take one reading of each machine.

        `held`: C arrays (M,) of each channel's last good value, NaN where there is none; `time`: microseconds since 1970 UTC;
        `is_new`: false for a reading that changes nothing, because it is late. Returns whether the state is known, and whether
        the machine is in the one the model knows.
        """
        values = [read(held[channel], machine) for channel in self._inputs]
        is_known: Any = True
        for value in values:
            is_known = is_known & (value == value)
        since, last_time = read(self._since, machine), read(self._last_time, machine)
        is_after_gap = time - last_time > self._longest_gap
        is_on = since != IS_OFF
        is_on = is_on & (is_after_gap ^ True)
        since = choose(is_on, since, time)
        begins = self._when(values)
        if self._until is None:
            is_on = begins
        else:
            is_on = (begins | is_on) & (self._until(values) ^ True)
        since = choose(is_on & is_known, since, IS_OFF)
        self._since[machine] = choose(is_new, since, read(self._since, machine))
        self._last_time[machine] = choose(is_new, time, last_time)
        return is_known, time - since >= self._settle
