"""Which part of a reading's time goes where: timers around the detector's steps, in a pass of its own.

The production code knows nothing of it: for this pass the methods of `HOOKS` are replaced in their classes, and a detector is built
with those. What the timers themselves take is measured and subtracted.

Where a detector does all steps in one function, what that function calls is timed. For what is left there is nothing to put a timer
around: it is shared out in the proportions of the same steps taken one by one (`LONG_WAY`), and the stages of which that is true are
named. If that way is no more either, their time stays in `other`: less is said, but nothing wrong.
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
SHORT_WAY = "_usual"
"""The detector's function that answers a usual reading, where it has one: all steps in one."""
CALLS = {
    "window": ("kept", "pack"),
    "score": ("subtract", "absolute", "multiply", "matmul", "dot", "to_bytes"),
}
"""What that function calls by names of its own, by stage."""
LONG_WAY = "_update"
"""The detector's method that answers any reading, step by step, where it has a short way as well."""

TIMED = STAGES[:-1]
DEAREST = 5.0
"""Times its cost in a loop of its own: more than that no timer costs, and what else made the timed readings slower is not its."""
_ROUNDS, _REPEATS = 15, 400
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


class Times:
    """What the timers read, of N scored readings."""

    def __init__(self) -> None:
        self.whole = array("q")
        """Nanoseconds of each whole reading, with its timers."""
        self.spent = {stage: array("q") for stage in TIMED}
        """Nanoseconds in each stage's timers."""
        self.calls = {stage: array("q") for stage in TIMED}
        """How often they were called."""

    def own(self, inside: float) -> dict[str, npt.NDArray[np.float64]]:
        """Nanoseconds (N,) of each stage that most readings went through by its timer, of which `inside` a call is the timer's."""
        calls = {stage: np.array(each, np.int64) for stage, each in self.calls.items()}
        return {
            stage: np.maximum(np.array(self.spent[stage], np.int64) - inside * each, 0.0)
            for stage, each in calls.items()
            if np.median(each) > 0
        }

    def without_timers(self, around: float) -> npt.NDArray[np.float64]:
        """Nanoseconds (N,) of the whole, without the `around` that each call of a timer adds."""
        calls = np.sum([np.array(each, np.int64) for each in self.calls.values()], axis=0)
        whole: npt.NDArray[np.float64] = np.array(self.whole, np.float64) - around * calls
        return whole


class Split:
    """Times the stages of one detector's readings, in as many turns as wanted."""

    def __init__(self, opened: Detector, stream: Iterator[Reading], warm_up: int) -> None:
        """A detector like `opened`, on the same engine, takes the readings, the first `warm_up` of them untimed."""
        self._stream = stream
        self._timers = {stage: _Timer() for stage in TIMED}
        self._times, self._one_by_one = Times(), Times()
        with _timed_classes(self._timers):
            self._detector = Detector(
                opened.manifest,
                _TimedEngine(opened.engine, self._timers["engine"]),
                engine_name=opened.engine_name,
                variant_name=opened.variant_name,
                batch=opened.batch,
            )
            _time_calls(getattr(self._detector, SHORT_WAY, None), self._timers)
            for _ in range(warm_up):
                self._detector.update(next(stream))

    def take(self, seconds: float) -> None:
        """Time readings one after the other for so many seconds."""
        with _timed_classes(self._timers):
            self._take(self._detector.update, self._times, seconds)
            long_way = getattr(self._detector, LONG_WAY, None)
            if long_way is not None and len(self._times.own(0.0)) < len(TIMED):
                self._take(long_way, self._one_by_one, seconds / 2)

    def stages(self, whole_us: float) -> Stages:
        """Where the time of all turns went; `whole_us` is the median of readings without timers, taken in turn with these."""
        return share_out(self._times, self._one_by_one, *cost_in_use(self._times, whole_us, *timer_cost()))

    def _take(self, update: Callable[[Reading], Verdict], times: Times, seconds: float) -> None:
        clock = time.perf_counter_ns
        columns = [(timer, times.spent[stage], times.calls[stage]) for stage, timer in self._timers.items()]
        end = clock() + round(seconds * 1e9)
        after = 0
        while after < end or not times.whole:
            reading = next(self._stream)
            for timer, _, _ in columns:
                timer.ns = timer.calls = 0
            before = clock()
            verdict = update(reading)
            after = clock()
            if verdict.score is not None:  # the others are left out
                times.whole.append(after - before)
                for timer, spent, calls in columns:
                    spent.append(timer.ns)
                    calls.append(timer.calls)


def cost_in_use(times: Times, whole_us: float, inside: float, around: float) -> tuple[float, float]:
    """What a timer costs between other work, from what it costs in a loop of its own, `inside` and `around` (`timer_cost`).

    It costs more there, since other work has had the caches: what the median reading takes longer with its timers tells how much.
    """
    calls = float(np.median(np.sum([np.array(each) for each in times.calls.values()], axis=0)))
    longer = float(np.median(times.whole)) - 1000 * whole_us
    factor = longer / (calls * around) if calls * around else 1.0
    factor = min(max(factor, 1.0), DEAREST)
    return factor * inside, factor * around


def share_out(times: Times, one_by_one: Times, inside: float, around: float) -> Stages:
    """The stages' time and what is left of the whole: for each reading they add up to the whole less its timers.

    `one_by_one`: of the steps that `times` does not tell apart, if any. `inside` is what a timer adds to what it reads, `around` what
    its call adds to the whole, both in nanoseconds.
    """
    stages = times.own(inside)
    rest = times.without_timers(around) - sum(stages.values())
    shared_out: dict[str, float] = {}
    if one_by_one.whole:
        known = one_by_one.own(inside)
        left = one_by_one.without_timers(around) - sum(known.values())
        shares = {stage: float(np.median(ns)) for stage, ns in known.items() if stage not in stages}
        total = sum(shares.values()) + max(float(np.median(left)), 0.0)
        shared_out = {stage: share / total for stage, share in shares.items() if total}
    stages |= {stage: share * rest for stage, share in shared_out.items()}
    stages["other"] = (1 - sum(shared_out.values())) * rest
    spread = {stage: _spread(stages[stage]) for stage in STAGES if stage in stages}
    return Stages(spread, tuple(stage for stage in STAGES if stage in shared_out))


def _spread(ns: npt.NDArray[np.float64]) -> Spread:
    p50, p99 = np.percentile(ns / 1000, (50, 99)).tolist()
    return Spread(p50, p99)


@contextmanager
def _timed_classes(timers: dict[str, _Timer]) -> Iterator[None]:
    """Replace the methods of `HOOKS` while the block runs, those that are there."""
    replaced: list[tuple[type, str, Any]] = []
    try:
        for stage, module, name, method in HOOKS:
            owner = getattr(import_module(module), name)
            function = vars(owner).get(method)
            if function is not None:
                replaced.append((owner, method, function))
                setattr(owner, method, timers[stage].around(function))
        yield
    finally:
        for owner, method, function in replaced:
            setattr(owner, method, function)


def _time_calls(function: Any, timers: dict[str, _Timer]) -> None:
    """Put timers around what the short way calls: it belongs to one detector, so nothing is to be put back."""
    stages = {name: stage for stage, names in CALLS.items() for name in names}
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(free, getattr(function, "__closure__", None) or (), strict=True):
        if name in stages:
            cell.cell_contents = timers[stages[name]].around(cell.cell_contents)


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
    calls = range(_REPEATS)
    begin = clock()
    for _ in calls:
        function(1, 2)
    middle = clock()
    for _ in calls:
        pass
    return (2 * middle - begin - clock()) / _REPEATS
