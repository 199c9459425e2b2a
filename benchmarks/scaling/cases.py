"""One size, measured in a process of its own: `python -m benchmarks.scaling.cases CASE BUNDLE ENGINE SIZE [VARIANT]` prints a line of JSON.

`us` is CPU time (the median of short blocks, one thread): a reading's for `window`, a window's for `batch` and `engine`, a machine's for `machines`.
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
import numpy.typing as npt

from benchmarks.scaling.stream import resident_bytes
from edge_runtime import Detector, Reading, load

PACKAGES = {"onnx": "onnxruntime", "litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
SECONDS = 0.4
"""Of measuring."""
BLOCK_SECONDS = 0.005
OPENINGS = 15


def window(bundle: Path, engine: str, _: int, variant: str | None = None) -> dict[str, Any]:
    """`Detector.update` with one machine; the size is the bundle's."""
    detector, before = _open(bundle, engine, variant)
    rows = [tuple(row) for row in np.random.default_rng(1).normal(0.0, 0.5, (64, _channels(detector))).tolist()]
    now = 0

    def update() -> None:
        nonlocal now
        now += 1
        detector.update(Reading(float(now), rows[now % 64]))

    for _ in range(2 * detector.manifest.window.length):
        update()
    return {"us": _microseconds(update), "mb": (_peak_bytes() - before) / 1e6, "variant": detector.variant_name}


def batch(bundle: Path, engine: str, size: int, variant: str | None = None) -> dict[str, Any]:
    """The engine and the score with so many windows in a call, prepared beforehand."""
    detector, before = _open(bundle, engine, variant, batch=size)
    windows = _windows(detector, size)
    us = _microseconds(lambda: detector.score_windows(windows)) / size
    return {"us": us, "mb": (_peak_bytes() - before) / 1e6, "variant": detector.variant_name}


def engine_alone(bundle: Path, engine: str, size: int, variant: str | None = None) -> dict[str, Any]:
    """The engine with so many windows in a call. `opening_ms`: to read the bundle, load the model and run one window, not for the first time."""
    detector, before = _open(bundle, engine, variant)
    windows = _windows(detector, size)
    us = _microseconds(lambda: detector.engine.run(windows)) / size
    peak = _peak_bytes() - before

    def open_and_run() -> None:
        load(bundle, engine=engine, variant=variant).engine.run(windows[:1])

    opening = median(_block(open_and_run, 1) for _ in range(OPENINGS)) / 1e6
    return {"us": us, "mb": peak / 1e6, "opening_ms": opening, "variant": detector.variant_name}


def machines(bundle: Path, engine: str, count: int, variant: str | None = None) -> dict[str, Any]:
    """`update_many` with a reading of each machine. Memory is above that of the same process with one machine.

    `kept_mb` is what is still held after the calls, `mb` what they needed at most.
    """
    first, _ = _open(bundle, engine, variant)
    _feed_all(first, 1)
    _reset_peak()
    before = resident_bytes()
    detector = load(bundle, engine=engine, variant=variant, machines=count)
    update_many = _feed_all(detector, count)
    us = _microseconds(update_many) / count
    held, peak = resident_bytes() - before, _peak_bytes() - before
    return {"us": us, "mb": peak / 1e6, "kept_mb": held / 1e6, "variant": detector.variant_name}


def _feed_all(detector: Detector, count: int) -> Callable[[], object]:
    """Fill every machine's window; returns one more `update_many`."""
    ids = np.arange(count)
    rows = np.random.default_rng(1).normal(0.0, 0.5, (4, 1, _channels(detector)))
    rows = np.broadcast_to(rows, (4, count, _channels(detector)))  # the same for each, so that they take no memory
    now = 0

    def update_many() -> None:
        nonlocal now
        now += 1
        detector.update_many(ids, rows[now % 4], float(now))

    for _ in range(detector.manifest.window.length + 1):
        update_many()
    return update_many


def _open(bundle: Path, engine: str, variant: str | None, batch: int | None = None) -> tuple[Detector, int]:
    """The detector, and how many bytes the process held before."""
    if engine in PACKAGES:
        import_module(PACKAGES[engine])
    _reset_peak()
    before = resident_bytes()
    return load(bundle, engine=engine, variant=variant, batch=batch), before


def _windows(detector: Detector, count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, *detector.manifest.window_shape)).astype(np.float32)


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


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    "window": window,
    "batch": batch,
    "engine": engine_alone,
    "machines": machines,
}

if __name__ == "__main__":
    case, path, name, number, *chosen = sys.argv[1:]
    print(json.dumps(CASES[case](Path(path), name, int(number), *chosen)))
