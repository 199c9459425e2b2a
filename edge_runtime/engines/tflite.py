"""What LiteRT and tflite-runtime have in common: the TensorFlow Lite interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import check_shape
from edge_runtime.errors import EngineError


class TFLiteEngine:
    """Runs a model of batch 1 through an `Interpreter`.

    The fused LSTM kernel keeps its state between calls, so its variables are reset before every window. The XNNPACK delegate is
    left out: it does nothing for that kernel, takes memory, and prints a line on standard error
    (docs/decisions/0006-engines.md).
    """

    best_batch = 64  # a loop over single windows, but one call

    def __init__(
        self, module: Any, name: str, model: bytes, shape: tuple[int, int], output_shape: tuple[int, int]
    ) -> None:
        self._name = name
        try:
            interpreter = module.Interpreter(
                model_content=model,
                num_threads=1,
                experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except (ValueError, RuntimeError) as fault:
            raise EngineError(f"{name}: the model is refused: {first_line(fault)}") from None
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{name}: expected one input and one output, got {len(inputs)} and {len(outputs)}")
        for details, expected, what in ((inputs[0], shape, "windows"), (outputs[0], output_shape, "outputs")):
            check_shape(name, tuple(details["shape"].tolist()), expected, what)
            if details["dtype"] is not np.float32:
                raise EngineError(f"{name}: expected a model of float32 windows, got {details['dtype'].__name__}")
        self._output_shape = output_shape
        self._interpreter = interpreter
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if len(windows) == 1:
            return self._run_one(windows)
        reconstructions = np.empty((len(windows), *self._output_shape), np.float32)
        for row in range(len(windows)):
            reconstructions[row] = self._run_one(windows[row : row + 1])[0]
        return reconstructions

    def _run_one(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        interpreter = self._interpreter
        if interpreter is None:
            raise EngineError(f"{self._name}: the engine is closed")
        try:
            interpreter.reset_all_variables()
            interpreter.set_tensor(self._input, window)
            interpreter.invoke()
            reconstruction: npt.NDArray[np.float32] = interpreter.get_tensor(self._output)
        except (ValueError, RuntimeError) as fault:
            raise EngineError(f"{self._name}: {first_line(fault)}") from None
        return reconstruction

    def close(self) -> None:
        self._interpreter = None


def first_line(fault: Exception) -> str:
    """The first line of a third party's message."""
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
