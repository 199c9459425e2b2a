"""The last T readings of every machine, ready for the engine without copying.

A machine's readings are written one after the other into twice the room they need, so a window is always one contiguous stretch of
it, in order of time. At the end of the room the newest T - 1 readings are moved to its beginning, once in T + 1 readings.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns, Machines

KEPT = 4
"""The most machines whose windows are kept as views: a machine's T + 1 take several times the memory of its readings."""


class Windows:
    """The last T scaled readings of M machines."""

    def __init__(self, machines: int, length: int, channels: int) -> None:
        self.shape = (length, channels)
        self.length, self.room = length, 2 * length
        self._rows = np.zeros((machines, self.room, channels), np.float32)
        steps = np.lib.stride_tricks.sliding_window_view(self._rows, length, axis=1, writeable=False)
        self._views = steps.swapaxes(2, 3)  # (M, T + 1, T, C), no copy
        self._next = np.full(machines, length)  # the row the next reading goes to
        self._first = np.full(
            machines, length
        )  # the row of the first one since the restart; below zero if it has left the room
        # For one machine: the same memory as Python numbers and bytes, several times faster than numpy's smallest access.
        self.next_of_one, self.first_of_one = self._next.data, self._first.data
        self.bytes = self._rows.data.cast("B")
        self.pack = Struct(f"{channels}f").pack_into
        # Of the machines seen last, by machine and row: where the row is in bytes, and the window that ends with it.
        self.kept: dict[int, tuple[int, npt.NDArray[np.float32]]] = {}

    def restart(self, machine: Machines | slice) -> None:
        """Empty the machine's window."""
        self._first[machine] = self._next[machine]

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """What the next windows of some machines (B,) will hold: the newest T - 1 readings, zeros where there are fewer."""
        kept = self.length - 1
        count = np.minimum(self._next[machines] - self._first[machines], kept)
        place = np.arange(-kept, 0)
        newest = self._rows[machines[:, None], self._next[machines][:, None] + place]
        newest[place < -count[:, None]] = 0
        return {"count": count, "newest": newest}

    def recall(self, machines: npt.NDArray[np.int64], remembered: dict[str, npt.NDArray[Any]]) -> None:
        """Go on with what was remembered of these machines (B,)."""
        self._rows[machines, 1 : self.length] = remembered["newest"]
        self._next[machines] = self.length
        self._first[machines] = self.length - remembered["count"]

    def push(self, machine: int, scaled: Columns) -> tuple[npt.NDArray[np.float32], bool]:
        """Add one reading (C items) to one machine's window.

        Returns the window (1, T, C) float32 that ends with it, a view: use it before the machine's next reading; and whether it is full.
        """
        row = self.next_of_one[machine]
        if row == self.room:
            row = self.move_one(machine)
        offset, window = self.kept.get(machine * self.room + row) or self.keep(machine, row)
        self.pack(self.bytes, offset, *scaled)
        self.next_of_one[machine] = row = row + 1
        return window, row - self.first_of_one[machine] >= self.length

    def add(self, machines: npt.NDArray[np.int64], scaled: Columns) -> npt.NDArray[np.bool_]:
        """Add one reading to the window of each of different machines (B,); returns whether they are full (B,)."""
        rows = self._next[machines]
        if (rows == self.room).any():
            self._move(machines[rows == self.room])
            rows = self._next[machines]
        self._rows[machines, rows] = np.stack(scaled, axis=-1)
        self._next[machines] = ends = rows + 1
        is_full: npt.NDArray[np.bool_] = ends - self._first[machines] >= self.length
        return is_full

    def of(self, machines: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The windows (B, T, C) that end with the newest readings of some machines (B,), as they are now: a copy."""
        windows: npt.NDArray[np.float32] = self._views[machines, self._next[machines] - self.length]
        return windows

    def keep(self, machine: int, row: int) -> tuple[int, npt.NDArray[np.float32]]:
        """Where a machine's row is in bytes, and the window (1, T, C) that ends with it."""
        if len(self.kept) > KEPT * self.length:
            self.kept.clear()
        place = machine * self.room + row
        window = self._views[machine : machine + 1, row + 1 - self.length]
        self.kept[place] = kept = (place * self._rows.strides[1], window)
        return kept

    def move_one(self, machine: int) -> int:
        """The same as `_move` for one machine, in a tenth of the time; returns the row its next reading goes to."""
        kept, bytes_of_row = self.length - 1, self._rows.strides[1]
        end = (machine + 1) * self._rows.strides[0]
        start, size = end - self._rows.strides[0], kept * bytes_of_row
        self.bytes[start : start + size] = self.bytes[end - size : end]
        self.first_of_one[machine] -= self.room - kept
        self.next_of_one[machine] = kept
        return kept

    def _move(self, machine: npt.NDArray[np.int64]) -> None:
        """Move the newest T - 1 readings to the beginning of the machines' room."""
        kept = self.length - 1
        self._rows[machine, :kept] = self._rows[machine, self.room - kept :]
        self._first[machine] -= self.room - kept
        self._next[machine] = kept
