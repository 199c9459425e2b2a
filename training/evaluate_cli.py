"""`anomalite evaluate`: how good is a bundle on readings whose truth is known, or at least how often would it cry wolf?

Needs numpy and an engine only, so it runs on the device too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime

from edge_runtime.bundle import Bundle
from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.engines import ENGINES
from edge_runtime.errors import InputError
from edge_runtime.opening import load
from training.evaluate import Evaluation, Event, FalseAlarms, Labelled
from training.labelled import LABEL, EvaluationTable, judge, leave_out_training, read_evaluation_table
from training.wording import NORMAL_BY, count_text, days_text, delay_text, rate_text, share_text


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    failure, normal_until = _moment("--failure", options.failure), _moment("--normal-until", options.normal_until)
    manifest = Bundle.read(options.bundle).manifest
    test = read_evaluation_table(
        options.data,
        manifest.time_column,
        manifest.channel_names,
        label=options.label,
        failure=failure,
        normal_until=normal_until,
        ignore_extra=options.ignore_extra,
        waveform=manifest.waveform,
    )
    trained_to = datetime.fromisoformat(manifest.provenance.trained_to)
    test = leave_out_training(test, manifest.provenance.data_sha256, trained_to)
    detector = load(options.bundle, engine=options.engine, variant=options.variant)
    _, evaluation = judge(detector, test)
    if options.json:
        head = {
            "bundle": options.bundle,
            "data": options.data,
            "variant": detector.variant_name,
            "engine": detector.engine_name,
            "trained_on": int((~test.is_counted).sum()),
        }
        write(json.dumps({**head, **evaluation.to_json()}))
        return EXIT_DONE
    write(f"{options.data} through {options.bundle}, {detector.variant_name} on {detector.engine_name}")
    for line in describe(evaluation, test):
        write(line)
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomalite evaluate",
        description="Judge a bundle by readings with labels or by a run to failure; without either, estimate its false "
        "alarms. Nothing is point-adjusted, and the threshold stays as it is sealed.",
        epilog="examples: anomalite evaluate pump.anomalite labelled.csv --label fault; anomalite evaluate pump.anomalite "
        "life.csv --failure 2004-02-19T06:22:39 --normal-until 2004-02-16",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a file NAME.anomalite")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="CSV (separated by comma, semicolon or tab), JSON lines, or raw snapshots: npz or a folder of CSV files",
    )
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        help=f"the labels: 0, 1, true or false (default: {LABEL}, if there is such a column)",
    )
    parser.add_argument("--failure", metavar="TIME", help="when the machine failed, to count the lead time to")
    parser.add_argument("--normal-until", metavar="TIME", help="without labels: alarms before this are false")
    parser.add_argument("--engine", metavar="NAME", default="auto", help=f"auto, {', '.join(ENGINES)}")
    parser.add_argument("--variant", metavar="NAME", help="one of the bundle's variants (see anomalite inspect)")
    parser.add_argument("--ignore-extra", action="store_true", help="leave out columns the bundle does not know")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option}: expected a time such as 2004-02-19T06:22:39, got {text!r}") from None


def describe(evaluation: Evaluation, test: EvaluationTable) -> list[str]:
    """The figures in lines for people."""
    each = evaluation
    scored = each.statuses["scored"]
    rows = [("readings", f"{each.readings}, {each.first:%F %T} to {each.last:%F %T} UTC")]
    if not test.is_counted.all():
        rows.append(("left out", f"{int((~test.is_counted).sum())} up to the end of training, which used this file"))
    without = ", ".join(f"{n} {name}" for name, n in each.statuses.items() if n and name != "scored")
    rows.append(
        ("scored", f"{scored} ({scored / each.readings:.1%}){f'; without a score: {without}' if without else ''}")
    )
    if each.score_quantiles:
        levels = ", ".join(f"{level} %: {each.score_quantiles[level]:.4g}" for level in ("50", "90", "99", "100"))
        rows.append(("scores", f"{levels}; {each.threshold_quantile:.2%} are not above the threshold"))
    if each.labelled is not None:
        rows += _labelled_rows(each.labelled)
    rows += _false_alarm_rows(each.false_alarms, each.normal_by)
    if each.failure is not None:
        lead = "no alarm was up at the failure"
        if each.failure.alarm_time is not None and each.failure.lead_hours is not None:
            lead = f"{each.failure.lead_hours:.2f} hours: the alarm of {each.failure.alarm_time:%F %T} stayed"
        rows.append(("lead time", lead))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:{width}}  {text}" for label, text in rows]
    return lines if each.labelled is None else [*lines, "", *_event_table(each.labelled.events)]


def _labelled_rows(labelled: Labelled) -> list[tuple[str, str]]:
    c = labelled.counts
    unscored = f"; without a score: {labelled.unscored_anomalous} anomalous (missed), {labelled.unscored_normal} normal"
    points = f"precision {share_text(c.precision)}, recall {share_text(c.recall)}, F1 {share_text(c.f1)}"
    rates = f"false-alarm rate {share_text(c.false_alarm_rate)}, missed-alarm rate {share_text(c.missed_alarm_rate)}"
    events = len(labelled.events)
    return [
        ("found", f"{c.true_positives} of {c.true_positives + c.false_negatives} anomalous readings{unscored}"),
        ("points", f"{points}, {rates}"),
        (
            "ranking",
            f"average precision {share_text(labelled.average_precision)}, ROC-AUC {share_text(labelled.roc_auc)}",
        ),
        (
            "events",
            f"{events}, found {share_text(labelled.event_recall)} by score, {share_text(labelled.event_recall_alarm)} by alarm",
        ),
    ]


def _false_alarm_rows(false: FalseAlarms, normal_by: str) -> list[tuple[str, str]]:
    if normal_by == "nothing":
        return [("false alarms", f"{NORMAL_BY[normal_by]} (--normal-until)")]
    label = "if all normal" if normal_by == "assumption" else "false alarms"
    share = f"{false.anomalous} of {false.readings} normal readings are above the threshold, an alarm was up in {false.in_alarm}"
    rows = [(label, f"{share}; {NORMAL_BY[normal_by]}")]
    if false.per_day is not None and false.per_day_at_most is not None:
        often = f"{rate_text(false.per_day)}, at most {rate_text(false.per_day_at_most)} with 95 % confidence"
        rows.append(("", f"{count_text(false.alarms, 'alarm')} raised in {days_text(false.days)}: {often}"))
    return rows


def _event_table(events: Sequence[Event]) -> list[str]:
    lines = [
        f"{'event from (UTC)':19}  {'to':19}  {'readings':>8}  {'scored':>6}  {'score after':>11}  {'alarm after':>11}"
    ]
    lines += (
        f"{event.start:%Y-%m-%d %H:%M:%S}  {event.end:%Y-%m-%d %H:%M:%S}  {event.readings:8}  {event.scored:6}  "
        f"{delay_text(event.score_delay_s):>11}  {delay_text(event.alarm_delay_s):>11}"
        for event in events
    )
    return lines
