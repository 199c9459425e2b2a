"""`anomalite train`: a configuration and normal readings in, a run directory out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.errors import RunError
from edge_runtime.schema import encode
from edge_runtime.threshold_text import false_alarms_text, threshold_text
from training.auto import Selection
from training.extra import import_keras, quiet_tensorflow, require_extra
from training.families import is_closed_form
from training.flow import carry_out
from training.planning import Plan, plan
from training.progress import show_progress
from training.report_page import PAGE
from training.run_directory import Run
from training.trim import trimmed_text

EXAMPLE = "example: anomalite train examples/ims_bearing/train.toml --out runs/bearing"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="anomalite train",
        description="Train a model on normal readings and fit the threshold to held-out ones.",
        epilog=EXAMPLE,
    )
    parser.add_argument("config", metavar="CONFIG.toml", help="which readings, which model, which threshold")
    parser.add_argument("--out", metavar="RUN_DIR", help="where the run is written (default: runs/NAME)")
    parser.add_argument("--from", dest="from_run", metavar="RUN_DIR", help="go on from this run's weights and scaling")
    parser.add_argument("--force", action="store_true", help="replace an earlier run in RUN_DIR")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the summary")
    options = parser.parse_args(arguments)
    require_extra("anomalite train", "tensorflow", "keras", "matplotlib", "jinja2", "rich")
    try:
        planned = plan(options.config, options.out, options.from_run, options.force)
        run = _carry_out(planned)
    except KeyboardInterrupt:
        raise RunError("interrupted: no run was written") from None
    for line in [json.dumps(summary(run))] if options.json else describe(run):
        write(line)
    return EXIT_DONE


def _carry_out(planned: Plan) -> Run:
    windows = {name: len(part.windows) for name, part in planned.data.parts.items()}
    parts = ", ".join(f"{count} for {name.replace('_', ' ')}" for name, count in windows.items())
    _say(f"windows of {planned.config.window.length} readings x {len(planned.data.scaling.center)} inputs: {parts}")
    if off := sum(part.rows_off for part in planned.data.parts.values()):
        rows = sum(part.rows for part in planned.data.parts.values())
        _say(f"left out because the machine is off or settling: {off} of {rows} rows")
    config = planned.config
    _say("starting TensorFlow")
    with quiet_tensorflow():
        import_keras()
    with show_progress(1 if all(map(is_closed_form, config.models)) else config.fit.epochs) as progress:
        return carry_out(planned, progress, _say)


def describe(run: Run) -> list[str]:
    """What was trained, in lines for people."""
    record, manifest = run.record, run.manifest
    epochs = f"in closed form in {record.seconds:.1f} s"
    if not is_closed_form(run.model):
        epochs = f"{len(record.history)} epochs in {record.seconds:.1f} s, kept epoch {record.best_epoch}"
    rows = [
        ("model", f"{manifest.family}, {record.parameters} parameters"),
        *(
            (
                name.replace("_", " "),
                f"{part.windows} windows of {part.rows} rows, {part.first:%F %T} to {part.last:%F %T}",
            )
            for name, part in record.parts.items()
        ),
        ("training", f"{epochs} (held-out loss {record.history[record.best_epoch - 1].held_out_loss:.4f})"),
        ("threshold", threshold_text(manifest.threshold)),
        ("false alarms", false_alarms_text(manifest.threshold)),
        *([("trimmed", trimmed_text(record.trimmed))] if record.trimmed else []),
        *(_selection_rows(record.selection) if record.selection else []),
        *([("from", record.earlier.path)] if record.earlier else []),
        ("run", str(run.path)),
        ("report", str(run.path / PAGE)),
    ]
    width = max(len(label) for label, _ in rows)
    return [f"{label:{width}}  {text}" for label, text in rows]


def _selection_rows(selection: Selection) -> list[tuple[str, str]]:
    """The candidates of `auto` and why one was kept."""
    rows = [("chosen", selection.reason)]
    for i, each in enumerate(selection.candidates):
        note = "kept" if i == selection.chosen else "as good" if each.is_as_good else "not as good"
        rows.append(
            (
                f"candidate {i + 1}",
                f"{each.model.family}: average precision {each.average_precision:.3f}, recall {each.recall:.1%} of injected "
                f"faults, false alarms {each.false_alarms:.1%}, {each.multiply_adds:,} multiply-adds: {note}",
            )
        )
    return rows


def summary(run: Run) -> dict[str, object]:
    """What was trained, for machines."""
    record = run.record
    return {
        "run": str(run.path),
        "report": str(run.path / PAGE),
        "name": record.name,
        "family": run.manifest.family,
        "parameters": record.parameters,
        "windows": {name: part.windows for name, part in record.parts.items()},
        "epochs": len(record.history),
        "best_epoch": record.best_epoch,
        "held_out_loss": record.history[record.best_epoch - 1].held_out_loss,
        "seconds": record.seconds,
        "threshold": run.manifest.threshold.value,
        "false_alarms": encode(run.manifest.threshold.false_alarms),
        "seed": record.seed,
        "from": record.earlier.path if record.earlier else None,
        "trimmed": encode(record.trimmed),
        "selection": encode(record.selection),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
