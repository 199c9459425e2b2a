"""`anomalite export`: a run directory in, one verified file out, and the table that says why to trust it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.errors import ExportError
from edge_runtime.schema import encode
from export.arm import find_root
from export.outcome import VariantOutcome, answer_text, counted_boards
from export.seal import ExportResult, export_run
from export.variants import RECIPES, choose_recipes
from training.extra import import_extra, import_keras, quiet_tensorflow, require_extra
from training.run_directory import read_run


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="anomalite export",
        description="Convert a trained model to TFLite, ONNX and numpy, prove each variant against it through the device "
        "runtime, and seal those that pass into one file.",
        epilog="example: anomalite export runs/pump --out pump.anomalite --variants onnx-float32,numpy-float32; "
        f"the variants are {', '.join(recipe.name for recipe in RECIPES)}",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="what anomalite train wrote")
    parser.add_argument("--out", metavar="FILE", help="the bundle (default: NAME.anomalite in the current folder)")
    parser.add_argument(
        "--variants",
        metavar="NAMES",
        help="names with commas between them, or all (default: those that earn their place)",
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count ARM instructions a window, in an emulated Raspberry Pi that nox -s pi has made",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    require_extra("anomalite export", "tensorflow", "keras", "tf_keras", "onnx")
    run = read_run(options.run)
    names = None if options.variants is None else [name.strip() for name in options.variants.split(",")]
    choose_recipes(names, run.model.family.startswith("lstm"))  # what is wrong with them is said at once
    root = _emulated(options.instructions)
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as terminal, quiet_tensorflow():
        print("starting TensorFlow", file=terminal)
        import_keras("anomalite export")
        import_extra("tf_keras", "anomalite export")
        result = export_run(run, options.out, say=lambda line: print(line, file=terminal), variants=names, root=root)
    if options.json:
        write(json.dumps({"bundle": str(result.path), "variants": encode(list(result.outcomes))}))
    else:
        for line in parity_table(result):
            write(line)
    return EXIT_DONE


def _emulated(is_asked: bool) -> Path | None:
    """Where instructions are counted. Raises `ExportError` if they are asked for and it has not been made."""
    root = find_root() if is_asked else None
    if is_asked and root is None:
        raise ExportError(
            "--instructions: expected an emulated Raspberry Pi, in the folder ANOMALITE_PI_ROOT or under .nox/pi of a checkout, "
            "found none: nox -s pi makes some there"
        )
    return root


def parity_table(result: ExportResult) -> list[str]:
    """The cost and the parity of every variant, in lines for people."""
    width = max(len(outcome.name) for outcome in result.outcomes)
    boards = counted_boards(result.outcomes)
    counts = "".join(f" {f'k {board}':>7}" for board in boards)
    head = (
        f"{'variant':{width}} {'kB':>6} {'us':>6}{counts}  {'windows':20} {'output':>8} {'score':>8} {'flipped':>7} "
        f"{'AP':>7}  in the bundle"
    )
    lines = ["difference from the trained model, read back from the sealed file:", head]
    for outcome in result.outcomes:
        lines += _outcome_lines(outcome, width, boards)
    size = result.path.stat().st_size / 1000
    lines += ["us: microseconds a window here, one at a time; AP: change of the average precision"]
    if boards:
        lines += [f"k: thousands of ARM instructions a window under emulation, on {', '.join(boards)}"]
    return [*lines, f"sealed {result.path} ({size:.1f} kB)"]


def _outcome_lines(outcome: VariantOutcome, width: int, boards: list[str]) -> list[str]:
    answer = answer_text(outcome)
    cost = "-" if outcome.microseconds is None else f"{outcome.microseconds:.0f}"
    counted = outcome.instructions or {}
    counts = "".join(f" {f'{counted[board]:.0f}' if board in counted else '-':>7}" for board in boards)
    start = f"{outcome.name:{width}} {outcome.size / 1000:6.1f} {cost:>6}{counts}"
    if not outcome.parity:
        return [f"{start}  {'':20} {'':8} {'':8} {'':7} {'':7}  {answer}"]
    lines = []
    for windows, check in outcome.parity.items():
        which = f"{check.windows} {windows.replace('_', ' ')}"
        change = "" if check.average_precision is None else f"{check.average_precision:.1e}"
        lines.append(
            f"{start}  {which:20} {check.reconstruction:8.1e} {check.score:8.1e} {check.flipped:7} {change:>7}  "
            f"{answer}".rstrip()
        )
        start, answer = " " * len(start), ""
    return lines
