"""What the variants are made from: the trained model, in the forms that the converters take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ExportError
from training.families import Model
from training.flat import Program
from training.flatten import flatten
from training.models import copy_model
from training.quantization import Quantization
from training.quantize import plain


@dataclass
class Source:
    """A trained model; what it takes to convert it is made once, when it is first asked for."""

    spec: Model
    model: Any
    """In Keras 3."""
    shape: tuple[int, int]
    """Of its windows, (T, F)."""
    representative: npt.NDArray[np.float32]
    """Windows (B, T, F) that cover what the device will see, for the ranges of quantized values."""
    import_twin: Callable[[], Any]
    """Gives the namespace `tf_keras`, which takes seconds."""
    fine_tuned: Quantization | None = None
    """The weights and ranges that training fine-tuned for int8."""

    def __post_init__(self) -> None:
        if self.representative.ndim != 3 or self.representative.shape[1:] != self.shape or not len(self.representative):
            raise ExportError(
                f"expected representative windows (B, {self.shape[0]}, {self.shape[1]}) of one or more, "
                f"got {self.representative.shape}"
            )
        if not np.isfinite(self.representative).all():
            raise ExportError("expected finite representative windows, got others")

    @cached_property
    def twin(self) -> Any:
        """The same layers and weights in `tf_keras`, from which TensorFlow makes the fused LSTM kernel."""
        return copy_model(self.spec, self.model, self.import_twin())

    @cached_property
    def quantization(self) -> Quantization:
        """The weights and ranges for int8: fine-tuned, or else the trained weights with calibrated ranges. Raises `ExportError`."""
        try:
            return self.fine_tuned or plain(self.model, self.representative)
        except ValueError as fault:
            raise ExportError(f"tflite: {fault}") from None

    @cached_property
    def has_lstm(self) -> bool:
        """Whether the model has LSTM layers."""
        return any(type(layer).__name__ == "LSTM" for layer in self.model.layers)

    @cached_property
    def program(self) -> Program:
        """The same computation as a flat list of operations, its LSTM layers unrolled."""
        try:
            return flatten(self.model, self.shape)
        except ValueError as fault:
            raise ExportError(f"tflite: {fault}") from None
