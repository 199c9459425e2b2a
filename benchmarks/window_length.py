"""`python -m benchmarks window_length`: from which window length on the fused LSTM kernel is the better TFLite file than the unrolled one.

An unrolled graph has every operation once a step, so its size and the time to load it grow with the window.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.context import commit, machine
from benchmarks.reference_bundle import CHANNELS, UNITS, Reference, reference_bundle
from edge_runtime.opening import load
from export import arm

LENGTHS = (8, 16, 32, 64, 128, 256)
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
    window = np.random.default_rng(1).normal(size=(1, length, CHANNELS)).astype(np.float32)
    detector = load(bundle, engine="litert", variant=variant)
    entry = next(each for each in detector.manifest.variants if each.name == variant)

    def open_and_run() -> None:
        load(bundle, engine="litert", variant=variant).engine.run(window)

    counts = {}
    if root is not None:
        counts = {f"k_pi{board}": arm.instructions(root, bundle, "litert", variant, board) / 1000 for board in (4, 5)}
    return {
        "T": length,
        "variant": variant,
        "kb": entry.size / 1000,
        "us_p50": _median(lambda: detector.engine.run(window), 300) * 1e6,
        "opening_ms": _median(open_and_run, 15) * 1e3,
        **counts,
    }


def _median(function: Callable[[], object], times: int) -> float:
    """Seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return median(taken)


def _row(result: dict[str, Any]) -> str:
    counts = "".join(f"{result[key]:9.0f} {key}" for key in result if key.startswith("k_"))
    return (
        f"T={result['T']:<4} {result['variant']:24} {result['kb']:7.1f} kB {result['us_p50']:8.1f} us "
        f"{result['opening_ms']:7.2f} ms opening{counts}"
    )
