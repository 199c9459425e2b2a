"""Which part of a reading's time goes where: timers around the detector's steps, in a pass of its own.

The production code knows nothing of it: for this pass the methods of `HOOKS` are replaced in their classes, and a detector is built
with those. What the timers themselves take is measured and subtracted.

Where a detector does several steps in one function there is nothing to put a timer around. The time of that function is then shared out
in the proportions of the same steps taken one by one (`LONG_WAY`), and the stages of which that is true are named. If that way is
no more either, their time stays in `other`: less is said, but nothing wrong.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.bench.result import STAGES, Spread
from edge_runtime.detector import Detector
from edge_runtime.engines import Engine
from edge_runtime.readings import Reading, Verdict

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
"""Stage, module, class and method of every step. None calls another one. The engine is timed as an object."""

LONG_WAY = "_update"
"""The detector's method that answers a reading step by step, where `update` has a shorter way as well."""

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


class Stages(NamedTuple):
    """Where the time went."""

    spread: dict[str, Spread]
    """Microseconds by `STAGES`, of the readings that were scored."""
    shared_out: tuple[str, ...]
    """Those whose time is a share of a function that does several of them."""


class Times(NamedTuple):
    """What the timers read, of N scored readings."""

    whole: npt.NDArray[np.int64]
    """(N,) nanoseconds of the whole reading, with its timers."""
    spent: dict[str, npt.NDArray[np.int64]]
    """(N,) nanoseconds in each stage's timers."""
    calls: dict[str, npt.NDArray[np.int64]]
    """(N,) how often they were called."""


def split(opened: Detector, stream: Iterator[Reading], warm_up: int, seconds: float) -> Stages:
    """Time the stages of `Detector.update` for so many seconds, after `warm_up` readings that are not timed.

    A detector like `opened`, on the same engine, takes the readings. Raises `AttributeError` if a method of `HOOKS` is no more.
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
        times = _time_readings(detector.update, stream, timers, seconds)
        long_way = getattr(detector, LONG_WAY, None)
        one_by_one = None
        if long_way is not None and len(_own(times, 0.0)) < len(timers):
            one_by_one = _time_readings(long_way, stream, timers, seconds / 2)
    return share_out(times, one_by_one, *timer_cost())


def share_out(times: Times, one_by_one: Times | None, inside: float, around: float) -> Stages:
    """The stages' time and what is left of the whole: for each reading they add up to the whole less its timers.

    `one_by_one`: of the steps that `times` does not tell apart. `inside` is what a timer adds to what it reads, `around` what its call
    adds to the whole, both in nanoseconds.
    """
    stages = _own(times, inside)
    rest = times.whole - around * sum(times.calls.values()) - sum(stages.values())
    shared_out: dict[str, float] = {}
    if one_by_one is not None:
        known = _own(one_by_one, inside)
        left = one_by_one.whole - around * sum(one_by_one.calls.values()) - sum(known.values())
        shares = {stage: float(np.median(ns)) for stage, ns in known.items() if stage not in stages}
        total = sum(shares.values()) + max(float(np.median(left)), 0.0)
        shared_out = {stage: share / total for stage, share in shares.items() if total}
    stages |= {stage: share * rest for stage, share in shared_out.items()}
    stages["other"] = (1 - sum(shared_out.values())) * rest
    spread = {stage: _spread(stages[stage]) for stage in STAGES if stage in stages}
    return Stages(spread, tuple(stage for stage in STAGES if stage in shared_out))


def _own(times: Times, inside: float) -> dict[str, npt.NDArray[np.float64]]:
    """Nanoseconds (N,) of each stage that most readings went through by its timer."""
    return {
        stage: np.maximum(ns - inside * times.calls[stage], 0.0)
        for stage, ns in times.spent.items()
        if np.median(times.calls[stage]) > 0
    }


def _spread(ns: npt.NDArray[np.float64]) -> Spread:
    p50, p99 = np.percentile(ns / 1000, (50, 99)).tolist()
    return Spread(p50, p99)


def _time_readings(
    update: Callable[[Reading], Verdict], stream: Iterator[Reading], timers: dict[str, _Timer], seconds: float
) -> Times:
    """Time readings one after the other for so many seconds; those that are not scored are left out."""
    clock = time.perf_counter_ns
    whole = array("q")
    spent, calls = ({stage: array("q") for stage in timers} for _ in range(2))
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
            for stage, timer in timers.items():
                spent[stage].append(timer.ns)
                calls[stage].append(timer.calls)
    spent_ns, called = ({stage: np.array(each, np.int64) for stage, each in what.items()} for what in (spent, calls))
    return Times(np.array(whole, np.int64), spent_ns, called)


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
