"""What a detector's verdicts are worth: against labels, on a run to failure, or on readings nobody has labelled.

One rule covers readings without a score. An anomalous one counts as missed everywhere: in recall and missed-alarm rate and,
ranked below every score, in average precision and ROC-AUC. A normal one is left out: it is no evidence of quiet. How many there
are of each, and why, stands beside the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.readings import (
    ACTIVE,
    COLLECTING,
    RAISED,
    STATUSES,
    Moment,
    Verdicts,
    from_microseconds,
    to_microseconds,
)
from edge_runtime.threshold import normal_quantiles
from training.metrics import Counts, average_precision, count_points, poisson_upper, roc_auc, runs

CONFIDENCE = 0.95
"""Of the upper bound on false alarms a day."""


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """The alarm that stayed, and those that should not have been."""

    alarm_time: datetime | None
    """When the alarm was raised that is still active at the failure, UTC; None if there is none."""
    lead_hours: float | None
    """From then to the failure."""
    false_alarms: int | None
    """How many alarms were raised while the machine was still normal; None if nothing says until when it was."""


@dataclass(frozen=True, slots=True)
class Event:
    """A run of readings labelled anomalous, and when it was found."""

    start: datetime
    """Its first reading."""
    end: datetime
    """Its last reading."""
    readings: int
    scored: int
    """How many of them have a score: an event with none cannot be found."""
    score_delay_s: float | None
    """Seconds from its start to its first reading above the threshold; None if there is none."""
    alarm_delay_s: float | None
    """Seconds from its start to its first reading with an alarm, which may have been raised before; None if there is none."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the labels say."""

    counts: Counts
    """Of readings: anomalous without a score is missed, normal without a score is left out."""
    unscored_anomalous: int
    """Anomalous readings without a score, counted as missed."""
    unscored_normal: int
    """Normal readings without a score, left out."""
    average_precision: float | None
    roc_auc: float | None
    events: tuple[Event, ...]

    @property
    def event_recall(self) -> float | None:
        """The share of events with at least one reading above the threshold."""
        return _share([event.score_delay_s is not None for event in self.events])

    @property
    def event_recall_alarm(self) -> float | None:
        """The share of events with an alarm."""
        return _share([event.alarm_delay_s is not None for event in self.events])


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What happened while the machine was normal."""

    readings: int
    """Normal readings with a score."""
    anomalous: int
    """How many of them are above the threshold."""
    in_alarm: int
    """During how many of them an alarm was up, one raised in an event before included."""
    alarms: int
    """How many alarms were raised while the machine was normal."""
    days: float
    """Scored normal time: those readings times the median time between two readings."""
    per_day: float | None
    """Alarms a day; None without a scored normal reading."""
    per_day_at_most: float | None
    """With 95 % confidence there are at most so many, if alarms come at random; one-sided."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures of one machine's verdicts."""

    first: datetime
    last: datetime
    readings: int
    statuses: dict[str, int]
    """How many readings have each status; `scored` is the only one with a score."""
    anomalous: int
    """Readings above the threshold."""
    alarms: int
    """Alarms raised."""
    score_quantiles: dict[str, float]
    """Of the scores, by percentile; empty if there is none."""
    threshold_quantile: float | None
    """The share of scores at or below the threshold."""
    labelled: Labelled | None
    """None without labels."""
    false_alarms: FalseAlarms
    """From the readings labelled normal, those before `normal_until`, or, with neither, all: an estimate. None of the readings,
    if only a failure is known: which of them are normal is not."""
    normal_by: str
    """What says which readings are normal: `labels`, `normal_until`, `assumption` or `nothing`."""
    failure: AlarmReport | None
    """None without a time of failure."""

    def to_json(self) -> dict[str, Any]:
        """What `--json` carries: the fields, and the rates that follow from them."""
        from edge_runtime.schema import encode

        data: dict[str, Any] = encode(self)
        if self.labelled is not None:
            counts = self.labelled.counts
            rates = ("precision", "recall", "f1", "false_alarm_rate", "missed_alarm_rate")
            data["labelled"].update({name: getattr(counts, name) for name in rates})
            data["labelled"]["event_recall"] = self.labelled.event_recall
            data["labelled"]["event_recall_alarm"] = self.labelled.event_recall_alarm
        return data


