"""Readings in, windows out: clean, derive, scale and window as one object, the same in training and on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LARGEST_SCALED, Clean
from edge_runtime.manifest import PreparationSections
from edge_runtime.readings import SCORED, WARMING_UP
from edge_runtime.scale import Scale
from edge_runtime.window import Windows

if TYPE_CHECKING:
    from edge_runtime.derive import Derive


class Preparation:
    """Turns readings of M machines into windows. Causal: a window holds only what had arrived."""

    def __init__(self, sections: PreparationSections, machines: int = 1, scale: Scale | None = None) -> None:
        """`scale` stands in for the sections' own; training listens there to the inputs that a scaling is fitted to."""
        s = sections
        of_channels, scaling = s.scaling, s.scaling
        self._derive: Derive | None = None
        if s.derived or not all(channel.is_input for channel in s.channels):
            from edge_runtime.derive import Derive, scaling_of_channels  # at start only where something is derived

            self._derive = Derive(s.channels, s.derived, machines)
            of_channels = scaling_of_channels(s.channels, scaling)
            if scaling.clip is None:  # cleaning keeps the channels within this, but not what is derived from them
                scaling = replace(scaling, clip=LARGEST_SCALED)
        self._clean = Clean(s.channels, s.sampling, s.cleaning, of_channels, machines)
        self._scale = scale or Scale(scaling)
        self._windows = Windows(machines, s.window.length, len(s.input_names))

    def reset(self, machine: int | slice) -> None:
        """Forget everything about the machine."""
        self._clean.reset(machine)
        self._windows.restart(machine)
        if self._derive is not None:
            self._derive.restart(machine)

    def step(
        self, machine: int, values: Sequence[float], time: int
    ) -> tuple[int, bool, npt.NDArray[np.float32] | None]:
        """Take one reading of one machine: C `values` in the channels' units, `time` in microseconds.

        Returns its status, whether the window restarted, and the window (T, F) float32 that ends with it if the status is
        `SCORED`, else None. The window is a view: use it before the machine's next reading.
        """
        filled, status, restarts, is_complete = self._clean.step(machine, values, time)
        if restarts:
            self._windows.restart(machine)
            if self._derive is not None:
                self._derive.restart(machine)
        if not is_complete:
            return int(status), bool(restarts), None
        if self._derive is not None:
            filled, is_ready = self._derive.step(machine, filled, time)
            if not is_ready:
                return WARMING_UP if status == SCORED else int(status), bool(restarts), None
        window, is_full = self._windows.push(machine, self._scale.step(filled))
        if status != SCORED:
            return int(status), bool(restarts), None
        return (SCORED, False, window) if is_full else (WARMING_UP, False, None)

    def step_many(
        self, machines: npt.NDArray[np.int64], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Take one reading of each of B different machines: `values` (B, C), `times` (B,) in microseconds.

        Returns the status (B,), whether the window restarted (B,), and the windows (D, T, F) float32 of the D readings whose
        status is `SCORED`, in their order.
        """
        filled, status, restarts, is_complete = self._clean.step(machines, list(values.T), times)
        if np.ndim(status) == 0 and self._derive is None:  # nothing wrong with any of them
            windows, is_full = self._windows.push(machines, self._scale.step(filled))
            statuses = np.where(is_full, SCORED, WARMING_UP)
            return statuses, np.zeros(len(machines), np.bool_), windows if np.all(is_full) else windows[is_full]
        statuses, restarted, complete = (
            np.array(np.broadcast_to(each, machines.shape)) for each in (status, restarts, is_complete)
        )
        self._windows.restart(machines[restarted])
        columns = [column[complete] for column in filled]
        if self._derive is not None:
            self._derive.restart(machines[restarted])
            columns, is_ready = self._derive.step(machines[complete], columns, times[complete])
            columns = [column[is_ready] for column in columns]
            complete[complete] = is_ready
            statuses[~complete & (statuses == SCORED)] = WARMING_UP
        windows, is_full = self._windows.push(machines[complete], self._scale.step(columns))
        pushed = statuses[complete]
        statuses[complete] = np.where((pushed == SCORED) & ~np.asarray(is_full), WARMING_UP, pushed)
        return statuses, restarted, windows[statuses[complete] == SCORED]

    def windows_of(
        self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Every full window of a table: `values` (N, C), `times` (N,) in microseconds.

        Starts fresh, with machine 0. Returns the windows (B, T, F) float32 and the row each ends with (B,).
        """
        self.reset(0)
        windows, ends = [], []
        for row, (reading, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
            _, _, window = self.step(0, reading, time)
            if window is not None:
                windows.append(window.copy())
                ends.append(row)
        empty = np.empty((0, *self._windows.shape), np.float32)
        return np.stack(windows) if windows else empty, np.array(ends, np.int64)
