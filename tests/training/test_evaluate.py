"""What verdicts are worth: against plain loops, with readings that have no score among them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from edge_runtime.errors import InputError
from edge_runtime.readings import (
    ACTIVE,
    CLEARED,
    COLLECTING,
    GAP,
    QUIET,
    RAISED,
    SCORED,
    SENSOR_FAULT,
    WARMING_UP,
    Verdicts,
)
from training.evaluate import AlarmReport, alarm_report, evaluate_verdicts, take
from training.metrics import Counts

START = datetime(2024, 1, 1, tzinfo=UTC)


def hour(number):
    return START + timedelta(hours=number)


def make_verdicts(*alarm_codes):
    """Verdicts an hour apart."""
    verdicts = Verdicts(len(alarm_codes), ("flow",), one_machine=True)
    verdicts.times[:] = np.datetime64("2024-01-01") + np.arange(len(alarm_codes)) * np.timedelta64(1, "h")
    verdicts.alarm_codes[:] = alarm_codes
    return verdicts


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((QUIET,) * 6, AlarmReport(None, None, 0)),
        ((QUIET, QUIET, QUIET, RAISED, ACTIVE, ACTIVE), AlarmReport(hour(3), 2.0, 0)),
        ((QUIET, QUIET, QUIET, QUIET, QUIET, RAISED), AlarmReport(hour(5), 0.0, 0)),
        ((RAISED, CLEARED, QUIET, QUIET, RAISED, ACTIVE), AlarmReport(hour(4), 1.0, 1)),
        ((ACTIVE,) * 6, AlarmReport(hour(0), 5.0, 0)),
        ((QUIET, QUIET, RAISED, ACTIVE, CLEARED, QUIET), AlarmReport(None, None, 0)),
        ((RAISED, ACTIVE, ACTIVE, ACTIVE, ACTIVE, ACTIVE), AlarmReport(hour(0), 5.0, 1)),
    ],
    ids=["none", "stays", "raised by the last", "false, then stays", "up already", "cleared", "raised too early"],
)
def test_alarm_report(codes, expected):
    """Lead time counts to the alarm still active at the end; alarms before `normal_until` are false."""
    assert alarm_report(make_verdicts(*codes), failure_time=hour(5), normal_until=hour(2)) == expected


def test_an_empty_table_has_no_alarm():
    """No verdicts, no alarm."""
    assert alarm_report(make_verdicts(), hour(5), hour(2)) == AlarmReport(None, None, 0)


def test_an_alarm_after_the_failure_is_no_warning():
    """Only what was known at the failure counts."""
    verdicts = make_verdicts(QUIET, QUIET, QUIET, RAISED, ACTIVE)
    assert alarm_report(verdicts, failure_time=hour(2), normal_until=hour(1)) == AlarmReport(None, None, 0)
    assert alarm_report(verdicts, failure_time=hour(3), normal_until=None) == AlarmReport(hour(3), 0.0, None)


def test_before_a_failure_nothing_is_known_to_be_normal():
    """Unless it is said until when: an alarm before a failure may be the right one."""
    verdicts = make_verdicts(QUIET, RAISED, ACTIVE, ACTIVE)
    verdicts.scores[:] = 2.0
    verdicts.thresholds[:] = 1.0
    evaluation = evaluate_verdicts(verdicts, failure=hour(3))
    assert evaluation.normal_by == "nothing"
    assert (evaluation.false_alarms.readings, evaluation.false_alarms.alarms) == (0, 0)
    assert evaluation.false_alarms.per_day is None
    assert evaluation.failure == AlarmReport(hour(1), 2.0, None)
    assert evaluate_verdicts(verdicts, failure=hour(3), normal_until=hour(2)).false_alarms.alarms == 1


ROWS = st.lists(
    st.tuples(
        st.booleans(),  # labelled anomalous
        st.sampled_from([SCORED, SCORED, SCORED, WARMING_UP, GAP, SENSOR_FAULT]),
        st.floats(0, 2),
        st.sampled_from([QUIET, QUIET, RAISED, ACTIVE, CLEARED]),
        st.integers(1, 100),  # seconds since the reading before
    ),
    min_size=1,
    max_size=40,
)


def from_rows(rows):
    """Verdicts and labels; any order of alarm codes, since they are only counted."""
    verdicts = Verdicts(len(rows), ("flow",), one_machine=True)
    seconds = np.cumsum([row[4] for row in rows])
    verdicts.times[:] = np.datetime64("2024-01-01") + seconds * np.timedelta64(1, "s")
    verdicts.status_codes[:] = [row[1] for row in rows]
    verdicts.scores[:] = [row[2] if row[1] == SCORED else np.nan for row in rows]
    verdicts.thresholds[:] = 1.0
    verdicts.alarm_codes[:] = [row[3] for row in rows]
    return verdicts, np.array([row[0] for row in rows]), seconds.tolist()


@given(ROWS)
def test_points_in_plain_loops(rows):
    """An anomalous reading without a score is missed; a normal one without is left out, and how many is said."""
    verdicts, labels, _ = from_rows(rows)
    labelled = evaluate_verdicts(verdicts, labels).labelled
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0, "missed without": 0, "left out": 0}
    for label, status, score, _, _ in rows:
        if status != SCORED:
            counts["missed without" if label else "left out"] += 1
            counts["fn"] += label
        elif score > 1:
            counts["tp" if label else "fp"] += 1
        else:
            counts["fn" if label else "tn"] += 1
    assert labelled.counts == Counts(counts["tp"], counts["fp"], counts["fn"], counts["tn"])
    assert (labelled.unscored_anomalous, labelled.unscored_normal) == (counts["missed without"], counts["left out"])
    ranked = [
        (label, score if status == SCORED else -1.0) for label, status, score, *_ in rows if label or status == SCORED
    ]
    if any(label for label, _ in ranked):
        expected = average_precision_score(*zip(*ranked, strict=True))
        assert labelled.average_precision == pytest.approx(expected)
    else:
        assert labelled.average_precision is None


@given(ROWS)
def test_events_in_plain_loops(rows):
    """An event is found by its first reading above the threshold, or with an alarm up; what is outside does not count."""
    verdicts, labels, seconds = from_rows(rows)
    labelled = evaluate_verdicts(verdicts, labels).labelled
    expected = []
    for row, (label, status, score, alarm, _) in enumerate(rows):
        if label and (row == 0 or not rows[row - 1][0]):
            expected.append({"start": seconds[row], "score": None, "alarm": None, "readings": 0, "scored": 0})
        if not label:
            continue
        event = expected[-1]
        event["readings"] += 1
        event["scored"] += status == SCORED
        if event["score"] is None and status == SCORED and score > 1:
            event["score"] = seconds[row] - event["start"]
        if event["alarm"] is None and alarm in (RAISED, ACTIVE):
            event["alarm"] = seconds[row] - event["start"]
    got = [
        {
            "start": round((event.start - START).total_seconds()),
            "score": event.score_delay_s,
            "alarm": event.alarm_delay_s,
            "readings": event.readings,
            "scored": event.scored,
        }
        for event in labelled.events
    ]
    assert got == expected
    if expected:
        assert labelled.event_recall == np.mean([event["score"] is not None for event in expected])
        assert labelled.event_recall_alarm == np.mean([event["alarm"] is not None for event in expected])
    else:
        assert (labelled.event_recall, labelled.event_recall_alarm) == (None, None)


@given(ROWS, st.sampled_from(["labels", "normal_until", "assumption"]))
def test_false_alarms_in_plain_loops(rows, by):
    """Alarms raised while the machine was normal, over the time of normal readings that have a score."""
    verdicts, labels, seconds = from_rows(rows)
    until = START + timedelta(seconds=seconds[len(seconds) // 2])
    evaluation = evaluate_verdicts(
        verdicts, labels if by == "labels" else None, normal_until=until if by == "normal_until" else None
    )
    false = evaluation.false_alarms
    normal = []
    for row in range(len(rows)):
        is_before = seconds[row] < seconds[len(seconds) // 2]
        normal.append({"labels": not rows[row][0], "normal_until": is_before, "assumption": True}[by])
    kept = [row for row, is_normal in zip(rows, normal, strict=True) if is_normal]
    scored = [row for row in kept if row[1] == SCORED]
    steps = sorted(np.diff(seconds).tolist())
    days = len(scored) * (np.median(steps) if steps else 0) / 86_400
    assert evaluation.normal_by == by
    assert false.readings == len(scored)
    assert false.anomalous == sum(row[2] > 1 for row in scored)
    assert false.in_alarm == sum(row[3] in (RAISED, ACTIVE) for row in scored)
    assert false.alarms == sum(row[3] == RAISED for row in kept)
    assert false.days == pytest.approx(days)
    if days:
        assert false.per_day == pytest.approx(false.alarms / days)
        assert false.per_day_at_most > false.per_day
    else:
        assert false.per_day is None


@given(ROWS)
def test_what_is_left_of_a_table_is_judged_like_a_table_of_its_own(rows):
    """`take` keeps every column of the rows."""
    verdicts, labels, _ = from_rows(rows)
    half = np.arange(len(rows)) >= len(rows) // 2
    alone, alone_labels, _ = from_rows([*rows[len(rows) // 2 :]])
    alone.times[:] = verdicts.times[half]
    assert evaluate_verdicts(take(verdicts, half), labels[half]) == evaluate_verdicts(alone, alone_labels)
    verdicts.contributions[:, 0] = np.arange(len(rows))
    assert take(verdicts, half).contributions[:, 0].tolist() == np.flatnonzero(half).tolist()


def test_without_labels_the_scores_are_described():
    """How many readings have which status, the quantiles of the scores, and how many of them are not above the threshold."""
    verdicts, _, _ = from_rows(
        [(False, WARMING_UP, 0.0, QUIET, 10)] + [(False, SCORED, i / 10, QUIET, 10) for i in range(21)]
    )
    evaluation = evaluate_verdicts(verdicts)
    assert evaluation.labelled is evaluation.failure is None
    assert {name: count for name, count in evaluation.statuses.items() if count} == {"scored": 21, "warming_up": 1}
    assert evaluation.score_quantiles["50"] == 1.0
    assert evaluation.score_quantiles["100"] == 2.0
    assert evaluation.threshold_quantile == pytest.approx(11 / 21)
    assert (evaluation.anomalous, evaluation.alarms) == (10, 0)


def test_nothing_scored_is_no_success():
    """A detector that answered nothing has missed everything, and says nothing of false alarms."""
    rows = [(True, GAP, 0.0, QUIET, 10), (False, GAP, 0.0, QUIET, 10), (False, WARMING_UP, 0.0, QUIET, 10)]
    verdicts, labels, _ = from_rows(rows)
    evaluation = evaluate_verdicts(verdicts, labels)
    assert evaluation.labelled.counts == Counts(0, 0, 1, 0)
    assert evaluation.labelled.counts.recall == 0
    assert evaluation.labelled.counts.false_alarm_rate is None
    assert evaluation.labelled.events[0].scored == 0
    assert evaluation.score_quantiles == {}
    assert evaluation.false_alarms.per_day is evaluation.false_alarms.per_day_at_most is None
    json.dumps(evaluation.to_json(), allow_nan=False)


def test_json_carries_the_rates():
    """All that follows from the counts, ready to read."""
    rows = [(True, SCORED, 2.0, RAISED, 10), (True, SCORED, 0.0, ACTIVE, 10), (False, SCORED, 0.0, CLEARED, 10)]
    verdicts, labels, _ = from_rows(rows)
    data = json.loads(json.dumps(evaluate_verdicts(verdicts, labels, failure=hour(1)).to_json(), allow_nan=False))
    assert data["labelled"]["f1"] == pytest.approx(2 / 3)
    assert data["labelled"]["event_recall"] == data["labelled"]["event_recall_alarm"] == 1
    assert data["labelled"]["events"][0]["score_delay_s"] == 0
    assert data["failure"] == {"alarm_time": None, "lead_hours": None, "false_alarms": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(2, bool)}, "expected 3 labels, true or false, got bool"),
        ({"labels": np.zeros(3)}, "expected 3 labels, true or false, got float64"),
        ({"labels": np.zeros(3, bool), "normal_until": hour(1)}, "got both: the labels say it"),
        ({"failure": START - timedelta(days=1)}, "expected failure after the first reading"),
        ({"normal_until": START - timedelta(days=1)}, "expected normal_until after the first reading"),
    ],
)
def test_what_cannot_be_judged(changes, message):
    """Is an error that says what was expected."""
    with pytest.raises(InputError, match=message):
        evaluate_verdicts(make_verdicts(QUIET, QUIET, QUIET), **changes)


def test_verdicts_that_cannot_be_judged():
    """None, several machines', or out of order."""
    with pytest.raises(InputError, match="expected verdicts to evaluate, got none"):
        evaluate_verdicts(make_verdicts())
    several = make_verdicts(QUIET, QUIET)
    several.machines[1] = 5
    with pytest.raises(InputError, match="expected verdicts of one machine, got 2"):
        evaluate_verdicts(several)
    disordered = make_verdicts(QUIET, QUIET)
    disordered.times[:] = disordered.times[::-1].copy()
    with pytest.raises(InputError, match="in order of time"):
        evaluate_verdicts(disordered)


