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
Readings = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Times (N,) and values (N, C)."""


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

    MOST = 4096
    """Readings of a machine between two states, however many come at once; after more its past is not known until the next state."""

    def __init__(self, machines: int, channels: int, every: int) -> None:
        """`every`: readings of a machine from one state to the next. Rooms of machines that never come take no memory."""
        self._every, self._room = every, 2 * every
        self._times = np.empty((machines, self._room), np.int64)
        self._values = np.empty((machines, self._room, channels))
        self._count = np.zeros(machines, np.int64)  # readings since the older state
        self._split = np.zeros(machines, np.int64)  # of these before the newer one
        self._has = np.zeros(machines, np.bool_)  # an older state, and all readings since
        self._is_long = np.zeros(
            machines, np.bool_
        )  # more readings came at once than there is room for: a new state is due
        self._long: dict[int, list[Readings]] = {}
        """All readings of such machines, in parts."""
        self._older: list[bytes] = [b""] * machines
        self._newer: list[bytes] = [b""] * machines

    def take(self, ids: Ids, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Readings (B,), (B, C) of machines (B,), in order; one may come more than once."""
        if not self._has[ids].all():
            has = self._has[ids]
            ids, times, values = ids[has], times[has], values[has]
        rows = self._rows(ids)
        is_full = rows >= self._room
        if is_full.any() or self._long:
            for machine in {*ids[is_full].tolist(), *self._long} & {*ids.tolist()}:
                is_its = ids == machine
                self._make_room(machine, (times[is_its], values[is_its]))
            others = ~self._is_long[ids]
            ids, times, values = ids[others], times[others], values[others]
            rows = self._rows(ids)
        self._times[ids, rows] = times
        self._values[ids, rows] = values
        self._count[ids] = rows + 1  # the last of several counts: numpy assigns in order

    def keep(self, ids: Sequence[int], states: Sequence[bytes]) -> None:
        """The states of some machines after all their readings so far."""
        for machine, state in zip(ids, states, strict=True):
            if not self._has[machine] or self._is_long[machine]:
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
            self._has[machine], self._is_long[machine] = True, False
            self._long.pop(machine, None)

    def due(self) -> Ids:
        """The machines that need a new state."""
        return np.nonzero((self._count - self._split >= self._every) | self._is_long)[0]

    def has(self, machine: int) -> bool:
        """Whether the past of the machine is known."""
        return bool(self._has[machine])

    def is_new(self, machine: int) -> bool:
        """Whether no reading has come since its only state."""
        return not self._count[machine] and not self._is_long[machine]

    def of(self, machine: int, until: int | None = None) -> Past | None:
        """The past of a machine, to its first reading at the time `until`, if there is one; None if it is not known."""
        if not self._has[machine]:
            return None
        count = int(self._count[machine])
        times, values = self._times[machine, :count], self._values[machine, :count]
        if self._is_long[machine]:
            parts = self._long[machine]
            times, values = (np.concatenate([part[each] for part in parts]) for each in (0, 1))
        if until is not None and (times == until).any():
            end = int((times == until).argmax()) + 1
            times, values = times[:end], values[:end]
        return Past(self._older[machine], times.copy(), values.copy())

    def _rows(self, ids: Ids) -> Ids:
        """Where the machines' readings (B,) go, each in its machine's room."""
        rows: Ids = self._count[ids]
        return rows if len(set(ids.tolist())) == len(ids) else rows + _rank(ids)

    def _make_room(self, machine: int, new: Readings) -> None:
        """Take one machine's readings (N,), (N, C) elsewhere if they do not fit, even once the older state is forgotten."""
        since = int(self._count[machine] - self._split[machine])
        if self._newer[machine] and since + len(new[0]) <= self._room and not self._is_long[machine]:
            self._forget_older(machine)
            return
        if not self._is_long[machine]:
            count = self._count[machine]
            self._long[machine] = [(self._times[machine, :count].copy(), self._values[machine, :count].copy())]
            self._is_long[machine] = True
            self._count[machine] = self._split[machine] = 0
        parts = self._long[machine]
        parts.append(new)
        if sum(len(times) for times, _ in parts) > self.MOST:
            parts.clear()
            self._has[machine] = False

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
