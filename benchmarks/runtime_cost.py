"""What the runtime costs above the bare engine: a reading, a thousand machines, one more machine, a fresh process.

Each case is run as `python -m benchmarks.runtime_cost CASE BUNDLE ENGINE QUICK` in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bare import Run, model_of, open_bare, open_bare_batch, start_command
from benchmarks.in_turn import block, in_turn, processes_in_turn
from edge_runtime import Detector, Reading, load
from edge_runtime.readings import SCORED

MACHINES = 1000
FLEETS = (1, 1000, 3000, 6000, 10_000)
"""How many machines share a bundle where the memory of one more is fitted."""
_START = """
from edge_runtime import Reading, load
detector = load({bundle!r}, engine={engine!r})
for time in range({length}):
    verdict = detector.update(Reading(float(time), {reading}))
assert verdict.status == "scored", verdict
"""


def update_cost(bundle: Path, engine: str, quick: bool = False) -> dict[str, Any]:
    """Microseconds of `Detector.update` for one reading against the bare engine for one window.

    `above_us` holds all of it, also what our code puts out of the processor's caches; `without_engine_us_p50`, of the same detector with an
    engine that does nothing, is our code alone.
    """
    detector = load(bundle, engine=engine)
    data, shape = model_of(bundle, engine)
    bare = open_bare(engine, data, shape)
    rng = np.random.default_rng(1)
    window = rng.normal(size=(1, *shape)).astype(np.float32)
    readings = [tuple(row) for row in rng.normal(size=(256, shape[1])).tolist()]
    clock = _Clock()

    def update() -> None:
        detector.update(Reading(clock.tick(), readings[clock.now % 256]))

    for _ in range(2 * shape[0]):
        update()
    rounds = 20 if quick else 400
    turns = in_turn(update, lambda: bare(window), calls=25, rounds=rounds)
    yardstick = in_turn(_plain_steps(shape), lambda: None, calls=25, rounds=rounds).ours
    detector = Detector(detector.manifest, _NoEngine(detector))
    for _ in range(2 * shape[0]):
        update()
    alone = in_turn(update, lambda: None, calls=25, rounds=rounds).ours
    return {
        "us_p50": turns.ours, "bare_us_p50": turns.bare, "above_us": turns.above,
        "without_engine_us_p50": alone, "plain_numpy_us_p50": yardstick,
    }  # fmt: skip


def update_many_cost(bundle: Path, engine: str, quick: bool = False) -> dict[str, Any]:
    """Microseconds a machine of one `update_many` of 1,000 machines against the bare engine at its best batch."""
    detector = load(bundle, engine=engine, machines=MACHINES)
    data, shape = model_of(bundle, engine)
    rng = np.random.default_rng(1)
    ids, values = np.arange(MACHINES), rng.normal(size=(64, MACHINES, shape[1]))
    windows = rng.normal(size=(MACHINES, *shape)).astype(np.float32)
    clock = _Clock()

    def update_many() -> None:
        detector.update_many(ids, values[clock.now % 64], clock.tick())

    for _ in range(shape[0] + 1):
        update_many()
    run, batches = open_bare_batch(engine, data, shape)
    tried = {size: min(block(lambda: _in_batches(run, windows, size), 1) for _ in range(5)) for size in batches}  # noqa: B023
    best = min(tried, key=lambda size: tried[size])
    turns = in_turn(update_many, lambda: _in_batches(run, windows, best), calls=1, rounds=5 if quick else 60)
    return {
        "us_p50": turns.ours / MACHINES, "bare_us_p50": turns.bare / MACHINES, "above_us": turns.above / MACHINES,
        "ratio": turns.ours / turns.bare, "bare_batch": best,
    }  # fmt: skip


def machines_cost(bundle: Path, engine: str, quick: bool = False) -> dict[str, Any]:
    """Bytes that one more machine takes on a shared bundle, its window full: least squares over fleets of 1 to 10,000.

    `resident`: of the process's own memory; `traced`: of what Python and numpy allocated; `call`: what one `update_many` of the whole fleet
    takes beside that while it runs.
    """
    fleets = FLEETS[:3] if quick else FLEETS
    resident, kept = _grown(bundle, engine, fleets, _resident)
    del kept
    tracemalloc.start()
    traced, kept = _grown(bundle, engine, fleets, lambda: tracemalloc.get_traced_memory()[0])
    calls = [(detector.machines, _peak_of_a_call(detector)) for detector in kept]
    return {
        "resident_bytes": _slope(resident),
        "traced_bytes": _slope(traced),
        "call_bytes": _slope(calls),
    }


def start_cost(bundle: Path, engine: str, quick: bool = False) -> dict[str, Any]:
    """A fresh process up to its first verdict, and `anomalite score` of one window, against numpy, engine and model alone."""
    data, (length, channels) = model_of(bundle, engine)
    table = bundle.parent / "one-window.csv"
    rows = [f"{step},{','.join('0.1' for _ in range(channels))}" for step in range(length)]
    table.write_text("\n".join([f"time,{','.join(f'c{i}' for i in range(channels))}", *rows]) + "\n")
    floor = start_command(engine, data, bundle.parent / f"bare-{engine}.model")
    ours = _START.format(bundle=str(bundle), engine=engine, length=length, reading=(0.1,) * channels)
    score = ["-m", "edge_runtime.cli", "score", str(bundle), str(table), "--engine", engine]
    commands = [[sys.executable, *each] for each in (["-c", floor], ["-c", ours], score)]
    bare, first, command = processes_in_turn(commands, 2 if quick else 21)
    return {
        "ms": first.ms, "cpu_ms": first.cpu_ms, "peak_mb": first.peak_mb,
        "bare_ms": bare.ms, "bare_cpu_ms": bare.cpu_ms, "bare_peak_mb": bare.peak_mb,
        "score_ms": command.ms, "score_cpu_ms": command.cpu_ms, "score_peak_mb": command.peak_mb,
        "ratio": first.ms / bare.ms, "cpu_ratio": first.cpu_ms / bare.cpu_ms, "above_mb": first.peak_mb - bare.peak_mb,
        "score_ratio": command.ms / bare.ms, "score_above_mb": command.peak_mb - bare.peak_mb,
    }  # fmt: skip


def _plain_steps(shape: tuple[int, int]) -> Callable[[], object]:
    """A yardstick for this machine's speed: cleaning, scaling, window and score of one reading, as one would first write it."""
    channels = shape[1]
    center, scale, held = np.zeros(channels), np.ones(channels), np.zeros(channels)
    window, reconstruction = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    reading = tuple(0.1 * (i + 1) for i in range(channels))

    def run() -> object:
        values = np.asarray(reading)
        held[:] = np.where(np.isnan(values), held, values)
        window[:-1] = window[1:]
        window[-1] = (held - center) / scale
        return np.abs(reconstruction - window).mean()

    return run


