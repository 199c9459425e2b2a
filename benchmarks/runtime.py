"""`python -m benchmarks runtime`: what the runtime costs above the bare engine, on this machine."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.context import ONE_THREAD, commit, machine
from benchmarks.installed_size import installed_size
from benchmarks.reference_bundle import Reference, reference_bundle
from benchmarks.runtime_cost import CASES
from edge_runtime.engines import ENGINES, installed_engines


class Target(NamedTuple):
    """The most that a figure may be."""

    case: str
    key: str
    """Of the case's results."""
    measure: str
    most: float
    unit: str


TARGETS = (
    Target("update", "above_us", "Detector.update above the bare engine", 15.0, "us"),
    Target("start", "ratio", "cold start to first verdict over numpy, engine and model", 1.25, "x"),
    Target("start", "cpu_ratio", "the same in processor time, which a busy machine disturbs less", 1.25, "x"),
    Target("start", "above_mb", "peak memory above the same", 5.0, "MB"),
    Target("update_many", "ratio", "1,000 machines in one call over the bare engine at its best batch", 1.25, "x"),
    Target("machines", "traced_bytes", "memory for one more machine on a shared bundle", 4000.0, "bytes"),
    Target("installed", "files_mb", "installed size beside numpy and the engine, without .pyc files", 1.0, "MB"),
    Target("installed", "with_pyc_mb", "the same with the .pyc files that pip adds", 1.0, "MB"),
)
"""At T=32, C=4, an LSTM(32) autoencoder, batch 1, one thread."""


def main(arguments: Sequence[str]) -> int:
    """Run the cases, each in a fresh process; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks runtime", description=__doc__)
    parser.add_argument(
        "--engine", metavar="NAME", action="append", choices=list(ENGINES), help="default: all installed"
    )
    parser.add_argument("--case", metavar="NAME", action="append", choices=[*CASES, "installed"], help="default: all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the measurements: to try it, not to quote it")
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundle measured is kept")
    options = parser.parse_args(arguments)
    print("T=32, C=4, LSTM(32) autoencoder, one thread; bare = set input, reset state, invoke, get output", flush=True)
    cases = options.case or [*CASES, "installed"]
    results: list[dict[str, Any]] = []
    if set(cases) & set(CASES):
        bundle = reference_bundle(Path(options.cache), Reference(variants=())).resolve()
    for case in cases:
        for engine in [None] if case == "installed" else options.engine or installed_engines():
            figures = _installed() if engine is None else _measure(case, bundle, engine, options.quick)
            results.append({"case": case, "engine": engine, **figures})
            print(row(results[-1]), flush=True)
    print(json.dumps({"benchmark": "runtime", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def row(result: dict[str, Any]) -> str:
    """A line for people: every figure, and what its targets say."""
    head = f"{result['case']:12} {result['engine'] or '':7}"
    if "fault" in result:
        return f"{head}  not measured: {result['fault']}"
    figures = ", ".join(
        f"{name} {value:.4g}" for name, value in result.items() if isinstance(value, int | float) and name != "engine"
    )
    verdicts = "; ".join(
        f"{target.key} at most {target.most:g} {target.unit}: {judged(result[target.key], target.most)}"
        for target in TARGETS
        if target.case == result["case"]
    )
    return f"{head}  {figures}\n{'':20}  {verdicts}"


def judged(measured: float, limit: float, *, is_least: bool = False) -> str:
    """Whether a target is met, or by how much it is missed. `is_least`: the limit is the least it may be, not the most."""
    if measured >= limit if is_least else measured <= limit:
        return "met"
    return f"MISSED by {abs(measured / limit - 1):.1%}"


def _measure(case: str, bundle: Path, engine: str, quick: bool) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.runtime_cost",
        case,
        str(bundle),
        engine,
        *(["quick"] if quick else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _installed() -> dict[str, Any]:
    try:
        return installed_size()
    except (RuntimeError, OSError) as fault:
        return {"fault": str(fault)}
