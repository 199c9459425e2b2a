"""The short way of one reading against the long one: the same verdicts to the last bit, whatever comes in which form."""

from __future__ import annotations

import math
import pickle
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import Reading, ReadingError, Verdict
from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.errors import EngineError
from edge_runtime.manifest import AlarmPolicy, Channel, Cleaning, Manifest, PercentileThreshold, Scaling, Score

T = 4
number = st.one_of(
    st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([0.0, 5.0, -5.0, 5.000001, 9.0, math.nan, 1e300])
)
step = st.sampled_from([1.0] * 12 + [0.5, 0.0, -1.0, 3.0, 3.5])
form = st.sampled_from(["tuple", "tuple", "tuple", "list", "array", "numpy numbers", "whole"])


def handed_over(values: list[float], form: str) -> Any:
    """The same reading as a program may hand it over."""
    if form == "numpy numbers":
        return tuple(np.array(values))
    if form == "whole":
        return tuple(int(each) if each == each and each % 1 == 0 else each for each in values)
    return {"tuple": tuple, "list": list, "array": np.array}[form](values)


def manifest_of(C: int, score: Score, clip: float | None, hold: int) -> Manifest:
    """Limits at 5 on even channels, an alarm that is raised and cleared within a few readings."""
    return handmade.manifest(
        T,
        C,
        channels=tuple(Channel(f"c{i}", "", *((-5.0, 5.0) if i % 2 == 0 else (None, None))) for i in range(C)),
        scaling=Scaling("standard", tuple(0.1 * i for i in range(C)), tuple(0.5 + i for i in range(C)), clip),
        cleaning=Cleaning(hold),
        score=score,
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.0),
        alarm=AlarmPolicy(2, 3, 1.0, 0.8, 2.0),
    )


def score_of(kind: Any, C: int, smoothing: float, last: int | None) -> Score:
    """`diagonal` and `full` are the two kinds of whitening."""
    if kind not in ("diagonal", "full"):
        return Score(kind, last, smoothing)
    rows = [[1.0 + row if row == column else 0.2 * (kind == "full") for column in range(C)] for row in range(C)]
    return Score("mahalanobis", last, smoothing, tuple(map(tuple, rows)))


@pytest.mark.parametrize("C", [1, 4, 6])
@settings(max_examples=examples(60))
@given(data=st.data())
def test_both_ways_give_the_same_verdicts(C: int, data: st.DataObject) -> None:
    """Three machines, readings as they come; one detector always goes the long way, and the other as often as it can the short one."""
    kind, smoothing = (
        data.draw(st.sampled_from(["mae", "mse", "diagonal", "full"])),
        data.draw(st.sampled_from([1.0, 1.0, 0.4])),
    )
    score = score_of(kind, C, smoothing, data.draw(st.sampled_from([None, None, 2])))
    m = manifest_of(C, score, data.draw(st.sampled_from([None, None, 1.5])), data.draw(st.sampled_from([0, 2])))
    model = handmade.dense_model(T, C)
    short, long = (Detector(m, open_engine("numpy", model, (T, C)), machines=3) for _ in range(2))
    long._usual = lambda reading: None
    moments = [1e9] * 3
    row = st.tuples(st.integers(0, 2), step, st.lists(number, min_size=C, max_size=C), form)
    for machine, seconds, values, how in data.draw(st.lists(row, max_size=60)):
        moments[machine] += seconds
        reading = Reading(moments[machine], handed_over(values, how), machine)
        assert short.update(reading) == long.update(reading)


def plain(C: int = 4, score: Score = Score("mse"), T: int = T) -> Detector:  # noqa: B008 - nobody can change it
    """A detector of one machine."""
    m = handmade.manifest(T, C, score=score)
    return Detector(m, open_engine("numpy", handmade.dense_model(T, C), (T, C)))


def test_the_short_way_is_taken() -> None:
    """By every reading that fills a window, ends of the ring included; not by one that is late, has a hole or is not of floats."""
    detector = plain()
    taken = [detector._usual(Reading(float(i), (0.1, 0.2, 0.3, 0.4 + i))) for i in range(3)]
    assert taken == [None] * 3
    for i in range(3):
        assert detector.update(Reading(float(i), (0.1, 0.2, 0.3, 0.4 + i))).status == "warming_up"
    for i in range(3, 50):
        assert isinstance(detector._usual(Reading(float(i), (0.1, 0.2, 0.3, 0.4 + i))), Verdict)
    values = (0.1, 0.2, 0.3, 0.4)
    for odd in (
        (0.1, 0.2, 0.3),
        (*values, 0.5),
        (1, 0.2, 0.3, 0.4),
        (math.nan, *values[1:]),
        np.array(values),
        "abcd",
        1.0,
        None,
    ):
        assert detector._usual(Reading(50.0, odd)) is None  # type: ignore[arg-type]
    assert detector._usual(Reading(49.0, values)) is None
    assert detector._usual(Reading(50.0, values, 1)) is None
    assert detector._usual(Reading(50.0, values, True)) is None
    with pytest.raises(ReadingError, match="expected a time"):
        detector.update(Reading(math.nan, values))
    assert isinstance(detector._usual(Reading(50.0, values)), Verdict)


@pytest.mark.parametrize("kind", ["mae", "mse", "diagonal", "full"])
def test_a_verdict_stays_what_it_was(kind: str) -> None:
    """Its contributions may be calculated long after: other readings, and other ways to keep it, do not change them."""
    detector = plain(score=score_of(kind, 4, 1.0, None))
    rng = np.random.default_rng(1)
    kept, told = [], []
    for i in range(40):
        verdict = detector.update(Reading(float(i), tuple(rng.normal(0, 1, 4).tolist())))
        kept.append(verdict)
        told.append(verdict.contributions)
    assert [verdict.contributions for verdict in kept] == told
    for verdict in kept[T:]:
        assert sum(verdict.contributions.values()) == pytest.approx(verdict.score, rel=1e-12)
        assert pickle.loads(pickle.dumps(verdict)) == verdict  # noqa: S301 - its own
        assert verdict._replace(machine=None) == verdict


def test_a_large_window_is_not_kept_in_its_verdict() -> None:
    """Whoever keeps verdicts keeps at most 2 kB of residuals with each."""
    small, large = plain(4, T=128), plain(4, T=129)
    for i in range(140):
        verdicts = [each.update(Reading(float(i), (0.1, 0.2, 0.3, float(i % 5)))) for each in (small, large)]
    shares = [verdict._codes[8] for verdict in verdicts]
    assert [type(each) for each in shares] == [tuple, list]
    assert len(pickle.dumps(shares[0][1])) < 2200
    assert len(pickle.dumps(verdicts[0])) < 1000  # the contributions, not what they are made of


def test_a_damaged_model_is_an_error_the_short_way_too() -> None:
    """No verdict on a score that is no number."""

    class Broken:
        best_batch = 1

        def run(self, windows: Any) -> Any:
            return np.full_like(windows, np.nan)

        def close(self) -> None: ...

    broken = Detector(plain(1).manifest, Broken(), engine_name="broken")
    for i in range(3):
        broken.update(Reading(float(i), (0.1,)))
    with pytest.raises(EngineError, match="broken: expected a finite score, got nan"):
        broken._usual(Reading(3.0, (0.1,)))
