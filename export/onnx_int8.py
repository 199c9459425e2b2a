"""A program of layers as an ONNX graph with weights in int8, as ONNX Runtime's own operators (domain com.microsoft) take them."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from edge_runtime.engines.numpy import DenseLayer, LSTMLayer
from export.onnx_graph import OPSET, GraphWriter, Value

SMALLEST = 1024
"""Dense kernels of fewer numbers stay in float32: there is little to gain, and they are often the last layer."""
ZERO = 128
"""Where the stored numbers have their zero: unsigned ones cannot overflow in the 16-bit sums of older x86 kernels."""


class Int8Writer(GraphWriter):
    """Writes LSTM and large dense layers with a scale for each column of the weights; inputs are quantized as they come."""

    batch = 1
    domains = MappingProxyType({"": OPSET, "com.microsoft": 1})

    def dense(self, value: Value, layer: DenseLayer) -> Value:
        """A product with the kernel in int8 and the bias in float32."""
        kernel = self.weights[f"{layer.name}.kernel"]
        if value.axes[-1] != "F":
            value = self.arrange(value, "BSF")
        if kernel.size < SMALLEST:
            return super().dense(value, layer)
        bias = self.constant(f"{layer.name}.bias", self.weights[f"{layer.name}.bias"])
        name = self._product(value.name, f"{layer.name}.kernel", kernel, bias)
        return self.activate(value._replace(name=name), layer.activation)

    def repeated_lstm(self, value: Value, layer: LSTMLayer) -> str:
        """There is only one window: what its input adds to the gates becomes the bias."""
        return self.lstm_with_bias(value, layer)

    def project(self, name: str, layer: LSTMLayer) -> str:
        """The product with the kernel in int8, the bias in float32."""
        bias = self.constant(f"{layer.name}.bias", self.gates(layer, "bias"))
        return self._product(name, f"{layer.name}.kernel", self.gates(layer, "kernel"), bias)

    def lstm_kernel(self, name: str, matrix: npt.NDArray[np.float32]) -> tuple[str, ...]:
        """A weight (F, 4H), its scales and its zeros, each with an axis for the direction before it."""
        return self._quantized(name, matrix[None])

    def lstm_operator(self, steps: str, kernel: tuple[str, ...], layer: LSTMLayer, bias: str) -> str:
        """The operator in place of LSTM; sequence lengths, initial states and peepholes are left out."""
        gates = self.gates(layer, "recurrent")
        recurrent = self.lstm_kernel(f"{layer.name}.recurrent", gates)
        inputs = (steps, kernel[0], recurrent[0], bias, "", "", "", "", *kernel[1:], *recurrent[1:])
        outputs = 1 if layer.sequences else 2
        domain = "com.microsoft"
        return self.node("DynamicQuantizeLSTM", *inputs, outputs=outputs, domain=domain, hidden_size=len(gates))

    def _product(self, name: str, label: str, matrix: npt.NDArray[np.float32], bias: str) -> str:
        return self.node("DynamicQuantizeMatMul", name, *self._quantized(label, matrix), bias, domain="com.microsoft")

    def _quantized(self, name: str, matrix: npt.NDArray[np.float32]) -> tuple[str, str, str]:
        """A weight (..., F, N), with a scale for each column (..., N), so that its largest number becomes 127."""
        scale = np.abs(matrix).max(axis=-2) / 127
        scale = np.where(scale == 0, 1, scale).astype(np.float32)
        stored = (np.rint(matrix / scale[..., None, :]) + ZERO).astype(np.uint8)
        zeros = self.constant(f"zeros_{'_'.join(map(str, scale.shape))}", np.full(scale.shape, ZERO, np.uint8))
        return self.constant(name, stored), self.constant(f"{name}.scale", scale), zeros
