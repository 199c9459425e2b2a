"""The last T readings of every machine, ready for the engine without copying.

A ring buffer that is written twice, T rows apart: the window that ends at any position is then one contiguous
stretch of it, in order of time.
"""

from __future__ import annotations

from struct import Struct

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Columns, Machines, read


class Windows:
    """Ring buffers of T scaled readings for M machines."""

    def __init__(self, machines: int, length: int, channels: int) -> None:
        self.shape = (length, channels)
        self._length = length
        self._ring = np.zeros((machines, 2 * length, channels), np.float32)
        steps = np.lib.stride_tricks.sliding_window_view(self._ring, length, axis=1, writeable=False)
        self._views = steps.swapaxes(2, 3)  # (M, T + 1, T, C), no copy
        both = self._ring.reshape(machines, 2, length, channels)
        self._both = both.swapaxes(1, 2)  # (M, T, 2, C): one assignment writes a reading to both places
        # For one machine, packing its numbers twice is three times faster than numpy's smallest assignment.
        self._bytes = self._ring.data.cast("B")
        self._pack = Struct(f"{channels}f").pack_into
        self._reading_bytes = 4 * channels
        self._copy_bytes = self._reading_bytes * length
        self._machine_bytes = 2 * self._copy_bytes
        self._next = np.zeros(machines, np.int64)
        self._filled = np.zeros(machines, np.int64)

    def restart(self, machine: Machines | slice) -> None:
        """Empty the machine's window."""
        self._filled[machine] = 0

    def push(self, machine: Machines, scaled: Columns) -> tuple[npt.NDArray[np.float32], bool | npt.NDArray[np.bool_]]:
        """Add one reading (C items) to each machine's window.

        Returns the windows (..., T, C) float32 that end with it, and whether they are full (...). For one machine the window
        is a view of the ring: use it before the machine's next reading.
        """
        position = read(self._next, machine)
        filled = read(self._filled, machine) + 1
        if isinstance(machine, int):
            offset = machine * self._machine_bytes + position * self._reading_bytes
            self._pack(self._bytes, offset, *scaled)
            self._pack(self._bytes, offset + self._copy_bytes, *scaled)
        else:
            self._both[machine, position] = np.stack(scaled, axis=-1)[:, None]
        self._next[machine] = (position + 1) % self._length
        self._filled[machine] = filled
        return self._views[machine, position + 1], filled >= self._length
