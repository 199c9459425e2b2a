"""Flat program -> TFLite file, written operator by operator through the published schema, without a converter.

TensorFlow's converter makes what it likes of a graph; here the file holds exactly the program's operations, in the oldest versions
that calculate them, so that old runtimes load it too, and XNNPACK takes them all in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from training.flat import (
    Add,
    Concatenate,
    Convert,
    Convolve,
    FullyConnected,
    Limit,
    Multiply,
    Operation,
    Program,
    Reshape,
    Sigmoid,
    Slice,
    Split,
    Subtract,
    Tanh,
)

HALF = ("reduced_precision_support", b"fp16accfp16")
"""The metadata by which a file allows half precision: XNNPACK then calculates in float16 where the CPU has it."""


@dataclass(frozen=True)
class Quantization:
    """How a tensor's numbers are stored: real = scale * (stored - zero_point)."""

    dtype: Literal["int8", "int16", "int32"]
    scales: tuple[float, ...]
    """One, or one for each place along `axis`."""
    zero_point: int = 0
    axis: int = 0

    def quantize(self, values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Real numbers as they are stored: rounded to the nearest, clipped to the type's range."""
        scales = np.array(self.scales)
        if len(scales) > 1:
            scales = scales.reshape([-1 if i == self.axis else 1 for i in range(values.ndim)])
        limits = np.iinfo(self.dtype)
        stored = np.rint(values / scales) + self.zero_point
        clipped: npt.NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(self.dtype)
        return clipped


def write(
    program: Program,
    batches: Sequence[int] = (1,),
    quantizations: Mapping[str, Quantization] | None = None,
    *,
    half: bool = False,
) -> bytes:
    """The program as a TFLite file.

    `batches`: of each signature, which is called "batch_N"; the first is the one an interpreter runs by itself. They share their
    constants. `quantizations`: of tensors and constants by name; the others are float32. A `FullyConnected` or `Convolve` whose
    weights alone are quantized calculates its sums in int8 by itself (dynamic range). `half`: allow half precision.
    """
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    file = _File(schema, program, quantizations or {})
    for batch in batches:
        file.add_subgraph(batch)
    if half:
        file.add_metadata(*HALF)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(file.model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _File:
    """The schema's objects in the making."""

    def __init__(self, schema: Any, program: Program, quantizations: Mapping[str, Quantization]) -> None:
        self._schema = schema
        self._program = program
        self._quantizations = quantizations
        self._codes: dict[tuple[int, int], int] = {}
        self._buffers: dict[bytes, int] = {}
        self._aligned = _aligned_buffer(schema)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "anomalite"
        self.model.buffers = [schema.BufferT()]  # by convention the first is empty: of tensors that are calculated
        self.model.operatorCodes, self.model.subgraphs, self.model.signatureDefs = [], [], []

    def add_subgraph(self, batch: int) -> None:
        """The program for windows (batch, T, F) and its signature."""
        schema, program = self._schema, self._program
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = f"batch_{batch}", [], []
        index: dict[str, int] = {}
        for name, shape in program.shapes.items():
            index[name] = self._tensor(graph, name, (batch, *shape), self._dtype(name), 0)
        for name, values in program.constants.items():
            stored = self._quantizations[name].quantize(values) if name in self._quantizations else values
            index[name] = self._constant(graph, name, stored)
        for operation in program.operations:
            graph.operators.append(self._operator(graph, operation, index, batch))
        graph.inputs, graph.outputs = [index[program.input]], [index[program.output]]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = graph.name, len(self.model.subgraphs)
        for maps, name in (("inputs", program.input), ("outputs", program.output)):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = maps.removesuffix("s"), index[name]
            setattr(signature, maps, [entry])
        self.model.subgraphs.append(graph)
        self.model.signatureDefs.append(signature)

    def add_metadata(self, name: str, content: bytes) -> None:
        """Bytes under a name."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._buffer(content)
        self.model.metadata = [*(self.model.metadata or []), entry]

    def _dtype(self, name: str) -> str:
        return self._quantizations[name].dtype if name in self._quantizations else "float32"

    def _buffer(self, content: bytes) -> int:
        if content not in self._buffers:
            buffer = self._aligned()
            buffer.data = np.frombuffer(content, np.uint8)
            self._buffers[content] = len(self.model.buffers)
            self.model.buffers.append(buffer)
        return self._buffers[content]

    def _constant(self, graph: Any, name: str, values: npt.NDArray[Any]) -> int:
        values = np.atleast_1d(values)
        return self._tensor(graph, name, values.shape, values.dtype.name, self._buffer(values.tobytes()))

    def _tensor(self, graph: Any, name: str, shape: tuple[int, ...], dtype: str, buffer: int) -> int:
        tensor = self._schema.TensorT()
        tensor.shape, tensor.buffer, tensor.hasRank = list(shape), buffer, True
        if name in (
            self._program.input,
            self._program.output,
        ):  # the names of thousands of others are a fifth of the file
            tensor.name = name
        tensor.type = getattr(self._schema.TensorType, dtype.upper())
        if name in self._quantizations:
            quantization = self._quantizations[name]
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = list(quantization.scales)
            tensor.quantization.zeroPoint = [quantization.zero_point] * len(quantization.scales)
            tensor.quantization.quantizedDimension = quantization.axis
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def _operator(self, graph: Any, operation: Operation, index: Mapping[str, int], batch: int) -> Any:
        schema = self._schema
        kind, version, options = self._described(operation)
        inputs = [index[name] for name in operation.inputs]
        rank = 1 + len(self._program.shapes[operation.outputs[0]])
        numbers: list[npt.ArrayLike] = []
        if isinstance(operation, Slice):
            numbers = [[0, operation.begin, *[0] * (rank - 2)], [batch, *self._program.shapes[operation.output]]]
        elif isinstance(operation, Reshape):
            numbers = [[batch, *operation.shape]]
        elif isinstance(operation, Split):
            numbers = [rank - 1]
        extra = [self._whole_numbers(graph, each) for each in numbers]
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, kind), version)
        operator.inputs = [*extra, *inputs] if isinstance(operation, Split) else [*inputs, *extra]
        operator.outputs = [index[name] for name in operation.outputs]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, name), options
        if isinstance(operation, Reshape):
            options.newShape = [batch, *operation.shape]
        return operator

    def _whole_numbers(self, graph: Any, values: npt.ArrayLike) -> int:
        stored = np.array(values, np.int32)
        name = f"numbers/{stored.tolist()}"
        return self._tensor(graph, name, stored.shape, "int32", self._buffer(stored.tobytes()))

    def _code(self, builtin: int, version: int) -> int:
        if (builtin, version) not in self._codes:
            code = self._schema.OperatorCodeT()
            code.builtinCode, code.version = builtin, version
            code.deprecatedBuiltinCode = min(builtin, 127)  # where readers of older schemas look
            self._codes[builtin, version] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[builtin, version]

    def _described(self, operation: Operation) -> tuple[str, int, Any]:
        """The operator's name, the oldest version that calculates this, and its options."""
        schema = self._schema
        is_int = self._dtype(operation.inputs[0]) != "float32"
        relu = schema.ActivationFunctionType.RELU if getattr(operation, "relu", False) else 0
        match operation:
            case FullyConnected(inputs=(x, weights, _)):
                options = schema.FullyConnectedOptionsT()
                options.fusedActivationFunction = relu
                options.keepNumDims = len(self._program.shapes[x]) > 1
                version = 5 if options.keepNumDims else 4 if is_int else 1
                if weights in self._quantizations and not is_int:
                    options.asymmetricQuantizeInputs, version = True, 9
                if weights in self._quantizations and len(self._quantizations[weights].scales) > 1:
                    version = 12
                return "FULLY_CONNECTED", version, options
            case Convolve(inputs=(_, weights, _)):
                options = schema.Conv2DOptionsT()
                options.fusedActivationFunction, options.padding = relu, schema.Padding.SAME
                options.strideW, options.strideH = operation.stride, 1
                options.dilationWFactor = options.dilationHFactor = 1
                return "CONV_2D", 3 if is_int else 5 if weights in self._quantizations else 1, options
            case Concatenate():
                options = schema.ConcatenationOptionsT()
                options.axis = len(self._program.shapes[operation.output])
                return "CONCATENATION", 2 if is_int else 1, options
            case Split():
                options = schema.SplitOptionsT()
                options.numSplits = len(operation.outputs)
                return "SPLIT", 2 if is_int else 1, options
            case Convert():
                if self._dtype(operation.output) == "float32":
                    return "DEQUANTIZE", 2, schema.DequantizeOptionsT()
                return "QUANTIZE", 2 if is_int else 1, schema.QuantizeOptionsT()
            case Reshape():
                return "RESHAPE", 1, schema.ReshapeOptionsT()
            case Slice():
                return "SLICE", 2 if is_int else 1, schema.SliceOptionsT()
            case Tanh():
                return "TANH", 2 if is_int else 1, None
            case Sigmoid():
                return "LOGISTIC", 2 if is_int else 1, None
            case Limit():
                return "RELU_N1_TO_1", 1, None
            case Add():
                return "ADD", 2 if is_int else 1, schema.AddOptionsT()
            case Subtract():
                return "SUB", 2 if is_int else 1, schema.SubOptionsT()
            case Multiply():
                return "MUL", 2 if is_int else 1, schema.MulOptionsT()
        raise TypeError(f"expected an operation of the flat program, got {type(operation).__name__}")


def _aligned_buffer(schema: Any) -> type[Any]:
    """A buffer at a multiple of 16 bytes, as the schema asks and its generated Python code forgets: a Pi reads such faster."""

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # the schema has no types
        def Pack(self, builder: Any) -> int:  # noqa: N802 - the schema's name
            builder.StartVector(1, len(self.data), 16)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
            data = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, data)
            return int(schema.BufferEnd(builder))

    return AlignedBuffer
