"""One size, measured in a process of its own: `python -m benchmarks.scaling_cases CASE BUNDLE ENGINE SIZE` prints a line of JSON.

`us` is CPU time (the median of short blocks, one thread): a reading's for `window`, a window's for `batch`, a machine's for `machines`.
`mb` is what the peak of the process's memory is above what it held with numpy and the engine's package imported.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.scaling_stream import resident_bytes
from edge_runtime import Detector, Reading, load

PACKAGES = {"onnx": "onnxruntime", "litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
SECONDS = 0.4
"""Of measuring."""
BLOCK_SECONDS = 0.005


def window(bundle: Path, engine: str, _: int) -> dict[str, Any]:
    """`Detector.update` with one machine; the size is the bundle's."""
    detector, before = _open(bundle, engine)
    rows = [tuple(row) for row in np.random.default_rng(1).normal(0.0, 0.5, (64, _channels(detector))).tolist()]
    now = 0

    def update() -> None:
        nonlocal now
        now += 1
        detector.update(Reading(float(now), rows[now % 64]))

    for _ in range(2 * detector.manifest.window.length):
        update()
    return {"us": _microseconds(update), "mb": (_peak_bytes() - before) / 1e6, "variant": detector.variant_name}


def batch(bundle: Path, engine: str, size: int) -> dict[str, Any]:
    """The engine and the score with so many windows in a call, prepared beforehand."""
    detector, before = _open(bundle, engine, batch=size)
    shape = detector.manifest.window_shape
    windows = np.random.default_rng(1).normal(size=(size, *shape)).astype(np.float32)
    us = _microseconds(lambda: detector.score_windows(windows)) / size
    return {"us": us, "mb": (_peak_bytes() - before) / 1e6, "variant": detector.variant_name}


def machines(bundle: Path, engine: str, count: int) -> dict[str, Any]:
    """`update_many` with a reading of each machine. Memory is above that of the same process with one machine.

    `kept_mb` is what is still held after the calls, `mb` what they needed at most.
    """
    first, _ = _open(bundle, engine)
    _feed_all(first, 1)
    _reset_peak()
    before = resident_bytes()
    detector = load(bundle, engine=engine, machines=count)
    update_many = _feed_all(detector, count)
    us = _microseconds(update_many) / count
    held, peak = resident_bytes() - before, _peak_bytes() - before
    return {"us": us, "mb": peak / 1e6, "kept_mb": held / 1e6, "variant": detector.variant_name}


def _feed_all(detector: Detector, count: int) -> Callable[[], object]:
    """Fill every machine's window; returns one more `update_many`."""
    ids = np.arange(count)
    rows = np.random.default_rng(1).normal(0.0, 0.5, (4, count, _channels(detector)))
    now = 0

    def update_many() -> None:
        nonlocal now
        now += 1
        detector.update_many(ids, rows[now % 4], float(now))

    for _ in range(detector.manifest.window.length + 1):
        update_many()
    return update_many


def _open(bundle: Path, engine: str, batch: int | None = None) -> tuple[Detector, int]:
    """The detector, and how many bytes the process held before."""
    if engine in PACKAGES:
        import_module(PACKAGES[engine])
    _reset_peak()
    before = resident_bytes()
    return load(bundle, engine=engine, batch=batch), before


def _channels(detector: Detector) -> int:
    return len(detector.manifest.channels)


def _microseconds(call: Callable[[], object]) -> float:
    """CPU time of one call, the median of blocks of several."""
    call()
    calls, spent = 1, _block(call, 1)
    while spent < BLOCK_SECONDS * 1e9:
        calls *= 2
        spent = _block(call, calls)
    rounds = max(3, round(SECONDS * 1e9 / max(spent, 1)))
    return median(_block(call, calls) / calls for _ in range(rounds)) / 1e3


def _block(call: Callable[[], object], calls: int) -> int:
    """Nanoseconds."""
    begin = time.process_time_ns()
    for _ in range(calls):
        call()
    return time.process_time_ns() - begin


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Since the last reset. (The operating system's `ru_maxrss` would begin with what the parent process held.)"""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


CASES: dict[str, Callable[[Path, str, int], dict[str, Any]]] = {"window": window, "batch": batch, "machines": machines}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