def evaluate_verdicts(
    verdicts: Verdicts,
    labels: npt.NDArray[np.bool_] | None = None,
    *,
    failure: Moment | None = None,
    normal_until: Moment | None = None,
) -> Evaluation:
    """Judge one machine's verdicts, in order of time.

    `labels` (N,): which readings are anomalous. `failure`: when the machine failed; lead time counts to it. `normal_until`:
    without labels, readings before it are normal and what comes after is not judged. Raises `InputError` for labels of
    another length, for both labels and `normal_until`, and for verdicts that are none, of several machines or out of order.
    """
    times = _times(verdicts)
    _check(verdicts, times, labels, failure, normal_until)
    first, last, readings = from_microseconds(int(times[0])), from_microseconds(int(times[-1])), len(times)
    statuses = {name: int(np.sum(verdicts.status_codes == code)) for code, name in enumerate(STATUSES)}
    is_answer = verdicts.status_codes != COLLECTING  # on a grid: what a reading says is judged when its row is complete
    if not is_answer.all():
        verdicts, times = take(verdicts, is_answer), times[is_answer]
        labels = None if labels is None else labels[is_answer]
    is_scored = verdicts.scored
    if labels is not None:
        is_normal, normal_by = ~labels, "labels"
    elif normal_until is not None:
        is_normal, normal_by = times < to_microseconds(normal_until), "normal_until"
    elif failure is None:
        is_normal, normal_by = np.ones(len(times), np.bool_), "assumption"
    else:
        is_normal, normal_by = np.zeros(len(times), np.bool_), "nothing"
    scores = verdicts.scores[is_scored]
    return Evaluation(
        first=first,
        last=last,
        readings=readings,
        statuses=statuses,
        anomalous=int(verdicts.anomalous.sum()),
        alarms=int(np.count_nonzero(verdicts.alarm_codes == RAISED)),
        score_quantiles=normal_quantiles(scores) if len(scores) else {},
        threshold_quantile=float(np.mean(~verdicts.anomalous[is_scored])) if len(scores) else None,
        labelled=None if labels is None else _judge_labelled(verdicts, times, labels),
        false_alarms=_false_alarms(verdicts, times, is_normal),
        normal_by=normal_by,
        failure=None if failure is None else alarm_report(verdicts, failure, normal_until),
    )


def alarm_report(verdicts: Verdicts, failure_time: Moment, normal_until: Moment | None) -> AlarmReport:
    """Judge the alarms of one machine's verdicts, in order of time, up to the failure.

    Alarms raised before `normal_until` are false (None: not counted); naive times are read as UTC. Causal: an alarm counts
    from the verdict that raised it, never from a reading before.
    """
    failure = to_microseconds(failure_time)
    times = _times(verdicts)
    codes = verdicts.alarm_codes[times <= failure]
    raised = times[: len(codes)][codes == RAISED]
    false_alarms = None if normal_until is None else int(np.count_nonzero(raised < to_microseconds(normal_until)))
    if not len(codes) or codes[-1] not in (RAISED, ACTIVE):
        return AlarmReport(None, None, false_alarms)
    stayed = int(raised[-1] if len(raised) else times[0])  # it may have been raised by a reading that does not count
    return AlarmReport(from_microseconds(stayed), (failure - stayed) / 3.6e9, false_alarms)


def take(verdicts: Verdicts, rows: npt.NDArray[np.bool_]) -> Verdicts:
    """The verdicts of some rows (N,), as columns: so that readings that were trained on warm up the window but do not count."""
    kept = Verdicts(int(rows.sum()), verdicts.channels, one_machine=verdicts.one_machine, sensors=verdicts.sensors)
    for name in ("times", "machines", "status_codes", "scores", "thresholds", "alarm_codes", "contributions", "faults"):
        getattr(kept, name)[:] = getattr(verdicts, name)[rows]
    return kept


