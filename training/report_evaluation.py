"""The report's section on readings with labels, or a run to failure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.detector import Detector
from edge_runtime.readings import Verdicts
from training.charts import precision_recall_chart, timeline_chart
from training.evaluate import Evaluation, Labelled
from training.labelled import EvaluationTable, judge
from training.report_page import Picture, Section, Table
from training.wording import NORMAL_BY, count_text, days_text, delay_text, rate_text, share_text

MOST_EVENTS = 50
"""Events listed one by one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A table that was judged, and how."""

    test: EvaluationTable
    verdicts: Verdicts
    """Of the readings that count."""
    evaluation: Evaluation


def judge_table(detector: Detector, test: EvaluationTable) -> Judged:
    """Score and judge a table; raises as `labelled.judge`."""
    verdicts, evaluation = judge(detector, test)
    return Judged(test, verdicts, evaluation)


def evaluation_summary(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The figures to see first."""
    figures = []
    if evaluation.labelled is not None:
        each = evaluation.labelled
        found = sum(event.score_delay_s is not None for event in each.events)
        figures += [("events found", f"{found} of {len(each.events)}"), ("point F1", share_text(each.counts.f1))]
        figures.append(("false-alarm rate", share_text(each.counts.false_alarm_rate)))
    if evaluation.failure is not None:
        lead = evaluation.failure.lead_hours
        figures.append(("lead time to failure", "no alarm was up" if lead is None else f"{lead:.1f} hours"))
    if evaluation.labelled is None and evaluation.normal_by != "nothing":
        false = evaluation.false_alarms
        figures.append(("false alarms, evaluated", f"{false.alarms} in {days_text(false.days)}"))
    return figures


def evaluation_section(judged: Judged) -> Section:
    """All figures, with the timeline and, with labels, the confusion matrix, the events and the curve."""
    each, test = judged.evaluation, judged.test
    text = [f"{test.table.source}, sha256 {test.sha256[:12]}. It had no part in training or in the threshold."]
    if trained_on := int((~test.is_counted).sum()):
        text = [
            f"{test.table.source}, sha256 {test.sha256[:12]}. Training used this file too: the {trained_on:,} readings up to "
            "the end of training do not count here; the others had no part in training or in the threshold."
        ]
    without = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in each.statuses.items() if count and name != "scored"
    )
    text.append(
        f"{each.readings} readings, {each.first:%F %T} to {each.last:%F %T}: {each.statuses['scored']} scored"
        + (f"; without a score: {without}." if without else ".")
        + f" {each.anomalous} are above the threshold; {count_text(each.alarms, 'alarm')} raised."
    )
    text.append(_false_alarm_text(each))
    if each.failure is not None:
        lead = "No alarm was up at the failure."
        if each.failure.alarm_time is not None and each.failure.lead_hours is not None:
            lead = f"The alarm of {each.failure.alarm_time:%F %T} stayed until the failure: {each.failure.lead_hours:.2f} hours ahead."
        text.append(lead)
    labels = test.labels
    labelled = "" if labels is None else ", labels"
    pictures = [
        Picture(
            timeline_chart(judged.verdicts, labels),
            f"Score and threshold over the evaluated readings; below, alarms{labelled} and readings without a score.",
        )
    ]
    tables: tuple[Table, ...] = ()
    if each.labelled is not None and labels is not None:
        tables = _labelled_tables(each.labelled)
        counts = each.labelled.counts
        if labels.any():
            point = None if counts.recall is None or counts.precision is None else (counts.recall, counts.precision)
            pictures.append(
                Picture(
                    precision_recall_chart(judged.verdicts, labels, point),
                    "Precision against recall through all thresholds; the dot is the threshold in use.",
                )
            )
    return Section("evaluation", "Evaluation", tuple(text), tuple(pictures), tables)  # fmt: skip


def _false_alarm_text(evaluation: Evaluation) -> str:
    false = evaluation.false_alarms
    head = f"False alarms {NORMAL_BY[evaluation.normal_by]}"
    if evaluation.normal_by == "nothing":
        return f"{head}."
    bound = (
        "" if false.per_day_at_most is None else f", so at most {rate_text(false.per_day_at_most)} (95 % confidence)"
    )
    return (
        f"{head}: {false.alarms} in {days_text(false.days)} with a score{bound}. {false.anomalous} of {false.readings} such "
        f"readings are above the threshold, and an alarm was up in {false.in_alarm}."
    )


def _labelled_tables(labelled: Labelled) -> tuple[Table, ...]:
    c = labelled.counts
    confusion = Table(
        ("reading", "flagged", "not flagged"),
        (
            ("labelled anomalous", str(c.true_positives), str(c.false_negatives)),
            ("labelled normal", str(c.false_positives), str(c.true_negatives)),
        ),
        f"Not point-adjusted. Readings without a score: {labelled.unscored_anomalous} anomalous ones, counted as not flagged, and "
        f"{labelled.unscored_normal} normal ones, left out.",
    )
    figures = Table(
        ("figure", "value"),
        (
            ("precision", share_text(c.precision)),
            ("recall", share_text(c.recall)),
            ("F1", share_text(c.f1)),
            ("false-alarm rate (FAR)", share_text(c.false_alarm_rate)),
            ("missed-alarm rate (MAR)", share_text(c.missed_alarm_rate)),
            ("average precision", share_text(labelled.average_precision)),
            ("ROC-AUC", share_text(labelled.roc_auc)),
            ("event recall, by score", share_text(labelled.event_recall)),
            ("event recall, by alarm", share_text(labelled.event_recall_alarm)),
        ),
    )
    listed = labelled.events[:MOST_EVENTS]
    more = len(labelled.events) - len(listed)
    events = Table(
        ("event from", "to", "readings", "scored", "above threshold after", "alarm after"),
        tuple(
            (f"{event.start:%F %T}", f"{event.end:%F %T}", str(event.readings), str(event.scored),
             delay_text(event.score_delay_s), delay_text(event.alarm_delay_s))
            for event in listed
        ),
        f"And {more} more." if more else "",
    )  # fmt: skip
    return (confusion, figures, *((events,) if listed else ()))
