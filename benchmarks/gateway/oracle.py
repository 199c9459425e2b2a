"""What an uninterrupted detector would say: every machine alone, one reading at a time, in order, nothing ever stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.gateway.plant import Plant
from benchmarks.gateway.stream import Sample
from edge_runtime import Reading, load
from edge_runtime.engines import Engine
from edge_runtime.readings import Verdict


class Event(NamedTuple):
    """An alert that the reading of a machine raises or clears."""

    machine: str
    time: int
    """Microseconds since 1970, of the reading."""
    kind: str
    score: float
    threshold: float

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from every other one."""
        return self.machine, self.time, self.kind


class Doubled:
    """An engine that is never asked for one window alone: its bits do not depend on how many there are then."""

    best_batch = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at_once = max(engine.best_batch, 2)

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self._engine.run(np.concatenate((windows, windows)))[: len(windows)]

    def close(self) -> None:
        self._engine.close()


class Oracle:
    """The detectors of a plant's machines."""

    def __init__(self, plant: Plant) -> None:
        self._update: dict[str, Callable[[Reading], Verdict]] = {}
        self._rows: dict[str, int] = {}
        self.verdicts: dict[str, Verdict] = {}
        """Of each machine, the last one."""
        for part in plant.parts:
            detector = load(plant.folder / part.bundle, engine=part.engine, machines=part.count)
            if detector.engine.best_batch > 1:
                detector.engine = Doubled(detector.engine)
            for row, machine in enumerate(part.machines):
                # The long way round: the short one was given the engine before it was replaced.
                self._update[machine], self._rows[machine] = detector._update, row

    def take(self, machine: str, sample: Sample) -> Event | None:
        """Give the machine's detector a reading; returns the alert that it raises or clears, if it does."""
        time = np.datetime64(sample.time, "us")
        self.verdicts[machine] = verdict = self._update[machine](Reading(time, sample.values, self._rows[machine]))
        if verdict.alarm not in ("raised", "cleared") or verdict.score is None:
            return None
        return Event(machine, sample.time, verdict.alarm, verdict.score, verdict.threshold)
