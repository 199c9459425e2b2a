"""`python -m benchmarks window_length`: from which window length on the fused LSTM kernel is the better TFLite file than the unrolled one.

An unrolled graph has every operation once a step, so its size, its memory and the time to load it grow with the window. Times are
CPU time, memory is what the peak of a fresh process is above numpy and the engine's package.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.context import commit, machine
from benchmarks.reference_bundle import CHANNELS, UNITS, Reference, reference_bundle
from benchmarks.scaling.command import fresh
from edge_runtime.bundle import Bundle
from export import arm

LENGTHS = (8, 16, 32, 64, 128, 256)
ROUNDS = 3
VARIANTS = ("tflite-float32", "tflite-unrolled-float32")


def main(arguments: Sequence[str]) -> int:
    """Measure each length; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks window_length", description=__doc__)
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    root = arm.find_root()
    print(
        f"C={CHANNELS}, LSTM({UNITS}) autoencoder; opening = load, first window; k = thousands of ARM instructions",
        flush=True,
    )
    results = []
    for length in LENGTHS:
        bundle = reference_bundle(Path(options.cache), Reference(length=length, variants=VARIANTS)).resolve()
        for variant in VARIANTS:
            results.append(_measure(bundle, variant, length, root))
            print(_row(results[-1]), flush=True)
    print(json.dumps({"benchmark": "window_length", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def _measure(bundle: Path, variant: str, length: int, root: Path | None) -> dict[str, Any]:
    entry = next(each for each in Bundle.read(bundle).manifest.variants if each.name == variant)
    runs = [fresh("scaling.cases", "engine", str(bundle), "litert", "1", variant) for _ in range(ROUNDS)]
    counts = {}
    if root is not None:
        counts = {f"k_pi{board}": arm.instructions(root, bundle, "litert", variant, board) / 1000 for board in (4, 5)}
    return {
        "T": length,
        "variant": variant,
        "kb": entry.size / 1000,
        "us_p50": median(run["us"] for run in runs),
        "opening_ms": median(run["opening_ms"] for run in runs),
        "peak_mb": median(run["mb"] for run in runs),
        **counts,
    }


def _row(result: dict[str, Any]) -> str:
    counts = "".join(f"{result[key]:9.0f} {key}" for key in result if key.startswith("k_"))
    return (
        f"T={result['T']:<4} {result['variant']:24} {result['kb']:7.1f} kB {result['us_p50']:8.1f} us "
        f"{result['opening_ms']:7.2f} ms opening {result['peak_mb']:5.1f} MB{counts}"
    )
