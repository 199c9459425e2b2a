"""The whole flow: readings -> prepare -> engine -> score -> threshold -> alarm -> verdicts.

`update` (one reading), `update_many` (one reading each of many machines) and `score` (a table) are the same steps over
the same state; nothing else calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_runtime.alarm import Alarm
from edge_runtime.arguments import check_machine, check_machines, check_times, check_values
from edge_runtime.engines import Engine
from edge_runtime.errors import ReadingError
from edge_runtime.manifest import Manifest, MovingQuantileThreshold, SpotThreshold, Threshold
from edge_runtime.prepare import Preparation
from edge_runtime.readings import (
    SCORED,
    SENSOR_FAULT,
    Moment,
    Reading,
    Verdict,
    Verdicts,
    build_verdict,
    names_of,
    to_microseconds,
)
from edge_runtime.score import Scorer, not_finite
from edge_runtime.score_table import run_alarm, run_threshold, smooth_rows
from edge_runtime.smooth import Smooth
from edge_runtime.usual import usual_way

if TYPE_CHECKING:
    from edge_runtime.adapt import Adaptive
    from edge_runtime.features import Features

CHUNK = 256
"""Windows of a table that are scored together; it bounds the memory a long table takes."""
IN_TURN = 128
"""Windows that are gathered, run and scored before the next ones are, if the engine takes no more in one call."""


class Detector:
    """Scores readings of M machines with one model."""

    def __init__(
        self,
        manifest: Manifest,
        engine: Engine,
        *,
        machines: int = 1,
        batch: int | None = None,
        engine_name: str = "",
        variant_name: str = "",
    ) -> None:
        if machines < 1 or (batch is not None and batch < 1):
            raise ReadingError(f"expected at least one machine and a batch of at least 1, got {machines} and {batch}")
        self.manifest = manifest
        self.engine = engine
        self.engine_name = engine_name
        self.variant_name = variant_name
        self.machines = machines
        self.batch = batch or engine.best_batch
        """The most windows in one engine call."""
        self._channels = manifest.channel_names
        self._names = manifest.input_names
        self._threshold = manifest.threshold.value
        self._adaptive = _adaptive(manifest.threshold, machines)
        self._scorer = Scorer(manifest.score, manifest.output_shape, manifest.window.length)
        self._smooth = Smooth(manifest.score.smoothing, machines, len(self._names))
        self._preparation, self._alarm = self._new_state(machines)
        steps = (self._preparation, engine, self._scorer, self._smooth, self._adaptive, self._alarm)
        self._usual = usual_way(
            *steps, machines=machines, threshold=self._threshold, names=self._names, engine_name=engine_name
        )
        self._features: Features | None = None
        if manifest.waveform is not None:
            from edge_runtime.features import Features  # at start only where there are waveforms

            self._features = Features(manifest.waveform)

    def _new_state(self, machines: int) -> tuple[Preparation, Alarm]:
        m = self.manifest
        return Preparation(m.preparation, machines), Alarm(m.alarm, m.threshold.value, machines)

    def update(self, reading: Reading) -> Verdict:
        """Take one reading and answer it. Raises `ReadingError` if its form is wrong, never for what it measured."""
        return self._usual(reading) or self._update(reading)

    def _update(self, reading: Reading) -> Verdict:
        """The long way, for any reading."""
        machine = check_machine(reading.machine, self.machines)
        time = to_microseconds(reading.time)
        numbers = check_values(reading.values, self._channels, 1).tolist()
        status, restarted, window = self._preparation.step(machine, numbers, time)
        if restarted:
            self._smooth.restart(machine)
            self._alarm.restart(machine)
        if window is None:
            return self._without_score(machine, time, status)
        score, contributions = self._scorer.step(self.engine.run(window), window)
        if not score < np.inf:
            raise not_finite(self.engine_name, score)
        if not self._smooth.is_off:
            score, contributions = self._smooth.step(machine, contributions)
        threshold = self._threshold
        if self._adaptive is None:
            alarm = self._alarm.step(machine, score, time)
        else:
            threshold = self._adaptive.step(machine, score)
            alarm = self._alarm.step(machine, score, time, threshold)
        label = None if self.machines == 1 else machine
        return build_verdict(time, label, SCORED, score, threshold, alarm, self._names, contributions)

    def _without_score(self, machine: int, time: int, status: int) -> Verdict:
        alarm = self._alarm.state(machine)
        threshold = self._threshold if self._adaptive is None else self._adaptive.levels(machine)
        faults = names_of(self._channels, self._preparation.faults(machine)) if status == SENSOR_FAULT else ()
        label = None if self.machines == 1 else machine
        return build_verdict(time, label, status, np.nan, threshold, alarm, self._names, (), faults)

    def update_snapshot(
        self, time: Moment, samples: npt.ArrayLike, machine: int = 0, *, sample_rate_hz: float | None = None
    ) -> Verdict:
        """Take one snapshot of raw samples (N, C) and answer its features as `update` does.

        `samples` are in the units of the manifest's waveform; `sample_rate_hz` is compared with its own where it is given.
        Raises `ReadingError` for samples of another shape or rate, and if the detector knows no waveform.
        """
        if self._features is None:
            raise ReadingError(
                f"expected readings of {', '.join(self._channels)}, got a snapshot: it knows no waveform"
            )
        return self.update(Reading(time, self._features.step(samples, sample_rate_hz).tolist(), machine))

    def update_many(self, ids: npt.ArrayLike, values: npt.ArrayLike, times: Any) -> Verdicts:
        """Take one reading each of B machines and answer them in the order given.

        `ids`: (B,) machine indices, 0 to machines - 1; one that is repeated is taken in order. `values`: (B, C) in the channels'
        units, NaN where missing. `times`: (B,) as in `score`, or one time for all. Raises `ReadingError`.
        """
        machines = check_machines(ids, self.machines)
        readings = check_values(values, self._channels, 2)
        moments = check_times(times, len(machines))
        if len(readings) != len(machines):
            raise ReadingError(f"expected {len(machines)} rows of values, one for each id, got {len(readings)}")
        verdicts = self._new_verdicts(machines, moments)
        for rows in _rounds(machines):
            self._update_round(rows, machines[rows], readings[rows], moments[rows], verdicts)
        return verdicts

    def _update_round(
        self,
        rows: slice | npt.NDArray[np.int64],
        machines: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        times: npt.NDArray[np.int64],
        verdicts: Verdicts,
    ) -> None:
        """One reading each of different machines, answered into the given rows of `verdicts`."""
        status, restarted = self._preparation.take_many(machines, values, times)
        self._smooth.restart(machines[restarted])
        self._alarm.restart(machines[restarted])
        verdicts.status_codes[rows] = status
        verdicts.alarm_codes[rows] = self._alarm.state(machines)
        if self._adaptive is not None:
            verdicts.thresholds[rows] = self._adaptive.levels(machines)
        is_faulty = status == SENSOR_FAULT
        if is_faulty.any():
            faulty = np.arange(len(verdicts))[rows][is_faulty]
            verdicts.faults[faulty] = self._preparation.faults(machines[is_faulty]).T
        due = status == SCORED
        if not due.any():
            return
        of = self._preparation.windows.of
        whose = machines[due]
        scores, contributions = self._score_in_turn(len(whose), lambda some: of(whose[some]))
        if not self._smooth.is_off:
            scores, columns = self._smooth.step(whose, list(contributions.T))
            contributions = np.stack(columns, axis=-1)
        scored = np.arange(len(verdicts))[rows][due]
        verdicts.scores[scored] = scores
        verdicts.contributions[scored] = contributions
        threshold = None if self._adaptive is None else self._adaptive.step(whose, scores)
        verdicts.alarm_codes[scored] = self._alarm.step(whose, scores, times[due], threshold)

    def score(self, values: npt.ArrayLike, times: Any) -> Verdicts:
        """Score a table of readings of one machine.

        `values`: (N, C) in the channels' units, NaN where missing. `times`: (N,) datetime64 (UTC), datetimes, or seconds since 1970.
        Returns N verdicts. A table stands alone: it neither sees nor changes what `update` has taken. Raises `ReadingError`.
        """
        readings = check_values(values, self._channels, 2)
        moments = check_times(times, len(readings))
        verdicts = self._new_verdicts(np.zeros(len(readings), np.int64), moments)
        preparation, alarm = self._new_state(1)
        waiting: list[int] = []
        windows = np.empty((CHUNK, *self.manifest.window_shape), np.float32)

        def flush() -> None:
            if waiting:
                scores, contributions = self.score_windows(windows[: len(waiting)])
                verdicts.scores[waiting], verdicts.contributions[waiting] = scores, contributions
                waiting.clear()

        restarts = []
        for row, (reading, time) in enumerate(zip(readings.tolist(), moments.tolist(), strict=True)):
            verdicts.status_codes[row], restarted, window = preparation.step(0, reading, time)
            if restarted:
                restarts.append(row)
                if verdicts.status_codes[row] == SENSOR_FAULT:
                    verdicts.faults[row] = preparation.faults(0)
            if window is not None:
                windows[len(waiting)] = window
                waiting.append(row)
                if len(waiting) == CHUNK:
                    flush()
        flush()
        if not self._smooth.is_off:
            smooth_rows(self.manifest.score.smoothing, verdicts, restarts)
        if self._adaptive is not None:
            run_threshold(self.manifest.threshold, verdicts)
        run_alarm(alarm, verdicts, set(restarts))
        return verdicts

    def reset(self, machine: int | None = None) -> None:
        """Forget the readings and the alarm of one machine, or of all, and what its threshold learned."""
        which = slice(None) if machine is None else int(check_machines([machine], self.machines)[0])
        self._preparation.reset(which)
        self._smooth.restart(which)
        if self._adaptive is not None:
            self._adaptive.reset(which)
        self._alarm.reset(which)

    def steps(self) -> dict[str, Any]:
        """Everything that remembers something of its machines, by name; see `clean.Remembers`."""
        adaptive = {} if self._adaptive is None else {"adaptive": self._adaptive}
        return {**self._preparation.steps(), "smooth": self._smooth, **adaptive, "alarm": self._alarm}

    def close(self) -> None:
        """Give the model's memory back; the detector cannot score any more."""
        self.engine.close()

    def score_windows(
        self, windows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Score prepared windows (B, T, F), scaled, without smoothing, threshold and alarm.

        Returns the scores (B,) and the contributions (B, F). Raises `EngineError`.
        """
        return self._score_in_turn(len(windows), lambda some: windows[some])

    def _score_in_turn(
        self, count: int, windows_of: Callable[[slice], npt.NDArray[np.float32]]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The same for as many windows, handed over some at a time: what is calculated of them stays in the processor's cache."""
        scores, contributions = np.empty(count), np.empty((count, len(self._names)))
        size = self.batch
        at_a_time = size * max(1, IN_TURN // size)
        for start in range(0, count, at_a_time):
            some = slice(start, start + at_a_time)
            windows = windows_of(some)
            parts = [self.engine.run(windows[first : first + size]) for first in range(0, len(windows), size)]
            reconstructions = parts[0] if len(parts) == 1 else np.concatenate(parts)
            scores[some], contributions[some] = self._scorer.step_many(reconstructions, windows)
        is_finite = scores < np.inf
        if not is_finite.all():
            raise not_finite(self.engine_name, scores[~is_finite][0])
        return scores, contributions

    def _new_verdicts(self, machines: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> Verdicts:
        verdicts = Verdicts(len(machines), self._names, one_machine=self.machines == 1, sensors=self._channels)
        verdicts.machines[:] = machines
        verdicts.times[:] = times.view("datetime64[us]")
        verdicts.thresholds[:] = self._threshold
        return verdicts


def _rounds(machines: npt.NDArray[np.int64]) -> list[slice | npt.NDArray[np.int64]]:
    """Rows of readings such that no machine comes twice in a round, in order of arrival."""
    order = np.argsort(machines, kind="stable")
    is_new = np.diff(machines[order], prepend=-1) != 0
    if is_new.all():
        return [slice(None)]
    first = np.maximum.accumulate(np.where(is_new, np.arange(len(machines)), 0))
    turn = np.empty(len(machines), np.int64)
    turn[order] = np.arange(len(machines)) - first
    return [np.nonzero(turn == each)[0] for each in range(int(turn.max()) + 1)]


def _adaptive(threshold: Threshold, machines: int) -> Adaptive | None:
    """The state of a threshold that adapts; None for one that does not, which then costs nothing, not even the import."""
    if not isinstance(threshold, (MovingQuantileThreshold, SpotThreshold)):
        return None
    from edge_runtime.adapt import adaptive

    return adaptive(threshold, machines)
