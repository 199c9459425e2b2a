"""What training puts into the report: the sections, from what is at hand when a run is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import TrainingError
from edge_runtime.manifest import AlarmPolicy, Manifest
from edge_runtime.readings import Verdicts
from edge_runtime.schema import encode
from edge_runtime.threshold import fit_threshold
from edge_runtime.threshold_rules import (
    BudgetRule,
    IQRRule,
    MovingQuantileRule,
    PercentileRule,
    SigmaRule,
    SpotRule,
    TailRule,
    ThresholdRule,
)
from edge_runtime.threshold_text import false_alarms_text, threshold_text
from training.auto import Selection
from training.calibrate import Calibration
from training.charts import contribution_chart, fault_chart, loss_chart, score_chart, timeline_chart
from training.config import Config
from training.data import Part
from training.evaluate import Evaluation, evaluate_verdicts
from training.fault_recall import SIZES, fault_recall
from training.keras_engine import KerasEngine
from training.labelled import EvaluationTable
from training.report_card import card_section
from training.report_evaluation import Judged, evaluation_section, evaluation_summary, judge_table
from training.report_page import Picture, Report, Section, Table
from training.report_quantization import quantization_section
from training.run_directory import Record
from training.trim import trimmed_text
from training.wording import count_text, days_text, rate_text

PARTS = {
    "fit": ("fit", "weights and scaling"),
    "early_stopping": ("early stopping", "when to stop"),
    "calibration": ("calibration", "the threshold"),
}
"""By name: what to call a part, and what it decided."""
WHOLE = ("all", "weights, scaling and the threshold")
"""The same where there is one part."""
USUAL_RULES: tuple[ThresholdRule, ...] = (
    PercentileRule(),
    SigmaRule("sigma"),
    IQRRule("iqr"),
    TailRule("evt"),
    BudgetRule("budget", 7.0),
    MovingQuantileRule("moving_quantile"),
    SpotRule("spot"),
)
"""Every rule with its default settings; a budget has none, and a week stands for it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What is at hand when a run is written."""

    config: Config
    manifest: Manifest
    record: Record
    rows: int
    """Of the data files, before anything was left out."""
    normal: Part
    """What the threshold comes from: the calibration part, or all readings where the scores are cross-fitted."""
    calibration: Calibration
    model: Any
    """Keras."""
    test: EvaluationTable | None


def build_report(trained: Trained) -> Report:
    """Score what was held out with the trained model, and say what came of it all.

    Raises `InputError` for a table to evaluate that cannot be judged, `ExtraMissingError`.
    """
    manifest = trained.manifest
    detector = Detector(manifest, KerasEngine(trained.model), engine_name="keras")
    longest = trained.normal.longest
    held_out = detector.score(longest.values, longest.times.view("datetime64[us]"))
    evaluation = evaluate_verdicts(held_out)
    judged = None if trained.test is None else judge_table(detector, trained.test)
    sections = [
        *([] if judged is None else [evaluation_section(judged)]),
        _held_out_section(held_out, evaluation, _is_cross_fitted(trained)),
        _score_section(trained),
        _contribution_section(held_out, judged, _normal_name(trained)),
        _fault_section(trained, detector),
        _data_section(trained),
        _training_section(trained),
        *([] if trained.record.selection is None else [_selection_section(trained.record.selection)]),
        *([] if trained.record.quantized is None else [quantization_section(trained.record.quantized)]),
        Section("export", "Exported variants", ("Not exported yet. anomalite export fills this in.",)),
        card_section(trained.config, manifest, trained.record, judged),
    ]
    name, trained_at = manifest.name, datetime.fromisoformat(trained.record.trained_at)
    parts = list(trained.record.parts.values())
    fit, calibration = parts[0], parts[-1]
    return Report(
        title=f"{name}: training report",
        lead=f"An anomaly detector for {count_text(len(manifest.channels), 'channel')}, trained {trained_at:%F %T} on readings "
        f"from {fit.first:%F %T} to {calibration.last:%F %T}. All times are UTC.",
        summary=(
            ("model", f"{manifest.family.replace('_', ' ')}, {manifest.parameters:,} parameters"),
            ("threshold", f"{manifest.threshold.value:.6g} ({manifest.threshold.kind})"),
            ("first answer after", f"{manifest.preparation.readings_needed} readings, {_duration(manifest)}"),
            ("false alarms expected", false_alarms_text(manifest.threshold)),
            *([] if judged is None else evaluation_summary(judged.evaluation)),
        ),
        sections=tuple(sections),
    )


def rule_thresholds(calibration: Calibration, alarm: AlarmPolicy) -> dict[str, float | None]:
    """What every rule with its usual settings takes from the held-out normal scores, to compare; None where they do not support it."""
    found: dict[str, float | None] = {}
    for rule in USUAL_RULES:
        try:
            fitted = fit_threshold(rule, calibration.stretches, calibration.days, alarm)
        except TrainingError:
            found[rule_text(rule)] = None
        else:
            found[rule_text(rule)] = fitted.value
    return found


def rule_text(rule: ThresholdRule) -> str:
    """A rule and its settings, in a few words."""
    settings = ", ".join(f"{key} {value:g}" for key, value in encode(rule).items() if key != "kind")
    return f"{rule.kind.replace('_', ' ')} ({settings})"


def _is_cross_fitted(trained: Trained) -> bool:
    return len(trained.record.parts) == 1


def _normal_name(trained: Trained) -> str:
    """What to call the readings of `trained.normal`: only where there are parts, the model has not seen them."""
    return "normal" if _is_cross_fitted(trained) else "held-out normal"


def _held_out_section(verdicts: Verdicts, evaluation: Evaluation, is_cross_fitted: bool) -> Section:
    false = evaluation.false_alarms
    bound = (
        "" if false.per_day_at_most is None else f", so at most {rate_text(false.per_day_at_most)} (95 % confidence)"
    )
    without = ", ".join(
        f"{count} {status.replace('_', ' ')}"
        for status, count in evaluation.statuses.items()
        if count and status != "scored"
    )
    return Section(
        "held-out",
        "Normal readings" if is_cross_fitted else "Held-out normal readings",
        (
            "The longest stretch of the normal readings, scored reading by reading as the device does. The model was fitted to "
            "these readings, so their scores are the hopeful side; the threshold comes from the cross-fitted scores of the "
            "next section, each from a model that has not seen the reading."
            if is_cross_fitted
            else "The longest stretch of the calibration part, scored reading by reading as the device does. The weights have "
            "not seen it; the threshold comes from it, so what it shows of false alarms is the hopeful side.",
            f"{false.anomalous} of {false.readings} scored readings are above the threshold. {count_text(false.alarms, 'alarm')} "
            f"raised in {days_text(false.days)}{bound}.{f' Without a score: {without}.' if without else ''}",
        ),
        (
            Picture(
                timeline_chart(verdicts),
                f"Score and threshold over the {'normal' if is_cross_fitted else 'held-out'} readings; below, alarms and readings without a score.",
            ),
        ),
    )  # fmt: skip


def _score_section(trained: Trained) -> Section:
    threshold, scores = trained.manifest.threshold, trained.calibration.scores
    given = rule_thresholds(trained.calibration, trained.config.alarm)
    rules = {name: value for name, value in given.items() if value is not None}
    rows = [
        (f"in use: {threshold_text(threshold)}", threshold.value),
        *sorted(rules.items(), key=lambda rule: rule[1]),
    ]
    unsupported = [name for name, value in given.items() if value is None]
    return Section(
        "scores",
        "Scores and thresholds",
        (
            f"The score is of the kind {trained.manifest.score.kind}. The threshold is fitted to the {len(scores)} held-out normal "
            "windows below, and not to any labels; "
            "the other rules are drawn to compare, with their usual settings.",
            f"False alarms expected: {false_alarms_text(threshold)}.",
            *([f"Not supported by these scores: {', '.join(unsupported)}."] if unsupported else []),
        ),
        (Picture(score_chart(scores, (threshold.kind, threshold.value), rules), "Held-out normal scores and the thresholds that different rules take from them."),),
        (
            Table(
                ("rule", "threshold", "held-out normal windows above it"),
                tuple((name, f"{value:.6g}", f"{int((scores > value).sum())} of {len(scores)}") for name, value in rows),
            ),
        ),
    )  # fmt: skip


def _contribution_section(held_out: Verdicts, judged: Judged | None, normal: str) -> Section:
    shares = {f"{normal} readings": mean_shares(held_out, held_out.scored)}
    text = "How much of the score comes from each input, on average. On normal readings the shares show what the model finds hard."
    if judged is not None and judged.verdicts.anomalous.any():
        shares["evaluated readings above the threshold"] = mean_shares(judged.verdicts, judged.verdicts.anomalous)
        text += " An input whose share grows above the threshold is where to look first."
    names = held_out.channels
    order = np.argsort(-np.max(list(shares.values()), axis=0), kind="stable")
    return Section(
        "contributions",
        "Contributions",
        (text,),
        (Picture(contribution_chart(shares, names), "Mean share of each input in the score."),),
        (Table(("input", *shares), tuple((names[i], *(f"{each[i]:.1%}" for each in shares.values())) for i in order)),),
    )


def mean_shares(verdicts: Verdicts, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The mean share (F,) of each input in the score, over some scored rows (N,); zeros if there are none."""
    total = verdicts.contributions[rows].sum(axis=0) if rows.any() else np.zeros(len(verdicts.channels))
    return np.asarray(total / total.sum()) if total.sum() > 0 else total


