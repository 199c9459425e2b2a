"""What the runtime costs above the bare engine: a reading, a thousand machines, a fresh process.

Both sides of every comparison run in turn in the same process (or in fresh processes in turn), so a drift of the
machine's speed meets both alike; medians are compared. "Bare" is: set input, reset state, invoke, get output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.reference_bundle import CHANNELS, LENGTH
from edge_runtime import Detector, Reading, load
from edge_runtime.bundle import Bundle
from edge_runtime.opening import choose_variant

MACHINES = 1000

_LITE = (
    "interpreter.Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type="
    "interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES).allocate_tensors()"
)
FLOORS = {
    "litert": f"from ai_edge_litert import interpreter; {_LITE}",
    "tflite": f"from tflite_runtime import interpreter; {_LITE}",
    "onnx": "import onnxruntime as o; s = o.SessionOptions(); s.intra_op_num_threads = s.inter_op_num_threads = 1; "
    "s.enable_cpu_mem_arena = False; o.InferenceSession(model, s, providers=['CPUExecutionProvider'])",
}
"""The least a fresh process has to do before it can run the model, with the options our engines use."""


def update_cost(bundle: Path, engine: str) -> dict[str, Any]:
    """Microseconds of `Detector.update` for one reading against the bare engine for one window."""
    detector = load(bundle, engine=engine)
    bare = _bare_call(Bundle.read(bundle), engine)
    rng = np.random.default_rng(1)
    readings = [tuple(row) for row in rng.normal(size=(256, CHANNELS)).tolist()]
    clock = _Clock()

    def update() -> None:
        detector.update(Reading(clock.tick(), readings[clock.now % 256]))

    for _ in range(2 * LENGTH):
        update()
    ours, floor, above = _in_turn(update, bare, calls=25, rounds=400)
    yardstick, _, _ = _in_turn(_plain_steps(), bare, calls=25, rounds=400)
    return {
        "case": "update", "engine": engine, "us_p50": ours, "bare_us_p50": floor, "above_us": above,
        "plain_numpy_us_p50": yardstick,
    }  # fmt: skip


def update_many_cost(bundle: Path, engine: str) -> dict[str, Any]:
    """Microseconds a machine of `update_many` for 1,000 machines against the engine on the same windows."""
    detector = load(bundle, engine=engine, machines=MACHINES)
    rng = np.random.default_rng(1)
    ids, values = np.arange(MACHINES), rng.normal(size=(64, MACHINES, CHANNELS))
    windows = rng.normal(size=(MACHINES, LENGTH, CHANNELS)).astype(np.float32)
    clock = _Clock()

    def update_many() -> None:
        detector.update_many(ids, values[clock.now % 64], float(clock.tick()))

    def engine_only() -> None:
        _run_in_batches(detector, windows)

    for _ in range(LENGTH + 1):
        update_many()
    ours, floor, above = (each / MACHINES for each in _in_turn(update_many, engine_only, calls=1, rounds=60))
    return {"case": "update_many", "engine": engine, "us_p50": ours, "bare_us_p50": floor, "above_us": above}


def start_cost(bundle: Path, engine: str, folder: Path, rounds: int = 15) -> dict[str, Any]:
    """Wall time and peak memory of `anomalite score` on one window in a fresh process, against engine and model alone."""
    data = folder / "one-window.csv"
    rows = [f"{step},{','.join('0.1' for _ in range(CHANNELS))}" for step in range(LENGTH)]
    data.write_text("\n".join([f"time,{','.join(f'c{i}' for i in range(CHANNELS))}", *rows]) + "\n")
    content = Bundle.read(bundle)
    _, variant = choose_variant(content, engine)
    model = folder / variant.file
    model.write_bytes(content.members[variant.file])
    floor = f"import numpy; model = open({str(model)!r}, 'rb').read(); {FLOORS.get(engine, '')}"
    ours_command = [sys.executable, "-m", "edge_runtime.cli", "score", str(bundle), str(data), "--engine", engine]
    bare_command = [sys.executable, "-c", floor]
    # In turn; the first of each is left out, because it writes the .pyc files.
    samples = [(_measure(ours_command), _measure(bare_command)) for _ in range(rounds + 1)]
    ours_ms, ours_mb = (median(ours[i] for ours, _ in samples[1:]) for i in range(2))
    floor_ms, floor_mb = (median(bare[i] for _, bare in samples[1:]) for i in range(2))
    return {
        "case": "score, fresh process", "engine": engine, "ms": ours_ms, "bare_ms": floor_ms, "above_ms": ours_ms - floor_ms,
        "peak_mb": ours_mb, "bare_peak_mb": floor_mb, "above_mb": ours_mb - floor_mb,
    }  # fmt: skip


def _plain_steps() -> Callable[[], object]:
    """A yardstick for this machine's speed: cleaning, scaling, window and score of one reading, as one would first write it."""
    center, scale, held = np.zeros(CHANNELS), np.ones(CHANNELS), np.zeros(CHANNELS)
    window, reconstruction = np.zeros((LENGTH, CHANNELS), np.float32), np.zeros((LENGTH, CHANNELS), np.float32)
    reading = (0.1, 0.2, 0.3, 0.4)

    def run() -> object:
        values = np.asarray(reading)
        held[:] = np.where(np.isnan(values), held, values)
        window[:-1] = window[1:]
        window[-1] = (held - center) / scale
        return np.abs(reconstruction - window).mean()

    return run


class _Clock:
    """Seconds that pass one at a time."""

    def __init__(self) -> None:
        self.now = 0

    def tick(self) -> float:
        self.now += 1
        return float(self.now)


def _in_turn(
    ours: Callable[[], object], bare: Callable[[], object], calls: int, rounds: int
) -> tuple[float, float, float]:
    """Short blocks that take turns: the median microseconds a call of each, and the median of their differences."""
    pairs = [(_block(ours, calls), _block(bare, calls)) for _ in range(rounds)]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(a - b for a, b in pairs)


def _block(function: Callable[[], object], calls: int) -> float:
    """Microseconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls * 1e6


def _bare_call(bundle: Bundle, engine: str) -> Callable[[], object]:
    """One window through the engine's own interface, nothing else."""
    _, variant = choose_variant(bundle, engine)
    model = bundle.members[variant.file]
    window = np.random.default_rng(1).normal(size=(1, LENGTH, CHANNELS)).astype(np.float32)
    if engine == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: window})
    if engine == "numpy":
        from edge_runtime.engines import open_engine

        opened = open_engine("numpy", model, (LENGTH, CHANNELS))
        return lambda: opened.run(window)
    if engine == "litert":
        from ai_edge_litert import interpreter as lite
    else:
        from tflite_runtime import interpreter as lite
    interpreter = lite.Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]

    def run() -> object:
        interpreter.reset_all_variables()
        interpreter.set_tensor(input_index, window)
        interpreter.invoke()
        return interpreter.get_tensor(output_index)

    return run


def _run_in_batches(detector: Detector, windows: Any) -> None:
    size = detector.engine.best_batch
    for start in range(0, len(windows), size):
        detector.engine.run(windows[start : start + size])


def _measure(command: list[str]) -> tuple[float, float]:
    """Wall milliseconds and peak memory in MB of a process."""
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONDONTWRITE")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - start) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return taken, usage.ru_maxrss / 1024


CASES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "update": update_cost,
    "update_many": update_many_cost,
    "start": lambda bundle, engine: start_cost(bundle, engine, bundle.parent),
}
"""The cases, by name; each is run as `python -m benchmarks.runtime_cost CASE BUNDLE ENGINE` in a process of its own."""

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])))
