"""The ONNX Runtime engine."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import Options, check_shape
from edge_runtime.engines.tflite import first_line
from edge_runtime.errors import EngineError


class OnnxEngine:
    """Runs a model whose batch is free in one call, one whose batch is 1 window by window. One caller at a time.

    One window goes through arrays bound to the session once, which costs half as much around the model as an ordinary run.
    """

    def __init__(
        self,
        model: bytes,
        shape: tuple[int, int],
        output_shape: tuple[int, int],
        options: Options = Options(),  # noqa: B008 - a tuple
    ) -> None:
        # Newer wheels report how they are used over the network, from a thread that their import starts. Not from here, unless
        # the variable is set to something else, or the program has imported them itself.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(
                model, _session_options(onnxruntime, options.threads), providers=["CPUExecutionProvider"]
            )
        except Exception as fault:  # noqa: BLE001 - its errors have no common base below Exception
            raise EngineError(f"onnx: the model is refused: {first_line(fault)}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        kinds = [each.type for each in (*inputs, *outputs)]
        if len(inputs) != 1 or kinds != ["tensor(float)"] * 2:
            raise EngineError(f"onnx: expected one float32 input and one float32 output, got {', '.join(kinds)}")
        check_shape("onnx", tuple(inputs[0].shape), shape)
        self._is_batch_free = inputs[0].shape[0] != 1
        self.best_batch = 64 if self._is_batch_free else 1
        self._input = inputs[0].name
        got = self._run_any(np.zeros((1, *shape), np.float32)).shape  # the file need not say it
        check_shape("onnx", got, output_shape, "outputs")

        self._window = np.zeros((1, *shape), np.float32)
        self._estimate = np.zeros((1, *output_shape), np.float32)
        self._binding = self._session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy  # of the array's own memory
        self._binding.bind_ortvalue_input(self._input, value(self._window))
        self._binding.bind_ortvalue_output(outputs[0].name, value(self._estimate))

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._session is None:
            raise EngineError("onnx: the engine is closed")
        if windows.shape == self._window.shape:
            return self._run_one(windows)
        if not len(windows):  # the LSTM operator ends the whole process over none
            return np.empty((0, *self._estimate.shape[1:]), np.float32)
        if self._is_batch_free or windows.shape[1:] != self._window.shape[1:]:
            return self._run_any(windows)
        return np.concatenate([self._run_one(window) for window in windows])

    def close(self) -> None:
        self._session = self._binding = None

    def _run_one(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The estimate (1, K, F) of a window (1, T, F) or (T, F)."""
        self._window[...] = window
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as fault:  # noqa: BLE001 - as above
            raise EngineError(f"onnx: {first_line(fault)}") from None
        return self._estimate.copy()

    def _run_any(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        try:
            (estimates,) = self._session.run(None, {self._input: windows})
        except Exception as fault:  # noqa: BLE001 - as above
            raise EngineError(f"onnx: {first_line(fault)}") from None
        checked: npt.NDArray[np.float32] = estimates
        return checked


def _session_options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread sleeps
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch
    options.log_severity_level = 4
    # The graph is written as it is to run: there is next to nothing to find, and opening is faster without looking for it.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def open_model(
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int],
    options: Options = Options(),  # noqa: B008 - a tuple
) -> OnnxEngine:
    """Open an ONNX model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`."""
    return OnnxEngine(model, shape, output_shape, options)