def test_a_reading_that_completes_no_row_of_the_grid_is_not_judged():
    """It is no missed anomaly, and time is counted by the rows of the grid; how many there are is said."""
    verdicts = make_verdicts(QUIET, QUIET, QUIET, QUIET, RAISED, ACTIVE)
    verdicts.status_codes[:] = [COLLECTING, SCORED] * 3
    verdicts.scores[:] = [np.nan, 1, np.nan, 1, np.nan, 3]
    verdicts.thresholds[:] = 2
    labels = np.array([False] * 4 + [True] * 2)
    evaluation = evaluate_verdicts(verdicts, labels)
    assert evaluation.labelled.counts == Counts(1, 0, 0, 2)
    assert evaluation.labelled.event_recall == 1
    assert (evaluation.readings, evaluation.statuses["collecting"]) == (6, 3)
    assert evaluation.false_alarms.days == 2 * 2 / 24


def test_sensor_faults_are_taken_too():
    """By name, as without leaving rows out."""
    verdicts = Verdicts(3, ("flow",), one_machine=True, sensors=("flow", "pressure"))
    verdicts.status_codes[:] = SENSOR_FAULT
    verdicts.faults[2, 1] = True
    assert take(verdicts, np.array([False, True, True]))[1].fault_channels == ("pressure",)
