"""The bare engines: the same model file and options as ours, used as a good user of each would. The floor under our figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.engines.tflite_file import is_stateful, without_half
from edge_runtime.opening import choose_variant

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

BATCHES = (1, 16, 64, 128, 256)
_INTERPRETER = "model = lite.Interpreter(model_content=data, num_threads=1RESOLVER)\nmodel.allocate_tensors()"
_NO_DELEGATE = ", experimental_op_resolver_type=lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES"
_OPENING = {
    "litert": f"import numpy\nfrom ai_edge_litert import interpreter as lite\n{_INTERPRETER}",
    "tflite": f"import numpy\nfrom tflite_runtime import interpreter as lite\n{_INTERPRETER}",
    "onnx": (
        "import os\nos.environ['ORT_DISABLE_TELEMETRY'] = '1'\nimport numpy, onnxruntime as ort\noptions = ort.SessionOptions()\n"
        "options.intra_op_num_threads = options.inter_op_num_threads = 1\noptions.enable_cpu_mem_arena = False\n"
        "options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL\n"
        "model = ort.InferenceSession(data, options, providers=['CPUExecutionProvider'])"
    ),
    "numpy": "import io, numpy\nwith numpy.load(io.BytesIO(data)) as file: model = {name: file[name] for name in file.files}",
}
"""Imports numpy and the engine and opens `data`; the numpy engine has no library, there it is numpy and the weights."""


def model_of(bundle: Path, engine: str) -> tuple[bytes, tuple[int, int]]:
    """The file that `load` would open with this engine, as the engine gets it, and its windows' shape (T, F)."""
    content = Bundle.read(bundle)
    _, variant = choose_variant(content, engine)
    data = content.members[variant.file]
    is_tflite = engine in ("litert", "tflite")
    return without_half(data) if is_tflite and not variant.half else data, content.manifest.window_shape


def opening(engine: str, data: bytes) -> str:
    """The least a program does before it can run the model in `data`, as Python text: it binds `model`."""
    resolver = _NO_DELEGATE if engine in ("litert", "tflite") and is_stateful(data) else ""
    return _OPENING[engine].replace("RESOLVER", resolver)


def start_command(engine: str, data: bytes, file: Path) -> str:
    """A program for `python -c`: numpy and the engine imported, the model (written to `file`) loaded."""
    file.write_bytes(data)
    return f"data = open({str(file)!r}, 'rb').read()\n{opening(engine, data)}"


def open_bare(engine: str, data: bytes, shape: tuple[int, int]) -> Run:
    """What estimates one window (1, T, F) with the engine's own interface: set input, reset state, invoke, get output."""
    if engine == "numpy":  # the calculation is ours, whoever calls it
        from edge_runtime.engines import open_engine

        return open_engine("numpy", data, shape).run
    model = _opened(engine, data)
    if engine == "onnx":
        return _bound(model, shape)
    has_state = is_stateful(data)
    given, wanted = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]

    def run(window: npt.NDArray[np.float32]) -> Any:
        if has_state:
            model.reset_all_variables()
        model.set_tensor(given, window)
        model.invoke()
        return model.get_tensor(wanted)

    return run


def open_bare_batch(engine: str, data: bytes, shape: tuple[int, int]) -> tuple[Run, tuple[int, ...]]:
    """What estimates B windows, and the batches worth trying: a TFLite file of one window takes one at a time."""
    if engine == "onnx":
        model = _opened(engine, data)
        one, name = _bound(model, shape), model.get_inputs()[0].name
        return lambda windows: one(windows) if len(windows) == 1 else model.run(None, {name: windows})[0], BATCHES
    return open_bare(engine, data, shape), BATCHES if engine == "numpy" else BATCHES[:1]


def _opened(engine: str, data: bytes) -> Any:
    names: dict[str, Any] = {"data": data}
    exec(opening(engine, data), names)  # noqa: S102 - the text above, which fresh processes are given too
    return names["model"]


def _bound(session: Any, shape: tuple[int, int]) -> Run:
    """One window through arrays that are bound once, which costs less than an ordinary run."""
    import onnxruntime

    value = onnxruntime.OrtValue.ortvalue_from_numpy
    window = np.zeros((1, *shape), np.float32)
    (estimate,) = session.run(None, {session.get_inputs()[0].name: window})
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, value(window))
    binding.bind_ortvalue_output(session.get_outputs()[0].name, value(estimate))

    def run(given: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        window[...] = given
        session.run_with_iobinding(binding)
        return estimate

    return run
