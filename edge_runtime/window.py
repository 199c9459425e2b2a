"""The last T readings of every machine, ready for the engine without copying.

A machine's readings are written one after the other into twice the room they need, so a window is always one contiguous stretch of
it, in order of time. At the end of the room the newest T - 1 readings are moved to its beginning, once in T + 1 readings.
"""

from __future__ import annotations

from struct import Struct

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns, Machines


class Windows:
    """The last T scaled readings of M machines."""

    def __init__(self, machines: int, length: int, channels: int) -> None:
        self.shape = (length, channels)
        self._length = length
        self._end = 2 * length  # of the room, in readings
        self._rows = np.zeros((machines, self._end, channels), np.float32)
        steps = np.lib.stride_tricks.sliding_window_view(self._rows, length, axis=1, writeable=False)
        self._views = steps.swapaxes(2, 3)  # (M, T + 1, T, C), no copy
        self._next = np.full(machines, length)  # where the next reading goes
        self._first = np.full(machines, length)  # where the first one since the restart is, or was
        # For one machine: the same memory as Python numbers and bytes, several times faster than numpy's smallest access.
        self._next_of_one, self._first_of_one = self._next.data, self._first.data
        self._bytes = self._rows.data.cast("B")
        self._pack = Struct(f"{channels}f").pack_into
        self._row_bytes = 4 * channels
        self._machine_bytes = self._row_bytes * self._end
        self._shown = (
            -1
        )  # the machine whose views are kept, since one machine alone asks for the same ones again and again
        self._kept: list[npt.NDArray[np.float32] | None] = []

    def restart(self, machine: Machines | slice) -> None:
        """Empty the machine's window."""
        self._first[machine] = self._next[machine]

    def push(self, machine: Machines, scaled: Columns) -> tuple[npt.NDArray[np.float32], bool | npt.NDArray[np.bool_]]:
        """Add one reading (C items) to each machine's window.

        Returns the windows (B, T, C) float32 that end with it, B = 1 for one machine, and whether they are full (...). For one
        machine the window is a view: use it before the machine's next reading.
        """
        if isinstance(machine, int):
            place = self._next_of_one[machine]
            if place == self._end:
                place = self._move(machine)
            self._pack(self._bytes, machine * self._machine_bytes + place * self._row_bytes, *scaled)
            self._next_of_one[machine] = end = place + 1
            return self._view(machine, end), end - self._first_of_one[machine] >= self._length
        places = self._next[machine]
        if (places == self._end).any():
            self._move(machine[places == self._end])
            places = self._next[machine]
        self._rows[machine, places] = np.stack(scaled, axis=-1)
        self._next[machine] = ends = places + 1
        return self._views[machine, ends - self._length], ends - self._first[machine] >= self._length

    def _view(self, machine: int, end: int) -> npt.NDArray[np.float32]:
        """The window (1, T, C) up to the given end."""
        if machine != self._shown:
            self._shown, self._kept = machine, [None] * (self._end + 1)
        view = self._kept[end]
        if view is None:
            self._kept[end] = view = self._views[machine : machine + 1, end - self._length]
        return view

    def _move(self, machine: Machines) -> int:
        """Move the newest T - 1 readings to the beginning of the machines' room; returns where the next one goes."""
        kept = self._length - 1
        self._rows[machine, :kept] = self._rows[machine, self._end - kept :]
        self._first[machine] -= self._end - kept
        self._next[machine] = kept
        return kept
