"""The ONNX Runtime engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import Options, check_shape
from edge_runtime.engines.tflite import first_line
from edge_runtime.errors import EngineError


class OnnxEngine:
    """Runs a model of any batch, on one thread."""

    best_batch = 64

    def __init__(self, model: bytes, shape: tuple[int, int], output_shape: tuple[int, int]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # noqa: BLE001 - its errors have no common base below Exception
            raise EngineError(f"onnx: the model is refused: {first_line(fault)}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        kinds = [each.type for each in (*inputs, *outputs)]
        if len(inputs) != 1 or kinds != ["tensor(float)"] * 2:
            raise EngineError(f"onnx: expected one float32 input and one float32 output, got {', '.join(kinds)}")
        check_shape("onnx", tuple(inputs[0].shape), shape)
        self._input = inputs[0].name
        got = self.run(np.zeros((1, *shape), np.float32)).shape  # the file need not say it
        check_shape("onnx", got, output_shape, "outputs")

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._session is None:
            raise EngineError("onnx: the engine is closed")
        try:
            (reconstructions,) = self._session.run(None, {self._input: windows})
        except Exception as fault:  # noqa: BLE001 - as above
            raise EngineError(f"onnx: {first_line(fault)}") from None
        checked: npt.NDArray[np.float32] = reconstructions
        return checked

    def close(self) -> None:
        self._session = None


def open_model(
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int],
    options: Options = Options(),  # noqa: B008 - a tuple
) -> OnnxEngine:
    """Open an ONNX model of windows `shape` (T, F) and outputs (K, F). Raises `EngineError`."""
    return OnnxEngine(model, shape, output_shape)
