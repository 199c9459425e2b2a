"""`python -m benchmarks same_bits`: whether an engine's answer to a window depends on how many it is handed over with.

The variants of every family, all of them of the default one, on every engine that is installed, with random weights: for each size of a call, whether each window's answer is
the same to the bit as in a call of two; what the gateway makes of it; and what that costs a window that comes alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import markdown
from benchmarks.context import commit, machine
from benchmarks.reference_bundle import FAMILIES, Reference, reference_bundle
from edge_runtime.bundle import Bundle
from edge_runtime.cpu import cpu_kind
from edge_runtime.engines import Engine, Options, installed_engines, open_engine
from edge_runtime.gateway.steady import steady
from edge_runtime.opening import obstacle

SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32, 64)
WINDOWS = 64
HEADS = (
    "family",
    "variant",
    "engine",
    "windows a call",
    "other bits in calls of",
    "so",
    "one window, us",
    "kept the same, us",
)


def main(arguments: Sequence[str]) -> int:
    """Try every pair; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks same_bits", description=__doc__)
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept")
    markdown.add_option(parser, "same_bits")
    options = parser.parse_args(arguments)
    results = []
    for family in FAMILIES:
        variants = ("all",) if family == "lstm_autoencoder" else ()
        bundle = Bundle.read(reference_bundle(Path(options.cache), Reference(family, variants=variants)))
        for variant in bundle.manifest.variants:
            for name in variant.engines:
                if name in installed_engines() and obstacle(variant, name, cpu_kind()) is None:
                    m = bundle.manifest.for_variant(variant)
                    model, how = bundle.members[variant.file], Options(half=variant.half)
                    engine = open_engine(name, model, m.window_shape, m.output_shape, how)
                    most = min(engine.best_batch, variant.largest_batch or engine.best_batch)
                    names = {"family": family, "variant": variant.name, "engine": name}
                    results.append({**names, **_try(engine, m.window_shape, most)})
                    engine.close()
                    print(" ".join(map(str, results[-1].values())), flush=True)
    text = markdown.table(HEADS, [_row(result) for result in results])
    print(text)
    if options.markdown:
        markdown.insert(options.markdown, "same_bits", text)
    print(json.dumps({"benchmark": "same_bits", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def _try(engine: Engine, shape: tuple[int, int], most: int) -> dict[str, Any]:
    """What the engine does with calls of each size up to `most`."""
    windows = np.random.default_rng(1).normal(0, 1, (WINDOWS, *shape)).astype(np.float32)
    sizes = [size for size in SIZES if size <= most]
    in_calls = {size: _in_calls_of(size, engine, windows) for size in sizes}
    base = in_calls[min(2, most)]
    wrapped = steady(engine, shape, most)
    return {
        "most": most,
        "differ": [size for size in sizes if in_calls[size].tobytes() != base[: len(in_calls[size])].tobytes()],
        "kept": wrapped.best_batch,
        "doubles": wrapped.doubles,
        "single_us": _microseconds(engine, windows[:1]),
        "kept_us": _microseconds(wrapped, windows[:1]),
    }


def _in_calls_of(size: int, engine: Engine, windows: np.ndarray) -> np.ndarray:
    """The answers to as many of the windows as fill whole calls."""
    rows = range(0, len(windows) - size + 1, size)
    return np.concatenate([engine.run(windows[row : row + size]) for row in rows])


def _microseconds(engine: Engine, window: np.ndarray) -> float:
    """The least of 300 calls."""
    times = []
    for _ in range(300):
        begin = time.perf_counter()
        engine.run(window)
        times.append(time.perf_counter() - begin)
    return round(min(times) * 1e6, 1)


def _row(result: dict[str, Any]) -> list[str]:
    differ = ", ".join(map(str, result["differ"])) or "none"
    return [
        *(str(result[key]) for key in ("family", "variant", "engine")),
        f"1 to {result['most']}" if result["most"] > 1 else "1",
        differ,
        ("1" if result["kept"] == 1 else f"1 to {result['kept']}") + (", 1 doubled" if result["doubles"] else ""),
        f"{result['single_us']:.0f}",
        f"{result['kept_us']:.0f}",
    ]
