"""What LiteRT and tflite-runtime have in common: the TensorFlow Lite interpreter."""

from __future__ import annotations

import os
from _thread import allocate_lock  # `threading` costs a start most of a millisecond more
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.engines import Options, check_shape
from edge_runtime.engines.tflite_file import is_stateful, without_half
from edge_runtime.errors import EngineError

_ONE_AT_A_TIME = allocate_lock()
"""Standard error is the whole process's."""


class TFLiteEngine:
    """Runs a model of batch 1 through an `Interpreter`, and many windows by the file's signature of a larger batch if it has one.

    The fused LSTM kernel keeps its state between calls, so its variables are reset before every window, and XNNPACK is left out:
    it does nothing for that kernel and takes memory. Every other graph is run by XNNPACK (docs/decisions/0006-engines.md).

    A window gives the same bits in every call of one window. Where the file has a signature of a larger batch, its matrix products
    add up in another order: then a window of a batch may differ from the same window alone in the last bits, and only there.

    A model may take and give int8; scale and zero point are its tensors' own. `run` takes and gives float32 whatever it is.
    """

    best_batch = 64

    def __init__(
        self,
        module: Any,
        name: str,
        model: bytes,
        shape: tuple[int, int],
        output_shape: tuple[int, int],
        options: Options = Options(),  # noqa: B008 - a tuple
    ) -> None:
        self._name = name
        self._has_state = is_stateful(model)
        kinds = module.OpResolverType
        try:
            with _quiet():
                interpreter = module.Interpreter(
                    model_content=model if options.half else without_half(model),
                    num_threads=options.threads,
                    experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                    if self._has_state
                    else kinds.AUTO,
                )
                interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
            signatures = interpreter.get_signature_list()
        except (ValueError, RuntimeError) as fault:
            raise EngineError(f"{name}: the model is refused: {first_line(fault)}") from None
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"{name}: expected one input and one output, got {len(inputs)} and {len(outputs)}")
        for details, expected, what in ((inputs[0], shape, "windows"), (outputs[0], output_shape, "outputs")):
            check_shape(name, tuple(details["shape"].tolist()), expected, what)
            if details["dtype"] not in (np.float32, np.int8):
                raise EngineError(f"{name}: expected a model of float32 or int8, got {details['dtype'].__name__}")
        self._output_shape = output_shape
        self._interpreter = interpreter
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._quantization = inputs[0]["quantization"] if inputs[0]["dtype"] is np.int8 else None
        self._output_quantization = outputs[0]["quantization"] if outputs[0]["dtype"] is np.int8 else None
        self._batch = largest_batch(signatures)

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if len(windows) == 1:
            return self._run_one(windows)
        outputs = np.empty((len(windows), *self._output_shape), np.float32)
        row = 0
        while self._batch > 1 and row + self._batch <= len(windows):
            outputs[row : row + self._batch] = self._run_batch(windows[row : row + self._batch])
            row += self._batch
        for one in range(row, len(windows)):
            outputs[one] = self._run_one(windows[one : one + 1])[0]
        return outputs

    def _run_one(self, window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        interpreter = self._interpreter
        if interpreter is None:
            raise EngineError(f"{self._name}: the engine is closed")
        try:
            if self._has_state:
                interpreter.reset_all_variables()
            interpreter.set_tensor(
                self._input, window if self._quantization is None else quantize(window, self._quantization)
            )
            interpreter.invoke()
            output: npt.NDArray[np.float32] = interpreter.get_tensor(self._output)
        except (ValueError, RuntimeError) as fault:
            raise EngineError(f"{self._name}: {first_line(fault)}") from None
        return output if self._output_quantization is None else dequantize(output, self._output_quantization)

    def _run_batch(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self._interpreter is None:
            raise EngineError(f"{self._name}: the engine is closed")
        try:
            given = windows if self._quantization is None else quantize(windows, self._quantization)
            if self._has_state:
                self._interpreter.reset_all_variables()
            # Made for each call: as long as there is a runner, the interpreter refuses to run a single window.
            runner = self._interpreter.get_signature_runner(f"batch_{self._batch}")
            (output,) = runner(input=np.ascontiguousarray(given)).values()
        except (ValueError, RuntimeError) as fault:
            raise EngineError(f"{self._name}: {first_line(fault)}") from None
        got: npt.NDArray[np.float32] = output
        return got if self._output_quantization is None else dequantize(got, self._output_quantization)

    def close(self) -> None:
        self._interpreter = None


def quantize(values: npt.NDArray[np.float32], quantization: tuple[float, int]) -> npt.NDArray[np.int8]:
    """Real numbers as a tensor of this (scale, zero point) stores them: to the nearest, clipped to what int8 holds."""
    scale, zero_point = quantization
    stored: npt.NDArray[np.int8] = np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
    return stored


def dequantize(stored: npt.NDArray[Any], quantization: tuple[float, int]) -> npt.NDArray[np.float32]:
    """The real numbers that a tensor of this (scale, zero point) stores."""
    scale, zero_point = quantization
    return (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def largest_batch(signatures: dict[str, Any]) -> int:
    """The largest N of the signatures "batch_N"; 1 without any."""
    sizes = [name.removeprefix("batch_") for name in signatures if name.startswith("batch_")]
    return max((int(size) for size in sizes if size.isdecimal()), default=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error: the library writes there, past Python, that it made a delegate, and has no switch for it.

    What another thread writes there in these milliseconds is lost too. Faults are raised, not only written, so none is lost.
    """
    with _ONE_AT_A_TIME:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def first_line(fault: Exception) -> str:
    """The first line of a third party's message."""
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
