"""The stages of a reading: every hook is there and used, and what they take adds up to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from test_bench_latency import BUNDLES

from edge_runtime.bench import stages
from edge_runtime.bench.result import STAGES
from edge_runtime.bench.usual import readings, usual_values
from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.opening import load
from edge_runtime.readings import Reading


def split_of(detector: Detector, stream: Iterator[Reading], seconds: float) -> stages.Stages:
    """In two turns."""
    split = stages.Split(detector, stream, 60)
    split.take(seconds / 2)
    split.take(seconds / 2)
    return split.stages(float("inf"))  # as cheap as in a loop of their own


def opened(path: Path) -> tuple[Detector, Iterator[Reading]]:
    detector = load(path)
    return detector, readings(usual_values(Bundle.read(path)), detector.manifest.sampling.period_s)


@pytest.mark.parametrize("hook", stages.HOOKS, ids="-".join)
def test_every_hook_is_a_method(hook: tuple[str, str, str, str]) -> None:
    """A step that was renamed or moved is missed here, not in a figure that is quietly wrong."""
    stage, module, name, method = hook
    assert stage in STAGES
    assert callable(vars(getattr(import_module(module), name))[method])


@pytest.mark.skipif(find_spec("edge_runtime.usual") is None, reason="the detector has no short way")
def test_every_call_of_the_short_way_is_there(tmp_path: Path) -> None:
    """Under its name in the function that does all steps, and the long way beside it."""
    detector, _ = opened(handmade.sealed(tmp_path / "a.anomalite"))
    assert set(stages.CALLS) < set(STAGES)
    calls = {name for names in stages.CALLS.values() for name in names}
    assert calls <= set(getattr(detector, stages.SHORT_WAY).__code__.co_freevars)
    assert callable(getattr(detector, stages.LONG_WAY))


@pytest.mark.parametrize("name", BUNDLES)
def test_every_stage_has_its_time(tmp_path: Path, name: str) -> None:
    """None is missing, whatever the bundle does with a reading: its timer is called, or it is shared out."""
    detector, stream = opened(handmade.sealed(tmp_path / "a.anomalite", BUNDLES[name], golden=False))
    split = split_of(detector, stream, 0.05)
    assert tuple(split.spread) == STAGES
    assert "engine" not in split.shared_out
    for stage in STAGES[:-1]:
        assert 0 <= split.spread[stage].us_p50 <= split.spread[stage].us_p99


def test_the_timers_are_taken_away_again(tmp_path: Path) -> None:
    """Production code is as it was, also when a reading fails meanwhile."""
    detector, stream = opened(handmade.sealed(tmp_path / "a.anomalite"))
    owners = [(getattr(import_module(module), name), method) for _, module, name, method in stages.HOOKS]
    before = [getattr(owner, method) for owner, method in owners]
    split_of(detector, stream, 0.01)
    assert [getattr(owner, method) for owner, method in owners] == before
    with pytest.raises(StopIteration):
        split_of(detector, iter([]), 0.01)
    assert [getattr(owner, method) for owner, method in owners] == before


def times(whole: list[int], **stage: tuple[int, int] | list[tuple[int, int]]) -> stages.Times:
    """Of every reading, or of each, nanoseconds in a stage's timer and its calls; zero where a stage is not given."""
    found = stages.Times()
    found.whole.extend(whole)
    for name in stages.TIMED:
        given = stage.get(name, (0, 0))
        for ns, calls in given if isinstance(given, list) else [given] * len(whole):
            found.spent[name].append(ns)
            found.calls[name].append(calls)
    return found


def test_the_stages_add_up_to_the_whole_less_its_timers() -> None:
    """For every reading: what a timer adds to what it reads, and to what is around it, is in neither."""
    found = times([1000, 1000, 1000], engine=(510, 1), score=(220, 2))
    split = stages.share_out(found, stages.Times(), inside=10.0, around=50.0)
    assert split.shared_out == ()
    middle = {stage: round(spread.us_p50, 6) for stage, spread in split.spread.items()}
    assert middle == {"engine": 0.5, "score": 0.2, "other": 0.15}
    assert sum(middle.values()) == pytest.approx((1000 - 3 * 50) / 1000)


@pytest.mark.parametrize(
    ("whole_us", "expected"), [(0.7, (30.0, 150.0)), (0.9, (10.0, 50.0)), (1.2, (10.0, 50.0)), (0.0, (50.0, 250.0))]
)
def test_a_timer_costs_what_readings_take_longer_with_it(whole_us: float, expected: tuple[float, float]) -> None:
    """At least what it costs in a loop of its own, and at most five times that."""
    found = times([1000, 1000, 1000], engine=(510, 1), score=(220, 1))
    assert stages.cost_in_use(found, whole_us, 10.0, 50.0) == pytest.approx(expected)


def test_steps_in_one_function_share_its_time() -> None:
    """In the proportions they have one by one; a timer that few readings reach counts as none."""
    found = times([1000] * 3, engine=(600, 1), threshold=[(0, 0), (0, 0), (90, 1)])
    apart = times([1500] * 3, engine=(700, 1), threshold=(200, 1))
    split = stages.share_out(found, apart, inside=0.0, around=0.0)
    assert split.shared_out == ("threshold",)
    middle = {stage: round(spread.us_p50, 6) for stage, spread in split.spread.items()}
    assert middle == {"engine": 0.6, "threshold": 0.1, "other": 0.3}  # 200 of the 800 that are not the engine's


def test_a_detector_with_a_short_way(tmp_path: Path) -> None:
    """Where `update` does steps in one function, they are timed on the way that takes them one by one."""
    detector, stream = opened(handmade.sealed(tmp_path / "a.anomalite"))
    split = split_of(detector, stream, 0.05)
    assert {"clean", "scale"} <= set(split.shared_out)
    assert "engine" not in split.shared_out
    assert tuple(split.spread) == STAGES


def test_a_timer_reads_what_passes_between() -> None:
    """Its own cost is small against a millisecond, and never negative."""
    inside, around = stages.timer_cost()
    assert inside >= 0
    assert 0 <= around < 1e6
    timer: Any = stages._Timer()
    assert timer.around(lambda a, b: a + b)(1, 2) == 3
    assert timer.calls == 1
    assert timer.ns > 0


@pytest.mark.heavy
def test_the_sum_agrees_with_the_untimed_whole(tmp_path: Path) -> None:
    """Within a fifth, in short turns: this machine may be busy with other things."""
    from edge_runtime.bench import latency

    detector, stream = opened(handmade.sealed(tmp_path / "a.anomalite", handmade.manifest(32, 4)))
    latency.warm_up(detector, stream)
    timed, split = latency.Latencies(), stages.Split(detector, stream, 60)
    for _ in range(20):
        timed.take(detector, stream, 0.03)
        split.take(0.03)
    whole = sum(each.us_p50 for each in split.stages(float(np.median(timed.us))).spread.values())
    assert whole == pytest.approx(np.median(timed.us), rel=0.2)
