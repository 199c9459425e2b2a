"""The types that flow: times, verdicts, alerts."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import pickle
from datetime import UTC, datetime, timedelta, timezone

import handmade
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ReadingError
from edge_runtime.manifest import AlarmPolicy, PercentileThreshold
from edge_runtime.readings import (
    ALARM_STATES,
    CLEARED,
    EARLIEST,
    LATEST,
    RAISED,
    SCORED,
    STATUSES,
    Alert,
    Verdict,
    Verdicts,
    build_verdict,
    from_microseconds,
    to_microseconds,
)

NOON = datetime(2004, 2, 16, 12, tzinfo=UTC)


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_every_datetime_is_exact(moment: datetime) -> None:
    """There and back to the microsecond; as datetime64 and with another offset it is the same."""
    microseconds = to_microseconds(moment)
    assert from_microseconds(microseconds) == moment
    assert to_microseconds(moment.replace(tzinfo=None)) == microseconds
    assert to_microseconds(np.datetime64(moment.replace(tzinfo=None))) == microseconds
    if timedelta(days=1) < moment - datetime.min.replace(tzinfo=UTC) and moment.year < 9999:
        assert to_microseconds(moment.astimezone(timezone(timedelta(hours=5, minutes=30)))) == microseconds


@given(seconds=st.floats(-6e10, 2e11) | st.integers(-6 * 10**10, 2 * 10**11))
def test_seconds_are_rounded_to_microseconds(seconds: float) -> None:
    """As Python's floats or numpy's."""
    assert to_microseconds(seconds) == round(float(seconds) * 1e6)
    assert to_microseconds(np.float64(seconds)) == to_microseconds(float(seconds))


def test_the_first_and_last_moment() -> None:
    """What a datetime can hold is taken, a microsecond more is not."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert (to_microseconds(first), to_microseconds(last)) == (EARLIEST, LATEST)
    assert (from_microseconds(EARLIEST), from_microseconds(LATEST)) == (first, last)
    west, east = timezone(timedelta(hours=-1)), timezone(timedelta(hours=1))
    for outside in (
        np.datetime64(EARLIEST - 1, "us"),
        np.datetime64(LATEST + 1, "us"),
        datetime.min.replace(tzinfo=east),
        datetime.max.replace(tzinfo=west),
    ):
        with pytest.raises(ReadingError, match="expected a time in the years 1 to 9999"):
            to_microseconds(outside)


def test_a_verdict_without_a_score_says_so() -> None:
    """Whatever the numbers: unless it is `scored` there is no score, no decision, no contribution."""
    for code, status in enumerate(STATUSES):
        verdict = build_verdict(0, None, code, 5.0, 1.0, 0, ("a",), [5.0])
        assert verdict.status == status
        is_scored = status == "scored"
        assert (verdict.score, verdict.anomalous, verdict.contributions) == (
            (5.0, True, {"a": 5.0}) if is_scored else (None, None, None)
        )


def test_a_verdict_as_json() -> None:
    """The fields and the order of the design's contract, as JSON can carry them."""
    verdict = build_verdict(to_microseconds(NOON), 3, SCORED, 0.25, 0.5, RAISED, ("a", "b"), [0.2, 0.05])
    assert json.dumps(verdict.to_json(), allow_nan=False) == (
        '{"time": "2004-02-16T12:00:00+00:00", "machine": 3, "status": "scored", "score": 0.25, "threshold": 0.5, '
        '"anomalous": false, "alarm": "raised", "contributions": {"a": 0.2, "b": 0.05}, "fault_channels": []}'
    )
    warming = build_verdict(0, None, 1, math.nan, 0.5, 0, ("a", "b"), ())
    assert json.loads(json.dumps(warming.to_json(), allow_nan=False)) == {
        "time": "1970-01-01T00:00:00+00:00", "machine": None, "status": "warming_up", "score": None, "threshold": 0.5,
        "anomalous": None, "alarm": "quiet", "contributions": None, "fault_channels": [],
    }  # fmt: skip


def test_exactly_the_threshold_is_not_above_it() -> None:
    """Anomalous is strictly above, in a verdict and in a column of them."""
    verdicts = Verdicts(3, ("a",), one_machine=True)
    verdicts.scores[:] = verdicts.thresholds[:] = 1.0
    verdicts.scores[1], verdicts.scores[2] = math.nextafter(1.0, 2), math.nextafter(1.0, 0)
    assert verdicts.anomalous.tolist() == [verdict.anomalous for verdict in verdicts] == [False, True, False]
    assert build_verdict(0, None, SCORED, 1.0, 1.0, 0, ("a",), [1.0]).anomalous is False
    assert build_verdict(0, None, SCORED, math.nextafter(1.0, 2), 1.0, 0, ("a",), [1.0]).anomalous is True


