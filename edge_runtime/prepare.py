"""Readings in, windows out: clean, scale and window as one object, the same in training and on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Clean
from edge_runtime.manifest import PreparationSections
from edge_runtime.readings import SCORED, WARMING_UP
from edge_runtime.scale import Scale
from edge_runtime.window import Windows


class Preparation:
    """Turns readings of M machines into windows. Causal: a window holds only what had arrived."""

    def __init__(self, sections: PreparationSections, machines: int = 1) -> None:
        s = sections
        self._clean = Clean(s.channels, s.sampling, s.cleaning, s.scaling, machines)
        self._scale = Scale(s.scaling)
        self._windows = Windows(machines, s.window.length, len(s.input_names))

    def reset(self, machine: int | slice) -> None:
        """Forget everything about the machine."""
        self._clean.reset(machine)
        self._windows.restart(machine)

    def step(
        self, machine: int, values: Sequence[float], time: int
    ) -> tuple[int, bool, npt.NDArray[np.float32] | None]:
        """Take one reading of one machine: C `values` in the channels' units, `time` in microseconds.

        Returns its status, whether the window restarted, and the window (T, C) float32 that ends with it if the status is
        `SCORED`, else None. The window is a view: use it before the machine's next reading.
        """
        filled, status, restarts, is_complete = self._clean.step(machine, values, time)
        if restarts:
            self._windows.restart(machine)
        if not is_complete:
            return int(status), bool(restarts), None
        window, is_full = self._windows.push(machine, self._scale.step(filled))
        if status != SCORED:
            return int(status), bool(restarts), None
        return (SCORED, False, window) if is_full else (WARMING_UP, False, None)

    def step_many(
        self, machines: npt.NDArray[np.int64], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Take one reading of each of B different machines: `values` (B, C), `times` (B,) in microseconds.

        Returns the status (B,), whether the window restarted (B,), and the windows (D, T, C) float32 of the D readings whose
        status is `SCORED`, in their order.
        """
        filled, status, restarts, is_complete = self._clean.step(machines, list(values.T), times)
        if np.ndim(status) == 0:  # nothing wrong with any of them
            windows, is_full = self._windows.push(machines, self._scale.step(filled))
            statuses = np.where(is_full, SCORED, WARMING_UP)
            return statuses, np.zeros(len(machines), np.bool_), windows if np.all(is_full) else windows[is_full]
        statuses, restarted, complete = np.asarray(status), np.asarray(restarts), np.asarray(is_complete)
        self._windows.restart(machines[restarted])
        windows, is_full = self._windows.push(
            machines[complete], self._scale.step([column[complete] for column in filled])
        )
        pushed = statuses[complete]
        statuses[complete] = np.where((pushed == SCORED) & ~np.asarray(is_full), WARMING_UP, pushed)
        return statuses, restarted, windows[statuses[complete] == SCORED]

    def windows_of(
        self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Every full window of a table: `values` (N, C), `times` (N,) in microseconds.

        Starts fresh, with machine 0. Returns the windows (B, T, C) float32, the row each ends with (B,), and whether it is the
        first since the window restarted (B,).
        """
        self.reset(0)
        windows, ends, begins = [], [], []
        is_first = True
        for row, (reading, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
            _, restarted, window = self.step(0, reading, time)
            is_first = is_first or restarted
            if window is not None:
                windows.append(window.copy())
                ends.append(row)
                begins.append(is_first)
                is_first = False
        empty = np.empty((0, *self._windows.shape), np.float32)
        return np.stack(windows) if windows else empty, np.array(ends, np.int64), np.array(begins, np.bool_)