def ranked_scores(
    verdicts: Verdicts, labels: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Labels and scores (M,) to rank: all but the normal readings without a score; an anomalous one without has -inf."""
    is_ranked = verdicts.scored | labels
    scores = np.where(verdicts.scored, verdicts.scores, -np.inf)
    return labels[is_ranked], scores[is_ranked]


def _judge_labelled(verdicts: Verdicts, times: npt.NDArray[np.int64], labels: npt.NDArray[np.bool_]) -> Labelled:
    is_counted = verdicts.scored | labels
    ranked_labels, scores = ranked_scores(verdicts, labels)
    return Labelled(
        counts=count_points(labels[is_counted], verdicts.anomalous[is_counted]),
        unscored_anomalous=int(np.count_nonzero(labels & ~verdicts.scored)),
        unscored_normal=int(np.count_nonzero(~labels & ~verdicts.scored)),
        average_precision=average_precision(ranked_labels, scores),
        roc_auc=roc_auc(ranked_labels, scores),
        events=tuple(_judge_event(verdicts, times, first, end) for first, end in runs(labels)),
    )


def _judge_event(verdicts: Verdicts, times: npt.NDArray[np.int64], first: int, end: int) -> Event:
    codes = verdicts.alarm_codes[first:end]

    def delay(found: npt.NDArray[np.bool_]) -> float | None:
        return float(times[first + int(found.argmax())] - times[first]) / 1e6 if found.any() else None

    return Event(
        start=from_microseconds(int(times[first])),
        end=from_microseconds(int(times[end - 1])),
        readings=end - first,
        scored=int(verdicts.scored[first:end].sum()),
        score_delay_s=delay(verdicts.anomalous[first:end]),
        alarm_delay_s=delay(_is_up(codes)),
    )


def _false_alarms(verdicts: Verdicts, times: npt.NDArray[np.int64], is_normal: npt.NDArray[np.bool_]) -> FalseAlarms:
    is_quiet = is_normal & verdicts.scored
    period = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    days = int(is_quiet.sum()) * period / 8.64e10
    alarms = int(np.count_nonzero(is_normal & (verdicts.alarm_codes == RAISED)))
    return FalseAlarms(
        readings=int(is_quiet.sum()),
        anomalous=int(np.count_nonzero(is_quiet & verdicts.anomalous)),
        in_alarm=int(np.count_nonzero(is_quiet & _is_up(verdicts.alarm_codes))),
        alarms=alarms,
        days=days,
        per_day=alarms / days if days else None,
        per_day_at_most=poisson_upper(alarms, CONFIDENCE) / days if days else None,
    )


def _is_up(alarm_codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.isin(alarm_codes, (RAISED, ACTIVE))


def _times(verdicts: Verdicts) -> npt.NDArray[np.int64]:
    return verdicts.times.astype("datetime64[us]").astype(np.int64)


def _check(
    verdicts: Verdicts,
    times: npt.NDArray[np.int64],
    labels: npt.NDArray[np.bool_] | None,
    failure: Moment | None,
    normal_until: Moment | None,
) -> None:
    if not len(times):
        raise InputError("expected verdicts to evaluate, got none")
    if len(np.unique(verdicts.machines)) > 1:
        raise InputError(f"expected verdicts of one machine, got {len(np.unique(verdicts.machines))}: one at a time")
    if (np.diff(times) < 0).any():
        raise InputError("expected verdicts in order of time, got an earlier one after a later one")
    if labels is not None and (labels.shape != (len(times),) or labels.dtype != np.bool_):
        raise InputError(f"expected {len(times)} labels, true or false, got {labels.dtype} {labels.shape}")
    if labels is not None and normal_until is not None:
        raise InputError("expected labels or a time until which the machine is normal, got both: the labels say it")
    for name, moment in (("failure", failure), ("normal_until", normal_until)):
        if moment is not None and to_microseconds(moment) < times[0]:
            first, given = (from_microseconds(each).isoformat() for each in (int(times[0]), to_microseconds(moment)))
            raise InputError(f"expected {name} after the first reading, {first}, got {given}")


def _share(found: list[bool]) -> float | None:
    return sum(found) / len(found) if found else None
