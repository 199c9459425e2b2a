"""What training puts into the report: the sections, from what is at hand when a run is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.manifest import Manifest
from edge_runtime.readings import Verdicts
from edge_runtime.schema import encode
from training.charts import contribution_chart, fault_chart, loss_chart, score_chart, timeline_chart
from training.config import Config
from training.data import Part
from training.evaluate import FalseAlarms, evaluate_verdicts
from training.fault_recall import SIZES, fault_recall
from training.keras_engine import KerasEngine
from training.labelled import EvaluationTable
from training.report_card import card_section
from training.report_evaluation import Judged, evaluation_section, evaluation_summary, judge_table
from training.report_page import Picture, Report, Section, Table
from training.run_directory import Record
from training.wording import count_text, days_text, rate_text

PARTS = {
    "fit": ("fit", "weights and scaling"),
    "early_stopping": ("early stopping", "when to stop"),
    "calibration": ("calibration", "the threshold"),
}
"""By name: what to call a part, and what it decided."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What is at hand when a run is written."""

    config: Config
    manifest: Manifest
    record: Record
    rows: int
    """Of the data files, before anything was left out."""
    parts: Mapping[str, Part]
    scores: npt.NDArray[np.float64]
    """(B,) of the calibration windows."""
    model: Any
    """Keras."""
    test: EvaluationTable | None


def build_report(trained: Trained) -> Report:
    """Score what was held out with the trained model, and say what came of it all.

    Raises `InputError` for a table to evaluate that cannot be judged, `ExtraMissingError`.
    """
    manifest = trained.manifest
    detector = Detector(manifest, KerasEngine(trained.model), engine_name="keras")
    longest = max(trained.parts["calibration"].stretches, key=lambda stretch: len(stretch.times))
    held_out = detector.score(longest.values, longest.times.view("datetime64[us]"))
    false_alarms = evaluate_verdicts(held_out).false_alarms
    judged = None if trained.test is None else judge_table(detector, trained.test)
    sections = [
        *([] if judged is None else [evaluation_section(judged)]),
        _held_out_section(held_out, false_alarms),
        _score_section(trained),
        _contribution_section(held_out, judged),
        _fault_section(trained, detector),
        _data_section(trained),
        _training_section(trained),
        Section("export", "Exported variants", ("Not exported yet. anomalite export fills this in.",)),
        card_section(trained.config, manifest, trained.record, judged),
    ]
    name, trained_at = manifest.name, datetime.fromisoformat(trained.record.trained_at)
    fit, calibration = trained.record.parts["fit"], trained.record.parts["calibration"]
    return Report(
        title=f"{name}: training report",
        lead=f"An anomaly detector for {count_text(len(manifest.channels), 'channel')}, trained {trained_at:%F %T} on readings "
        f"from {fit.first:%F %T} to {calibration.last:%F %T}. All times are UTC.",
        summary=(
            ("model", f"{manifest.family.replace('_', ' ')}, {manifest.parameters:,} parameters"),
            ("threshold", f"{manifest.threshold.value:.6g} ({manifest.threshold.kind})"),
            ("first answer after", f"{manifest.window.length} readings, {_duration(manifest)}"),
            ("false alarms, held-out normal", f"{false_alarms.alarms} in {days_text(false_alarms.days)}"),
            *([] if judged is None else evaluation_summary(judged.evaluation)),
        ),
        sections=tuple(sections),
    )


def rule_thresholds(scores: npt.NDArray[np.float64]) -> dict[str, float]:
    """What common rules with their usual settings give for held-out normal scores (B,), by name, to compare with."""
    lower, upper = np.percentile(scores, [25, 75])
    return {
        "99th percentile x 1.5": 1.5 * float(np.percentile(scores, 99, method="higher")),
        "mean + 3 sigma": float(scores.mean() + 3 * scores.std(ddof=1)),
        "upper quartile + 3 IQR": float(upper + 3 * (upper - lower)),
    }


def _held_out_section(verdicts: Verdicts, false: FalseAlarms) -> Section:
    bound = (
        "" if false.per_day_at_most is None else f", so at most {rate_text(false.per_day_at_most)} (95 % confidence)"
    )
    return Section(
        "held-out",
        "Held-out normal readings",
        (
            "The longest stretch of the calibration part, scored reading by reading as the device does. The weights have "
            "not seen it; the threshold comes from it, so what it shows of false alarms is the hopeful side.",
            f"{false.anomalous} of {false.readings} scored readings are above the threshold. {count_text(false.alarms, 'alarm')} "
            f"raised in {days_text(false.days)}{bound}.",
        ),
        (Picture(timeline_chart(verdicts), "Score and threshold over the held-out readings; below, alarms and readings without a score."),),
    )  # fmt: skip


def _score_section(trained: Trained) -> Section:
    threshold, scores = trained.manifest.threshold, trained.scores
    rules = rule_thresholds(scores)
    settings = {key: value for key, value in encode(threshold).items() if key not in ("kind", "value")}
    plain = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if not isinstance(value, (list, dict))
    )
    rows = [
        (f"in use: {threshold.kind}{f' ({plain})' if plain else ''}", threshold.value),
        *sorted(rules.items(), key=lambda rule: rule[1]),
    ]
    return Section(
        "scores",
        "Scores and thresholds",
        (
            f"The score is of the kind {trained.manifest.score.kind}. The threshold is fitted to the {len(scores)} held-out normal "
            "windows below, and not to any labels; "
            "the other rules are drawn to compare, with their usual settings.",
        ),
        (Picture(score_chart(scores, (threshold.kind, threshold.value), rules), "Held-out normal scores and the thresholds that different rules take from them."),),
        (
            Table(
                ("rule", "threshold", "held-out normal windows above it"),
                tuple((name, f"{value:.6g}", f"{int((scores > value).sum())} of {len(scores)}") for name, value in rows),
            ),
        ),
    )  # fmt: skip


def _contribution_section(held_out: Verdicts, judged: Judged | None) -> Section:
    shares = {"held-out normal readings": mean_shares(held_out, held_out.scored)}
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
        trained.parts["calibration"].windows,
        manifest.score.last or manifest.output_shape[0],
        manifest.threshold.value,
        manifest.provenance.seed,
    )
    rows = [(kind.replace("_", " "), *(f"{share:.0%}" for share in shares)) for kind, shares in recall.found.items()]
    return Section(
        "faults",
        "Injected faults",
        (
            f"Made-up faults in {recall.windows} held-out normal windows for each kind and size: one input of each is disturbed, "
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
        for title, decides in [PARTS.get(name, (name.replace("_", " "), ""))]
    )
    channels = tuple(
        (each.name, each.unit, *("" if limit is None else f"{limit:g}" for limit in (each.low, each.high)))
        for each in trained.manifest.channels
    )
    return Section(
        "data",
        "Data and splits",
        ("Divided in order of time, and no window reaches from one part into another.", " ".join(left_out)),
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
    return Section(
        "training",
        "Training",
        (
            f"{count_text(len(record.history), 'epoch')} in {record.seconds:.1f} s, kept epoch {record.best_epoch}: held-out loss "
            f"{best.held_out_loss:.6g}, loss on the fit windows {best.loss:.6g}. Seed {record.seed}.",
            *earlier,
        ),
        (Picture(loss_chart(record.history), "Loss on the fit windows and on the early-stopping windows, by epoch."),),
    )


def _duration(manifest: Manifest) -> str:
    seconds = manifest.window.length * manifest.sampling.period_s
    return str(timedelta(seconds=seconds)) if seconds >= 60 else f"{seconds:g} s"
