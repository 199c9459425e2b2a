"""Which part of a reading's time goes where: timers around the detector's steps, in a pass of its own.

The production code knows nothing of it: for this pass the methods of `HOOKS` are replaced in their classes, and a detector
is built with those. What the timers themselves take is measured and subtracted. A stage whose methods the detector never calls has no
figure, and its time is in `other`: never a wrong one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bench.result import STAGES, Spread
from edge_runtime.detector import Detector
from edge_runtime.engines import Engine
from edge_runtime.readings import Reading

HOOKS = (
    ("clean", "edge_runtime.clean", "Clean", "take"),
    ("clean", "edge_runtime.clean", "Clean", "step"),
    ("clean", "edge_runtime.grid", "GridRows", "step"),
    ("clean", "edge_runtime.operating", "OperatingState", "step"),
    ("clean", "edge_runtime.sensors", "SensorFaults", "step"),
    ("scale", "edge_runtime.derive", "Derive", "step"),
    ("scale", "edge_runtime.scale", "Scale", "step"),
    ("window", "edge_runtime.window", "Windows", "push"),
    ("score", "edge_runtime.score", "Scorer", "step"),
    ("score", "edge_runtime.smooth", "Smooth", "step"),
    ("threshold", "edge_runtime.adapt", "MovingQuantile", "step"),
    ("threshold", "edge_runtime.adapt", "Spot", "step"),
    ("threshold", "edge_runtime.alarm", "Alarm", "step"),
)
"""Stage, module, class and method of every step; the engine is timed as an object. None of them calls another one."""

_ROUNDS, _CALLS = 15, 400
"""Of the measurement of the timers."""


class _Timer:
    """Adds up what the calls of one stage take during one reading."""

    def __init__(self) -> None:
        self.ns = 0
        self.calls = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""
        clock = time.perf_counter_ns

        def timed(*arguments: Any) -> Any:
            begin = clock()
            answer = function(*arguments)
            self.ns += clock() - begin
            self.calls += 1
            return answer

        return timed


def split(opened: Detector, stream: Iterator[Reading], warm_up: int, seconds: float) -> dict[str, Spread]:
    """Time the stages of `Detector.update` for so many seconds, after `warm_up` readings that are not timed.

    A detector like `opened`, on the same engine, takes the readings. Returns microseconds by `STAGES`, of the readings that were scored.
    Raises `AttributeError` if a method of `HOOKS` is no more.
    """
    timers = {stage: _Timer() for stage in STAGES[:-1]}
    with _timed_classes(timers):
        engine = _TimedEngine(opened.engine, timers["engine"])
        detector = Detector(
            opened.manifest,
            engine,
            engine_name=opened.engine_name,
            variant_name=opened.variant_name,
            batch=opened.batch,
        )
        for _ in range(warm_up):
            detector.update(next(stream))
        timed = _time_readings(detector, stream, timers, seconds)
    return spreads(*timed, *timer_cost())


def spreads(
    whole: npt.NDArray[np.int64],
    spent: dict[str, npt.NDArray[np.int64]],
    calls: dict[str, npt.NDArray[np.int64]],
    inside: float,
    around: float,
) -> dict[str, Spread]:
    """Each stage's time, and what is left of the whole; the stages and `other` add up to the whole less its timers, for each reading.

    `whole`, and `spent` and `calls` of each stage: (N,) nanoseconds, and calls of a timer. `inside` is what a timer adds to what it
    reads, `around` what its call adds to the whole, both in nanoseconds.
    """
    rest = whole - around * sum(calls.values())
    result = {}
    for stage, ns in spent.items():
        if calls[stage].any():
            own = np.maximum(ns - inside * calls[stage], 0.0)
            rest = rest - own
            result[stage] = _spread(own)
    result["other"] = _spread(rest)
    return result


def _spread(ns: npt.NDArray[np.float64]) -> Spread:
    p50, p99 = np.percentile(ns / 1000, (50, 99)).tolist()
    return Spread(p50, p99)


def _time_readings(
    detector: Detector, stream: Iterator[Reading], timers: dict[str, _Timer], seconds: float
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int64]], dict[str, npt.NDArray[np.int64]]]:
    """Nanoseconds of each scored reading, and nanoseconds and calls of each stage in it."""
    clock, update = time.perf_counter_ns, detector.update
    whole = array("q")
    rows = [(timer, array("q"), array("q")) for timer in timers.values()]
    end = clock() + round(seconds * 1e9)
    after = 0
    while after < end or not whole:
        reading = next(stream)
        for timer in timers.values():
            timer.ns = timer.calls = 0
        before = clock()
        verdict = update(reading)
        after = clock()
        if verdict.score is not None:
            whole.append(after - before)
            for timer, ns, calls in rows:
                ns.append(timer.ns)
                calls.append(timer.calls)
    names = list(timers)
    spent = {name: np.array(ns, np.int64) for name, (_, ns, _) in zip(names, rows, strict=True)}
    called = {name: np.array(calls, np.int64) for name, (_, _, calls) in zip(names, rows, strict=True)}
    return np.array(whole, np.int64), spent, called


@contextmanager
def _timed_classes(timers: dict[str, _Timer]) -> Iterator[None]:
    """Replace the methods of `HOOKS` while the block runs. Raises `AttributeError` for one that is no more."""
    replaced: list[tuple[type, str, Any]] = []
    try:
        for stage, module, name, method in HOOKS:
            owner = getattr(import_module(module), name)
            replaced.append((owner, method, getattr(owner, method)))
            setattr(owner, method, timers[stage].around(getattr(owner, method)))
        yield
    finally:
        for owner, method, function in replaced:
            setattr(owner, method, function)


class _TimedEngine:
    """An engine whose calls are timed."""

    def __init__(self, engine: Engine, timer: _Timer) -> None:
        self.best_batch = engine.best_batch
        self.run = timer.around(engine.run)
        self.close = engine.close


def timer_cost() -> tuple[float, float]:
    """Nanoseconds that a timer adds to what it reads, and that its call adds to everything around it."""
    timer = _Timer()
    timed = timer.around(_nothing)
    inside, around = [], []
    for _ in range(_ROUNDS):
        timer.ns = timer.calls = 0
        with_timer, plain = _ns_a_call(timed), _ns_a_call(_nothing)
        inside.append(timer.ns / timer.calls - plain)
        around.append(with_timer - plain)
    return max(float(np.median(inside)), 0.0), max(float(np.median(around)), 0.0)


def _nothing(*_: object) -> None:
    """What a timer is measured with."""


def _ns_a_call(function: Callable[..., Any]) -> float:
    clock = time.perf_counter_ns
    calls = range(_CALLS)
    begin = clock()
    for _ in calls:
        function(1, 2)
    middle = clock()
    for _ in calls:
        pass
    return (2 * middle - begin - clock()) / _CALLS