def _fault_section(trained: Trained, detector: Detector) -> Section:
    manifest = trained.manifest
    recall = fault_recall(
        lambda windows: detector.score_windows(windows)[0],
        trained.normal.windows,
        manifest.score.last or manifest.output_shape[0],
        manifest.threshold.value,
        manifest.provenance.seed,
    )
    rows = [(kind.replace("_", " "), *(f"{share:.0%}" for share in shares)) for kind, shares in recall.found.items()]
    return Section(
        "faults",
        "Injected faults",
        (
            f"Made-up faults in {recall.windows} {_normal_name(trained)} windows for each kind and size: one input of each is disturbed, "
            "from a reading on that is among those scored, so this is how the first windows with a new fault fare. The "
            "share above the threshold is what would be flagged; an alarm may need several in a row. Made-up faults compare "
            "detectors; they do not promise what a real fault looks like.",
        ),
        (
            Picture(
                fault_chart(recall), "Share of disturbed windows above the threshold, by kind and size of the fault."
            ),
        ),
        (
            Table(
                ("fault", *(f"size {size:g}" for size in SIZES)),
                (*rows, ("no fault", *(f"{recall.undisturbed:.0%}" for _ in SIZES))),
                "The share found. The size is in normal spreads of the disturbed input.",
            ),
        ),
    )


