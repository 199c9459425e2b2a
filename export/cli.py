"""`anomalite export`: a run directory in, one verified file out, and the table that says why to trust it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.schema import encode
from export.seal import ExportResult, VariantOutcome, export_run
from training.extra import import_extra, import_keras, quiet_tensorflow, require_extra
from training.run_directory import read_run


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="anomalite export",
        description="Convert a trained model to TFLite, ONNX and numpy, prove each variant against it through the device "
        "runtime, and seal those that pass into one file.",
        epilog="example: anomalite export runs/pump --out pump.anomalite",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="what anomalite train wrote")
    parser.add_argument("--out", metavar="FILE", help="the bundle (default: NAME.anomalite in the current folder)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    require_extra("anomalite export", "tensorflow", "keras", "tf_keras", "tf2onnx", "onnx")
    run = read_run(options.run)
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1) as terminal, quiet_tensorflow():
        print("starting TensorFlow", file=terminal)
        import_keras("anomalite export")
        for package in ("tf_keras", "tf2onnx"):
            import_extra(package, "anomalite export")
        result = export_run(run, options.out, say=lambda line: print(line, file=terminal))
    if options.json:
        write(json.dumps({"bundle": str(result.path), "variants": encode(list(result.outcomes))}))
    else:
        for line in parity_table(result):
            write(line)
    return EXIT_DONE


def parity_table(result: ExportResult) -> list[str]:
    """The parity of every variant, in lines for people."""
    head = f"{'variant':15} {'kB':>6}  {'windows':22} {'reconstruction':>14} {'score':>9} {'flipped':>8}  in the bundle"
    lines = ["difference from the trained model, read back from the sealed file:", head]
    for outcome in result.outcomes:
        lines += _outcome_lines(outcome)
    size = result.path.stat().st_size / 1000
    return [*lines, f"sealed {result.path} ({size:.1f} kB)"]


def _outcome_lines(outcome: VariantOutcome) -> list[str]:
    answer = "yes" if outcome.refused is None else f"NO: {outcome.refused}"
    name = f"{outcome.name:15} {outcome.size / 1000:6.1f}"
    if not outcome.parity:
        return [f"{name}  {'':22} {'':14} {'':9} {'':8}  {answer}"]
    lines = []
    for windows, check in outcome.parity.items():
        which = f"{check.windows} {windows.replace('_', ' ')}"
        lines.append(
            f"{name}  {which:22} {check.reconstruction:14.1e} {check.score:9.1e} {check.flipped:8}  {answer}".rstrip()
        )
        name, answer = " " * len(name), ""
    return lines
