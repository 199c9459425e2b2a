"""`python -m benchmarks runtime`: what the runtime costs above the bare engine, on this machine."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.context import commit, machine
from benchmarks.reference_bundle import reference_bundle
from benchmarks.runtime_cost import CASES
from edge_runtime.engines import ENGINES, installed_engines

TARGETS = {"update": ("above_us", 25.0), "update_many": ("above_us", 3.0)}
"""The most a case may be above the bare engine, in microseconds a reading."""
START_TARGETS = {"above_ms": 80.0, "above_mb": 8.0}


def main(arguments: Sequence[str]) -> int:
    """Run the cases, each in a fresh process; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks runtime", description=__doc__)
    parser.add_argument(
        "--engine", metavar="NAME", action="append", choices=list(ENGINES), help="default: all installed"
    )
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundle measured is kept")
    options = parser.parse_args(arguments)
    print("T=32, C=4, LSTM(32) autoencoder, one thread; bare = set input, reset state, invoke, get output", flush=True)
    bundle = reference_bundle(Path(options.cache)).resolve()
    results: list[dict[str, Any]] = []
    for case in CASES:
        for engine in options.engine or installed_engines():
            command = [sys.executable, "-m", "benchmarks.runtime_cost", case, str(bundle), engine]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
            results.append(json.loads(done.stdout))
            print(_row(results[-1]), flush=True)
    print(json.dumps({"benchmark": "runtime", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def _row(result: dict[str, Any]) -> str:
    head = f"{result['case']:20}  {result['engine']:7}"
    if "above_us" in result:
        _, most = TARGETS[result["case"]]
        us, bare, above = result["us_p50"], result["bare_us_p50"], result["above_us"]
        yardstick = result.get("plain_numpy_us_p50")
        return (
            f"{head}  {us:8.1f} us, bare {bare:8.1f} us: {us / bare:5.2f} x, {above:6.2f} us above "
            f"(target {most:g}: {'met' if above <= most else 'MISSED'})"
            + (f"; the four steps in plain numpy: {yardstick:.1f} us" if yardstick else "")
        )
    parts = []
    for unit, ours, bare, above in (
        ("ms", "ms", "bare_ms", "above_ms"),
        ("MB", "peak_mb", "bare_peak_mb", "above_mb"),
    ):
        most = START_TARGETS[above]
        verdict = "met" if result[above] <= most else "MISSED"
        parts.append(
            f"{result[ours]:.1f} {unit}, bare {result[bare]:.1f}: {result[ours] / result[bare]:.2f} x, "
            f"{result[above]:.1f} above (target {most:g}: {verdict})"
        )
    return f"{head}  {'; '.join(parts)}"
