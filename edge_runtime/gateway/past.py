"""What led to now: for each machine an older state, and every reading since, so that what was scored can be scored again.

A state is taken now and then, and the last but one is kept: so at least `every` readings follow it, a window and more, as soon as the
machine has had so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class Past(NamedTuple):
    """Of one machine."""

    state: bytes
    """Before the first of the readings, as `state.recall` takes it."""
    times: npt.NDArray[np.int64]
    """(N,), microseconds."""
    values: npt.NDArray[np.float64]
    """(N, C), as the detector was given them."""


class Pasts:
    """Of M machines of one group."""

    def __init__(self, machines: int, channels: int, every: int) -> None:
        """`every`: readings of a machine from one state to the next. Rooms of machines that never come take no memory."""
        self._every, self._room = every, 2 * every
        self._times = np.empty((machines, self._room), np.int64)
        self._values = np.empty((machines, self._room, channels))
        self._count = np.zeros(machines, np.int64)  # readings since the older state
        self._split = np.zeros(machines, np.int64)  # of these before the newer one
        self._has = np.zeros(machines, np.bool_)  # an older state, and all readings since
        self._is_lost = np.zeros(machines, np.bool_)  # more readings came than there is room for
        self._older: list[bytes] = [b""] * machines
        self._newer: list[bytes] = [b""] * machines

    def take(self, ids: Ids, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Readings (B,), (B, C) of machines (B,), in order; one may come more than once."""
        if not self._has[ids].all():
            has = self._has[ids]
            ids, times, values = ids[has], times[has], values[has]
        rows = self._count[ids]
        if len(set(ids.tolist())) < len(ids):
            rows = rows + _rank(ids)
        is_full = rows >= self._room
        if is_full.any():
            for machine in set(ids[is_full].tolist()):
                self._make_room(machine, int((ids == machine).sum()))
            self.take(ids, times, values)
            return
        self._times[ids, rows] = times
        self._values[ids, rows] = values
        self._count[ids] = rows + 1  # the last of several counts: numpy assigns in order

    def keep(self, ids: Sequence[int], states: Sequence[bytes]) -> None:
        """The states of some machines after all their readings so far."""
        for machine, state in zip(ids, states, strict=True):
            if not self._has[machine]:
                self.restart([machine], [state])
                continue
            if self._newer[machine]:
                self._forget_older(machine)
            self._newer[machine] = state
            self._split[machine] = self._count[machine]

    def restart(self, ids: Sequence[int], states: Sequence[bytes]) -> None:
        """The same where the readings before do not lead to the state: it was shifted, reset, or comes from elsewhere."""
        for machine, state in zip(ids, states, strict=True):
            self._older[machine], self._newer[machine] = state, b""
            self._count[machine] = self._split[machine] = 0
            self._has[machine], self._is_lost[machine] = True, False

    def due(self) -> Ids:
        """The machines that need a new state."""
        return np.nonzero((self._count - self._split >= self._every) | self._is_lost)[0]

    def has(self, machine: int) -> bool:
        """Whether the past of the machine is known."""
        return bool(self._has[machine])

    def is_new(self, machine: int) -> bool:
        """Whether no reading has come since its only state."""
        return not self._count[machine]

    def of(self, machine: int, until: int | None = None) -> Past | None:
        """The past of a machine, to its first reading at the time `until`, if there is one; None if it is not known."""
        if not self._has[machine]:
            return None
        count = int(self._count[machine])
        times = self._times[machine, :count]
        if until is not None and (times == until).any():
            count = int((times == until).argmax()) + 1
        return Past(self._older[machine], times[:count].copy(), self._values[machine, :count].copy())

    def _make_room(self, machine: int, wanted: int) -> None:
        if self._newer[machine] and self._count[machine] - self._split[machine] + wanted <= self._room:
            self._forget_older(machine)
        else:
            self._has[machine], self._is_lost[machine] = False, True
            self._older[machine] = self._newer[machine] = b""
            self._count[machine] = self._split[machine] = 0

    def _forget_older(self, machine: int) -> None:
        """The newer state takes the place of the older one, and there is no newer one."""
        split, count = int(self._split[machine]), int(self._count[machine])
        for readings in (self._times, self._values):
            readings[machine, : count - split] = readings[machine, split:count].copy()
        self._count[machine], self._split[machine] = count - split, 0
        self._older[machine], self._newer[machine] = self._newer[machine], b""


def _rank(ids: Ids) -> Ids:
    """How often each machine came before in the same readings (B,)."""
    seen: dict[int, int] = {}
    rank = np.empty(len(ids), np.int64)
    for row, machine in enumerate(ids.tolist()):
        rank[row] = seen[machine] = seen.get(machine, -1) + 1
    return rank
