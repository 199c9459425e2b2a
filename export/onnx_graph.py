"""A program of layers as an ONNX graph with nothing left to optimize: one fused operator an LSTM layer, any batch.

ONNX Runtime takes longer to run what a converter writes, and longer to load it, because it optimizes it on the device each
time. Here a value is transposed only where the next layer needs it so, and what repeats at every step is calculated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_runtime.engines.numpy import (
    ConvLayer,
    CropLayer,
    DenseLayer,
    Layer,
    LSTMLayer,
    Program,
    RepeatLayer,
    ReshapeLayer,
    SumLayer,
)
from edge_runtime.errors import ExportError
from export.numpy_weights import Weights

OPSET = 17
"""What ONNX Runtime 1.12 and later run; the LSTM operator has not changed since 14."""
IR_VERSION = 8
"""The file format of that time."""
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}


class Value(NamedTuple):
    """A tensor of the graph."""

    name: str
    axes: str
    """What its axes are, a letter each: B the batch, S the steps, F the features; a flat window is BF."""
    steps: int = 1
    """How many steps it has."""


class GraphWriter:
    """Writes one program, in float32."""

    batch: int | str = "batch"
    """The batch of the window; a name: any."""
    domains: Mapping[str, int] = MappingProxyType({"": OPSET})
    """The operator sets used, with their versions."""

    def __init__(self, program: Program, weights: Weights) -> None:
        self.weights = weights
        self.lstm_layers = sum(name.endswith(".recurrent") for name in weights)
        self._program = program
        self._constants: dict[str, TensorProto] = {}
        self._nodes: list[NodeProto] = []
        self._names = 0
        self._is_single = ""

    def write(self) -> ModelProto:
        """The whole model: `window` (B, T, F) -> `estimate` (B, K, F)."""
        T, F = self._program.input
        estimate = self.arrange(self.chain(Value("window", "BSF", T), self._program.layers), "BSF")
        if not self._nodes or self._nodes[-1].output[0] != estimate.name:
            self.node("Identity", estimate.name)
        self._nodes[-1].output[0] = "estimate"
        graph = helper.make_graph(
            self._nodes,
            "model",
            [helper.make_tensor_value_info("window", TensorProto.FLOAT, [self.batch, T, F])],
            [helper.make_tensor_value_info("estimate", TensorProto.FLOAT, [self.batch, None, F])],
            list(self._constants.values()),
        )
        domains = [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION, producer_name="anomalite")

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """The last output of an operator (those before it are left out): a new one, or one that is there already."""
        names = [""] * (outputs - 1) + [f"v{self._names}"]
        node = helper.make_node(operator, inputs, names, **attributes)
        for other in self._nodes:
            if (other.op_type, other.input, other.attribute) == (node.op_type, node.input, node.attribute):
                return str(other.output[-1])
        self._names += 1
        self._nodes.append(node)
        return names[-1]

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """A tensor of the file; one of the same name is stored once."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def numbers(self, *numbers: int) -> str:
        """A vector of whole numbers, such as a shape."""
        return self.constant("n_" + "_".join(map(str, numbers)), np.array(numbers, np.int64))

    def arrange(self, value: Value, axes: str) -> Value:
        """`value` with its axes in that order."""
        if value.axes == axes:
            return value
        order = [value.axes.index(axis) for axis in axes]
        return value._replace(name=self.node("Transpose", value.name, perm=order), axes=axes)

    def chain(self, value: Value, layers: Sequence[Layer]) -> Value:
        """`value` after `layers`; an LSTM that is given the same at every step is written together with the repetition."""
        for layer, following in zip(layers, (*layers[1:], None), strict=False):
            if isinstance(layer, RepeatLayer) and isinstance(following, LSTMLayer):
                value = value._replace(steps=layer.steps)
            else:
                value = self.layer(value, layer)
        return value

    def layer(self, value: Value, layer: Layer) -> Value:
        """`value` after one layer."""
        if isinstance(layer, LSTMLayer):
            return self.lstm(value, layer)
        if isinstance(layer, DenseLayer):
            return self.dense(value, layer)
        if isinstance(layer, ConvLayer):
            return self.conv(value, layer)
        if isinstance(layer, SumLayer):
            answers = [self.arrange(self.chain(value, branch), "BSF") for branch in layer.branches]
            total = answers[0]
            for answer in answers[1:]:
                total = total._replace(name=self.node("Add", total.name, answer.name))
            return total
        if isinstance(layer, CropLayer):
            axis, kept = value.axes.index("S"), value.steps - layer.end
            name = self.node("Slice", value.name, self.numbers(0), self.numbers(kept), self.numbers(axis))
            return value._replace(name=name, steps=kept)
        if isinstance(layer, RepeatLayer):
            return Value(self.repeat(value.name, layer.steps), "SBF", layer.steps)
        return self.reshape(value, layer)

    def reshape(self, value: Value, layer: ReshapeLayer) -> Value:
        """The numbers of a window in another shape."""
        if "S" in value.axes:
            value = self.arrange(value, "BSF")
        if len(layer.shape) > 2:
            raise ExportError(f"onnx: expected a reshape to (F) or (T, F), got {layer.shape}")
        name = self.node("Reshape", value.name, self.numbers(0, *layer.shape))
        return Value(name, "BF") if len(layer.shape) == 1 else Value(name, "BSF", layer.shape[0])

    def dense(self, value: Value, layer: DenseLayer) -> Value:
        """A product over the features: for a flat window together with the bias, for every step in whatever order they are."""
        kernel = self.constant(f"{layer.name}.kernel", self.weights[f"{layer.name}.kernel"])
        bias = self.constant(f"{layer.name}.bias", self.weights[f"{layer.name}.bias"])
        if value.axes == "BF":
            return self.activate(value._replace(name=self.node("Gemm", value.name, kernel, bias)), layer.activation)
        if value.axes[-1] != "F":
            value = self.arrange(value, "BSF")
        name = self.node("Add", self.node("MatMul", value.name, kernel), bias)
        return self.activate(value._replace(name=name), layer.activation)

    def conv(self, value: Value, layer: ConvLayer) -> Value:
        """A convolution with the zeros of Keras's padding "same": the odd one at the end."""
        kernel = self.weights[f"{layer.name}.kernel"]
        size, steps = len(kernel), -(-value.steps // layer.stride)
        zeros = max((steps - 1) * layer.stride + size - value.steps, 0)
        name = self.node(
            "Conv",
            self.arrange(value, "BFS").name,
            self.constant(f"{layer.name}.kernel", kernel.transpose(2, 1, 0)),
            self.constant(f"{layer.name}.bias", self.weights[f"{layer.name}.bias"]),
            kernel_shape=[size],
            strides=[layer.stride],
            pads=[zeros // 2, zeros - zeros // 2],
        )
        return self.activate(Value(name, "BFS", steps), layer.activation)

    def activate(self, value: Value, activation: str) -> Value:
        """`value` after an activation function."""
        operator = ACTIVATIONS.get(activation)
        return value if operator is None else value._replace(name=self.node(operator, value.name))

    def lstm(self, value: Value, layer: LSTMLayer) -> Value:
        """An LSTM over the steps, or over one (B, F) that is given to it at every step."""
        if value.axes == "BF":
            output = self.repeated_lstm(value, layer)
        else:
            output = self.lstm_over(self.arrange(value, "SBF").name, layer)
        axis = 1 if layer.sequences else 0  # that of the directions, of which there is one
        name = self.node("Squeeze", output, self.numbers(axis))
        return Value(name, "SBF", value.steps) if layer.sequences else Value(name, "BF")

    def repeated_lstm(self, value: Value, layer: LSTMLayer) -> str:
        """An LSTM whose input is the same at every step, and so is what it adds to the gates.

        For one window that is calculated once and given as the bias, which spares a third of an autoencoder's multiplications.
        The operator has one bias for all windows of a batch: several are given the repeated input.
        """
        if not self._is_single:
            self._is_single = self.node("Equal", self.node("Shape", "window", end=1), self.numbers(1))
        return self.node(
            "If",
            self._is_single,
            then_branch=self._branch("single", lambda: self.lstm_with_bias(value, layer)),
            else_branch=self._branch(
                "batch", lambda: self.lstm_over(self.repeat(value.name, value.steps), layer, is_kernel_shared=True)
            ),
        )

    def lstm_over(self, steps: str, layer: LSTMLayer, *, is_kernel_shared: bool = False) -> str:
        """An LSTM over `steps` (S, B, F); with `is_kernel_shared` the file has its kernel for `lstm_with_bias` already."""
        if is_kernel_shared:
            kernel: tuple[str, ...] = (self.node("Unsqueeze", f"{layer.name}.kernel", self.numbers(0)),)
        else:
            kernel = self.lstm_kernel(f"{layer.name}.kernel", self.gates(layer, "kernel"))
        bias = self.gates(layer, "bias")
        both = np.concatenate([bias, np.zeros_like(bias)])[None]  # Keras has one bias, ONNX two, which are added up
        return self.lstm_operator(steps, kernel, layer, self.constant(f"{layer.name}.biases", both))

    def lstm_with_bias(self, value: Value, layer: LSTMLayer) -> str:
        """An LSTM for one window that is given `value` (1, F) at every step: as its bias, and one zero as its input."""
        width = self.weights[f"{layer.name}.bias"].size
        none = self.constant(f"{layer.name}.none", np.zeros((1, width), np.float32))
        bias = self.node("Concat", self.project(value.name, layer), none, axis=1)
        steps = self.constant(f"steps_{value.steps}", np.zeros((value.steps, 1, 1), np.float32))
        kernel = self.lstm_kernel(f"{layer.name}.zeros", np.zeros((1, width), np.float32))
        return self.lstm_operator(steps, kernel, layer, bias)

    def project(self, name: str, layer: LSTMLayer) -> str:
        """What the tensor `name` (1, F) as an input adds to an LSTM's gates, and its bias, (1, 4H)."""
        kernel = self.constant(f"{layer.name}.kernel", self.gates(layer, "kernel").T)
        return self.node("Gemm", name, kernel, self.constant(f"{layer.name}.bias", self.gates(layer, "bias")), transB=1)

    def lstm_kernel(self, name: str, matrix: npt.NDArray[np.float32]) -> tuple[str, ...]:
        """A weight (F, 4H) of an LSTM as the operator takes it."""
        return (self.constant(name, matrix.T[None]),)

    def lstm_operator(self, steps: str, kernel: tuple[str, ...], layer: LSTMLayer, bias: str) -> str:
        """The LSTM over `steps` (S, B, F): every step's output (S, 1, B, H) or the last one's (1, B, H)."""
        recurrent = self.gates(layer, "recurrent")
        weights = (*kernel, *self.lstm_kernel(f"{layer.name}.recurrent", recurrent))
        return self.node("LSTM", steps, *weights, bias, outputs=1 if layer.sequences else 2, hidden_size=len(recurrent))

    def repeat(self, name: str, steps: int) -> str:
        """The tensor `name` (B, F) for each of `steps`, (S, B, F)."""
        return self.node("Expand", name, self.numbers(steps, 1, 1))

    def gates(self, layer: LSTMLayer, part: str) -> npt.NDArray[np.float32]:
        """A weight (..., 4H) of an LSTM with the gates in ONNX's order, i, o, f, c; Keras has i, f, c, o."""
        i, f, c, o = np.split(self.weights[f"{layer.name}.{part}"], 4, axis=-1)
        return np.concatenate([i, o, f, c], axis=-1)

    def _branch(self, name: str, write: Callable[[], str]) -> GraphProto:
        """What `write` appends as a graph of its own, whose output is the tensor it returns."""
        outside, self._nodes = self._nodes, []
        output = helper.make_tensor_value_info(write(), TensorProto.FLOAT, None)
        inside, self._nodes = self._nodes, outside
        return helper.make_graph(inside, name, [], [output])