def _data_section(trained: Trained) -> Section:
    record, config = trained.record, trained.config
    used = sum(part.rows for part in record.parts.values())
    left_out = [f"{trained.rows - used} of {trained.rows} rows of the files are not used."]
    if config.data.start is not None or config.data.end is not None:
        borders = [
            f"{word} {moment:%F %T}"
            for word, moment in (("from", config.data.start), ("to", config.data.end))
            if moment
        ]
        left_out.append(f"Used is what lies {' '.join(borders)}.")
    left_out += [
        f"Left out: {each.start:%F %T} to {each.end:%F %T}{f', {each.why}' if each.why else ''}."
        for each in config.data.exclude
    ]
    rows = tuple(
        (title, str(part.rows), str(part.windows), f"{part.first:%F %T}", f"{part.last:%F %T}", decides)
        for name, part in record.parts.items()
        for title, decides in [WHOLE if _is_cross_fitted(trained) else PARTS.get(name, (name.replace("_", " "), ""))]
    )
    channels = tuple(
        (each.name, each.unit, *("" if limit is None else f"{limit:g}" for limit in (each.low, each.high)))
        for each in trained.manifest.channels
    )
    return Section(
        "data",
        "Data and splits",
        (
            "Not divided: the model is computed from all of them, and the threshold from cross-fitted scores."
            if _is_cross_fitted(trained)
            else "Divided in order of time, and no window reaches from one part into another.",
            " ".join(left_out),
        ),
        (),
        (
            Table(("part", "rows", "windows", "first reading", "last reading", "decides"), rows),
            Table(("file", "sha256"), tuple((name, digest) for name, digest in record.data_sha256.items())),
            Table(("channel", "unit", "valid from", "valid to"), channels),
        ),
    )  # fmt: skip


def _training_section(trained: Trained) -> Section:
    record = trained.record
    best = record.history[record.best_epoch - 1]
    earlier = () if record.earlier is None else (f"It went on from the run {record.earlier.path}.",)
    trimmed = () if record.trimmed is None else (f"Trimmed: {trimmed_text(record.trimmed)}.",)
    if _is_cross_fitted(trained):
        text = f"Computed in closed form in {record.seconds:.1f} s: mean squared error {best.loss:.6g}, cross-fitted {best.held_out_loss:.6g}."
        return Section("training", "Training", (text, *trimmed))
    return Section(
        "training",
        "Training",
        (
            f"{count_text(len(record.history), 'epoch')} in {record.seconds:.1f} s, kept epoch {record.best_epoch}: held-out loss "
            f"{best.held_out_loss:.6g}, loss on the fit windows {best.loss:.6g}. Seed {record.seed}.",
            *earlier,
            *trimmed,
        ),
        (Picture(loss_chart(record.history), "Loss on the fit windows and on the early-stopping windows, by epoch."),),
    )


def _selection_section(selection: Selection) -> Section:
    rows = tuple(
        (
            f"{each.model.family}{' (chosen)' if place == selection.chosen else ''}",
            f"{each.average_precision:.3f}",
            f"{each.recall:.3f}",
            f"{each.false_alarms:.3f}",
            f"{each.multiply_adds:,}",
            f"{each.parameters:,}",
            f"{each.seconds:.1f} s",
            "yes" if each.is_as_good else "no",
        )
        for place, each in enumerate(selection.candidates)
    )
    return Section(
        "selection",
        "Choice of the model",
        (
            f"{selection.reason}. Judged by faults injected into held-out readings {selection.repeats} times, "
            f"{selection.faulty_readings} faulty readings in all; the calibration part had no say but for each threshold.",
        ),
        (),
        (
            Table(
                ("candidate", "average precision", "recall", "false alarms", "multiply-adds a window", "parameters", "fitting", "as good as the best"),
                rows,
            ),
        ),
    )  # fmt: skip


def _duration(manifest: Manifest) -> str:
    seconds = manifest.preparation.readings_needed * manifest.sampling.period_s
    return str(timedelta(seconds=seconds)) if seconds >= 60 else f"{seconds:g} s"