class _NoEngine:
    """Answers every window with zeros."""

    best_batch = 1

    def __init__(self, detector: Detector) -> None:
        self._output = np.zeros((1, *detector.manifest.output_shape), np.float32)

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self._output

    def close(self) -> None:
        """Nothing to give back."""


class _Clock:
    """Seconds that pass one at a time."""

    def __init__(self) -> None:
        self.now = 0

    def tick(self) -> float:
        self.now += 1
        return float(self.now)


def _in_batches(run: Run, windows: npt.NDArray[np.float32], size: int) -> None:
    for start in range(0, len(windows), size):
        run(windows[start : start + size])


def _grown(
    bundle: Path, engine: str, fleets: Sequence[int], memory: Callable[[], int]
) -> tuple[list[tuple[int, int]], list[Detector]]:
    """By how much the memory grows with each fleet; all are kept, so that none is given the memory of another."""
    warm_up = load(bundle, engine=engine, machines=64)  # what the engine allocates once is no machine's
    _fill(warm_up)
    kept: list[Detector] = []
    points = []
    for machines in fleets:
        before = memory()
        kept.append(load(bundle, engine=engine, machines=machines))
        _fill(kept[-1])
        points.append((machines, memory() - before))
    return points, kept


def _fill(detector: Detector, together: int = 64) -> None:
    """Readings until every machine has a verdict, a few machines a call."""
    length, period = detector.manifest.window.length, detector.manifest.sampling.period_s
    values = _usual(detector, together)
    for start in range(0, detector.machines, together):
        ids = np.arange(start, min(start + together, detector.machines))
        for time in range(length + 2):
            detector.update_many(ids, values[: len(ids)], time * period)


def _usual(detector: Detector, rows: int) -> npt.NDArray[np.float64]:
    """Readings (rows, C) about the middle of what the model was trained on."""
    center, scale = (np.asarray(each) for each in (detector.manifest.scaling.center, detector.manifest.scaling.scale))
    return center + 0.5 * scale * np.random.default_rng(1).uniform(-1, 1, (rows, len(center)))


def _peak_of_a_call(detector: Detector) -> int:
    """Bytes that one `update_many` of all machines takes while it runs."""
    ids, values = np.arange(detector.machines), _usual(detector, detector.machines)
    now = (detector.manifest.window.length + 2) * detector.manifest.sampling.period_s
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    verdicts = detector.update_many(ids, values, now)
    assert set(verdicts.status_codes.tolist()) == {SCORED}
    return tracemalloc.get_traced_memory()[1] - before


def _resident() -> int:
    """Bytes of this process's own that are in memory."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Private_Dirty"))) * 1024


def _slope(points: list[tuple[int, int]]) -> float:
    x, y = np.asarray(points, np.float64).T
    return float(np.polyfit(x, y, 1)[0])


CASES: dict[str, Callable[[Path, str, bool], dict[str, Any]]] = {
    "update": update_cost,
    "update_many": update_many_cost,
    "machines": machines_cost,
    "start": start_cost,
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], sys.argv[4:] == ["quick"])))
