"""Keras model -> ONNX: float32 for any batch, or weights in int8 for one window a call.

The graph is written directly (`onnx_graph.py`): what tf2onnx makes of the same model executes a quarter more instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ExportError
from export.numpy_weights import describe

if TYPE_CHECKING:
    from export.onnx_graph import GraphWriter

ALLOWED = frozenset(
    (
        "Add", "Concat", "Conv", "Equal", "Expand", "Gemm", "Identity", "If", "LSTM", "MatMul", "Relu", "Reshape", "Shape",
        "Slice", "Squeeze", "Tanh", "Transpose", "Unsqueeze",
        "com.microsoft.DynamicQuantizeLSTM", "com.microsoft.DynamicQuantizeMatMul",
    )
)  # fmt: skip
"""The operators a graph may hold: no Loop or Scan, which run an LSTM step by step. Those of com.microsoft are in ONNX Runtime only."""
FUSED = frozenset(("LSTM", "com.microsoft.DynamicQuantizeLSTM"))
"""An LSTM layer as one operator."""


def convert(model: Any, shape: tuple[int, int]) -> bytes:
    """Convert a Keras model of windows `shape` (T, F) to float32. Raises `ExportError` naming what cannot be converted."""
    from export.onnx_graph import GraphWriter

    return _checked(GraphWriter(*describe(model, shape)))


def convert_int8(model: Any, shape: tuple[int, int]) -> bytes:
    """The same with the weights of LSTM and large dense layers in int8, for one window a call.

    The kernels quantize their inputs by the range of what they are given: with several windows in a call each would change
    the others' answers.
    """
    from export.onnx_int8 import Int8Writer

    return _checked(Int8Writer(*describe(model, shape)))


def operators(model: bytes) -> list[str]:
    """The operators of an ONNX file in the order they run for one window; one of another domain with its domain."""
    return _operators(model, "then_branch")


def check_graph(model: bytes, lstm_layers: int) -> None:
    """Raise `ExportError` naming an operator that is not allowed, or if an LSTM layer is not one fused operator.

    Both ways through the graph are checked, that of one window and that of several.
    """
    for branch in ("then_branch", "else_branch"):
        found = _operators(model, branch)
        for operator in found:
            if operator not in ALLOWED:
                raise ExportError(f"onnx: unexpected operator {operator}, allowed: {', '.join(sorted(ALLOWED))}")
        fused = sum(operator in FUSED for operator in found)
        if fused != lstm_layers:
            raise ExportError(f"onnx: expected {lstm_layers} LSTM, got {fused}")


def _checked(writer: GraphWriter) -> bytes:
    model: bytes = writer.write().SerializeToString()
    check_graph(model, writer.lstm_layers)
    return model


def _operators(model: bytes, branch: str) -> list[str]:
    import onnx

    def walk(graph: Any) -> Iterator[str]:
        for node in graph.node:
            yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            for attribute in node.attribute:
                if attribute.name == branch:
                    yield from walk(attribute.g)

    return list(walk(onnx.load_from_string(model).graph))
