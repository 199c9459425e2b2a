"""Readings in, windows out: clean, derive, scale and window as one object, the same in training and on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LARGEST_SCALED, Clean, Columns, Machines, choose, holds_anywhere
from edge_runtime.manifest import PreparationSections
from edge_runtime.readings import COLLECTING, GAP, OFF, SCORED, SENSOR_FAULT, WARMING_UP
from edge_runtime.scale import Scale
from edge_runtime.window import Windows

if TYPE_CHECKING:
    from edge_runtime.derive import Derive
    from edge_runtime.grid import GridRows
    from edge_runtime.operating import OperatingState
    from edge_runtime.sensors import SensorFaults


class Preparation:
    """Turns readings of M machines into windows. Causal: a window holds only what had arrived."""

    def __init__(self, sections: PreparationSections, machines: int = 1, scale: Scale | None = None) -> None:
        """`scale` stands in for the sections' own; training listens there to the inputs that a scaling is fitted to."""
        s = sections
        self._grid: GridRows | None = None
        self._operating: OperatingState | None = None
        self._sensors: SensorFaults | None = None
        self._derive: Derive | None = None
        of_channels, scaling = s.scaling, s.scaling
        # Imported where they are asked for: the others start without them.
        if s.sampling.grid is not None:
            from edge_runtime.grid import GridRows

            self._grid = GridRows(s.sampling.grid, s.sampling, s.cleaning, len(s.channels), machines)
        if s.operating is not None:
            from edge_runtime.operating import OperatingState

            names = tuple(channel.name for channel in s.channels)
            self._operating = OperatingState(s.operating, s.sampling, names, machines)
        if any(channel.is_watched for channel in s.channels):
            from edge_runtime.sensors import SensorFaults

            self._sensors = SensorFaults(s.channels, machines)
        if s.derived or not all(channel.is_input for channel in s.channels):
            from edge_runtime.derive import Derive, scaling_of_channels

            self._derive = Derive(s.channels, s.derived, machines)
            of_channels = scaling_of_channels(s.channels, scaling)
            if scaling.clip is None:  # cleaning keeps the channels within this, but not what is derived from them
                scaling = scaling.replaced(clip=LARGEST_SCALED)
        self._judges = self._operating is not None or self._sensors is not None
        self._tells_silent = s.sensors is not None and s.sensors.silent
        self.clean = Clean(s.channels, s.sampling, s.cleaning, of_channels, machines, s.sensors)
        self.scale = scale or Scale(scaling, self.clean.limits if self._derive is None else None)
        is_plain = self._grid is None and self._derive is None and scale is None and not self._judges
        self.is_plain = is_plain and not self.clean.has_rates
        """Whether a usual reading may take the short way (`usual.py`): nothing stands between its limits and its scaling."""
        self.windows = Windows(machines, s.window.length, len(s.input_names))

    def steps(self) -> dict[str, Any]:
        """Everything here that remembers something of its machines, by name; see `clean.Remembers`."""
        steps = {
            "grid": self._grid,
            "clean": self.clean,
            "operating": self._operating,
            "sensors": self._sensors,
            "derive": self._derive,
            "windows": self.windows,
        }
        return {name: step for name, step in steps.items() if step is not None}

    def reset(self, machine: int | slice) -> None:
        """Forget everything about the machine."""
        if self._grid is not None:
            self._grid.reset(machine)
        self.clean.reset(machine)
        if self._operating is not None:
            self._operating.reset(machine)
        if self._sensors is not None:
            self._sensors.reset(machine)
        self.windows.restart(machine)
        if self._derive is not None:
            self._derive.restart(machine)

    def step(
        self, machine: int, values: Sequence[float], time: int
    ) -> tuple[int, bool, npt.NDArray[np.float32] | None]:
        """Take one reading of one machine: C `values` in the channels' units, `time` in microseconds.

        Returns its status, whether the window restarted, and the window (1, T, F) float32 that ends with it if the status is
        `SCORED`, else None. The window is a view: use it before the machine's next reading.
        """
        if self._grid is None:
            return self._step_row(machine, values, time)
        rows = self._grid.step(machine, values, time)
        if rows is None:
            return GAP, False, None
        status, restarted = COLLECTING, False
        window = None
        for row in rows:  # the answer is that of the last one
            status, restarts, window = self._step_row(machine, row.values, row.time)
            status = GAP if restarted and status == WARMING_UP else status
            restarted = restarted or restarts
        return status, restarted, window

    def _step_row(
        self, machine: int, values: Sequence[float], time: int
    ) -> tuple[int, bool, npt.NDArray[np.float32] | None]:
        """The same for a reading that stands for itself, or a row of the grid."""
        filled, status, restarts, is_complete = self.clean.step(machine, values, time)
        if self._judges:
            status, restarts, is_complete = self._judge(machine, values, time, status, restarts, is_complete)
        if restarts:
            self.windows.restart(machine)
            if self._derive is not None:
                self._derive.restart(machine)
        if not is_complete:
            return int(status), bool(restarts), None
        if self._derive is not None:
            filled, is_ready = self._derive.step(machine, filled, time)
            if not is_ready:
                return WARMING_UP if status == SCORED else int(status), bool(restarts), None
        window, is_full = self.windows.push(machine, self.scale.step(filled))
        if status != SCORED:
            return int(status), bool(restarts), None
        return (SCORED, False, window) if is_full else (WARMING_UP, False, None)

    def take_many(
        self, machines: npt.NDArray[np.int64], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Take one reading of each of B different machines: `values` (B, C), `times` (B,) in microseconds.

        Returns the status (B,) and whether the window restarted (B,). The windows of the readings whose status is `SCORED` are
        `windows.of` their machines, until these take the next one.
        """
        if self._grid is None:
            return self._take_rows(machines, values, times)
        readings = zip(machines.tolist(), values.tolist(), times.tolist(), strict=True)
        completed = [self._grid.step(*reading) for reading in readings]
        statuses = np.array([GAP if rows is None else COLLECTING for rows in completed], np.int64)
        restarted = np.zeros(len(machines), np.bool_)
        for turn in range(max((len(rows) for rows in completed if rows), default=0)):
            due = np.array([i for i, rows in enumerate(completed) if rows and turn < len(rows)], np.int64)
            taken = [rows[turn] for rows in completed if rows and turn < len(rows)]
            values, times = np.array([row.values for row in taken]), np.array([row.time for row in taken], np.int64)
            status, restarts = self._take_rows(machines[due], values, times)
            statuses[due] = np.where(restarted[due] & (status == WARMING_UP), GAP, status)
            restarted[due] |= restarts
        return statuses, restarted

    def _take_rows(
        self, machines: npt.NDArray[np.int64], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The same for readings that stand for themselves, or rows of the grid."""
        columns = list(values.T)
        filled, status, restarts, is_complete = self.clean.step(machines, columns, times)
        if self._judges:
            status, restarts, is_complete = self._judge(machines, columns, times, status, restarts, is_complete)
        if np.ndim(status) == 0 and self._derive is None:  # nothing wrong with any of them
            is_full = self.windows.add(machines, self.scale.step(filled))
            return np.where(is_full, SCORED, WARMING_UP), np.zeros(len(machines), np.bool_)
        statuses, restarted, complete = (
            np.array(np.broadcast_to(each, machines.shape)) for each in (status, restarts, is_complete)
        )
        self.windows.restart(machines[restarted])
        columns = [column[complete] for column in filled]
        if self._derive is not None:
            self._derive.restart(machines[restarted])
            columns, is_ready = self._derive.step(machines[complete], columns, times[complete])
            columns = [column[is_ready] for column in columns]
            complete[complete] = is_ready
            statuses[~complete & (statuses == SCORED)] = WARMING_UP
        is_full = self.windows.add(machines[complete], self.scale.step(columns))
        pushed = statuses[complete]
        statuses[complete] = np.where((pushed == SCORED) & ~is_full, WARMING_UP, pushed)
        return statuses, restarted

    def _judge(
        self, machine: Machines, values: Columns, time: Any, status: Any, restarts: Any, is_complete: Any
    ) -> tuple[Any, Any, Any]:
        """Keep a reading out of the window if the machine is not in the state the model knows, or a sensor is at fault.

        `values`: C items as measured. Takes and returns what `Clean.step` says of one reading of each machine: its status,
        whether the window restarts, and whether the reading may enter it.
        """
        is_new = is_complete | restarts  # a late reading changes nothing
        is_known: Any = True
        is_on: Any = True
        is_faulty: Any = False
        if self._operating is not None:
            is_known, is_on = self._operating.step(machine, self.clean.held, time, is_new)
        if self._sensors is not None:
            is_faulty = self._sensors.step(machine, values, is_new, is_on)
        is_dropped = is_new & ((is_on ^ True) | is_faulty)
        if not holds_anywhere(is_dropped):
            return status, restarts, is_complete
        why = choose(is_known, OFF, choose(status == SCORED, GAP, status))
        why = choose(is_on, SENSOR_FAULT, why)
        return choose(is_dropped, why, status), restarts | is_dropped, is_complete & (is_dropped ^ True)

    def faults(self, machine: Machines) -> npt.NDArray[np.bool_]:
        """Which sensors (C, ...) are at fault, for machines whose last reading was answered `SENSOR_FAULT`."""
        silent = self.clean.silent(machine) if self._tells_silent else np.bool_(False)
        return np.asarray(silent if self._sensors is None else self._sensors.faults(machine) | silent)

    def windows_of(
        self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Every full window of a table: `values` (N, C), `times` (N,) in microseconds.

        Starts fresh, with machine 0. Returns the windows (B, T, F) float32, the row each ends with (B,), and whether it is the
        first since the window restarted (B,).
        """
        self.reset(0)
        windows, ends, begins = [], [], []
        is_first = True
        for row, (reading, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
            _, restarted, window = self.step(0, reading, time)
            is_first = is_first or restarted
            if window is not None:
                windows.append(window[0].copy())
                ends.append(row)
                begins.append(is_first)
                is_first = False
        empty = np.empty((0, *self.windows.shape), np.float32)
        return np.stack(windows) if windows else empty, np.array(ends, np.int64), np.array(begins, np.bool_)

    def usable(
        self, values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """What a scaling may be fitted to: `values` (N, C) of a table with NaN wherever the device would not take the value.

        That is a value that is missing, impossible or from a sensor at fault, and the whole row while the machine is not in the
        state the model knows. With a grid, a row that it completes stands with the reading that completed it. `times` (N,) in
        microseconds. Returns also in which rows the machine is in that state (N,). Starts fresh, with machine 0.
        """
        self.reset(0)
        taken = np.full(values.shape, np.nan)
        in_state = np.zeros(len(values), np.bool_)
        is_on = self._operating is None
        for index, (reading, time) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
            for row, end in [(reading, time)] if self._grid is None else self._grid.step(0, reading, time) or ():
                is_on, good = self._usable_row(row, end)
                taken[index] = good if is_on else np.nan
            in_state[index] = is_on
        return taken, in_state

    def _usable_row(self, values: list[float], time: int) -> tuple[bool, list[float]]:
        """Whether machine 0 is in the state the model knows, and its values with NaN in place of what cannot be used."""
        filled, _, restarts, is_complete = self.clean.step(0, values, time)
        is_new, is_on = bool(is_complete or restarts), True
        good = [value if value == kept else np.nan for value, kept in zip(values, filled, strict=True)]
        if self._operating is not None:
            is_on = bool(self._operating.step(0, self.clean.held, time, is_new)[1])
        if self._sensors is not None and self._sensors.step(0, values, is_new, is_on):
            good = np.where(self._sensors.faults(0), np.nan, good).tolist()
        return is_on, good