@pytest.mark.parametrize("alarm", ALARM_STATES)
def test_alerts_are_what_was_raised_or_cleared(alarm: str) -> None:
    """Quiet and active verdicts have none."""
    verdict = Verdict(NOON, 7, "scored", 3.0, 2.0, True, alarm, {"a": 1.0, "b": 2.0})
    alert = verdict.alert()
    if alarm in ("raised", "cleared"):
        assert alert == Alert(alarm, NOON, 7, 3.0, 2.0, {"a": 1.0, "b": 2.0})
        assert alert.severity == 1.5
        assert str(alert) == f"2004-02-16 12:00:00Z machine 7: alarm {alarm}: score 3 is 1.50 x the threshold, mostly b"
        assert "machine" not in str(alert._replace(machine=None))
    else:
        assert alert is None


def test_a_verdict_is_a_value() -> None:
    """Equal to one that says the same, printed as it is made, pickled whole, changed only into another one."""
    verdict = Verdict(NOON, 7, "scored", 3.0, 2.0, True, "raised", {"a": 1.0, "b": 2.0})
    assert verdict == eval(repr(verdict), {"Verdict": Verdict, "datetime": dt})  # noqa: S307
    assert verdict == pickle.loads(pickle.dumps(verdict)) == copy.deepcopy(verdict)  # noqa: S301
    assert verdict == build_verdict(to_microseconds(NOON), 7, SCORED, 3.0, 2.0, RAISED, ("a", "b"), [1.0, 2.0])
    assert verdict._replace(machine=8) != verdict != "scored"
    assert verdict._replace(machine=8)._asdict() == verdict._asdict() | {"machine": 8}
    assert tuple(verdict) == tuple(verdict._asdict().values())
    for name in Verdict.__match_args__:
        with pytest.raises(AttributeError):
            setattr(verdict, name, None)


def test_verdicts_are_a_sequence() -> None:
    """Length, index from both ends, slices, iteration, containment; past the end is an IndexError."""
    values, times = handmade.stream(12, 2)
    verdicts = handmade.detector("numpy", handmade.manifest(5, 2)).score(values, handmade.moments(times))
    assert isinstance(verdicts, Verdicts)
    listed = list(verdicts)
    assert len(verdicts) == len(listed) == 12
    assert [verdicts[row] for row in range(12)] == listed
    assert [verdicts[row] for row in range(-12, 0)] == listed
    assert verdicts[2:9:3] == listed[2:9:3]
    assert verdicts[::-1] == listed[::-1] == list(reversed(verdicts))
    assert listed[3] in verdicts
    for outside in (12, -13):
        with pytest.raises(IndexError):
            verdicts[outside]


def test_verdicts_columns_are_their_verdicts() -> None:
    """The arrays hold what the objects say."""
    m = handmade.manifest(
        5, 2, threshold=PercentileThreshold("percentile", 99.0, 1.0, 0.9), alarm=AlarmPolicy(1, 1, 1.0, 1.0)
    )
    values, times = handmade.stream(60, 2)
    values[20] = np.nan
    verdicts = handmade.detector("numpy", m).score(values, handmade.moments(times))
    for row, verdict in enumerate(verdicts):
        assert verdict.time == from_microseconds(int(times[row]))
        assert STATUSES[verdicts.status_codes[row]] == verdict.status
        assert ALARM_STATES[verdicts.alarm_codes[row]] == verdict.alarm
        assert bool(verdicts.scored[row]) == (verdict.status == "scored")
        assert bool(verdicts.anomalous[row]) == (verdict.anomalous is True)
        assert np.isnan(verdicts.scores[row]) == (verdict.score is None)
        assert np.isnan(verdicts.contributions[row]).all() == (verdict.contributions is None)
        assert verdicts.thresholds[row] == verdict.threshold == 0.9
    kinds = [alert.kind for alert in verdicts.alerts()]
    assert len(kinds) == np.isin(verdicts.alarm_codes, (RAISED, CLEARED)).sum() > 4
    assert kinds == ["raised", "cleared"] * (len(kinds) // 2) + ["raised"] * (len(kinds) % 2)
