"""Inference engines: a fixed-shape array in, an array out, close(), and nothing more.

One module an engine, the heavy import inside `open_model`. Importing this package imports none of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EngineError, ExtraMissingError


class Engine(Protocol):
    """Runs one model. Stateless: the same window gives the same bits, whatever was run before.

    The output is the model's estimate of the window's last K readings, K <= T.
    """

    best_batch: int
    """The most windows worth handing over in one call."""

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Estimate `windows` (B, T, F) float32; returns (B, K, F) float32. Raises `EngineError`."""
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...


class Options(NamedTuple):
    """How an engine runs a model."""

    threads: int = 1
    """The most threads of one call; with 1 no other thread is started."""
    half: bool = False
    """Calculate in half precision where the file allows it and the CPU has it, else in float32."""


class EngineInfo(NamedTuple):
    """What can be said of an engine without importing it."""

    name: str
    module: str
    """The module here whose `open_model(model, shape, output_shape, options)` makes the `Engine`."""
    package: str | None
    """The package it needs beside numpy."""
    extra: str | None
    """The extra that installs the package."""
    newest_python: tuple[int, int] | None = None
    """The last CPython the package has a wheel for."""


ENGINES = {
    info.name: info
    for info in (
        # The fastest first, as measured on ARM and x86-64 (docs/decisions/0006-engines.md).
        EngineInfo("onnx", "edge_runtime.engines.onnx", "onnxruntime", "onnx"),
        EngineInfo("litert", "edge_runtime.engines.litert", "ai_edge_litert", "litert"),
        EngineInfo("tflite", "edge_runtime.engines.tflite_runtime", "tflite_runtime", "tflite", (3, 11)),
        EngineInfo("numpy", "edge_runtime.engines.numpy", None, None),
    )
}
"""Every engine by name, the fastest first."""


def is_installed(name: str) -> bool:
    """Whether the engine's package can be imported."""
    package = ENGINES[name].package
    return package is None or find_spec(package) is not None


def installed_engines() -> list[str]:
    """The names of the engines that can run here, the fastest first."""
    return [name for name in ENGINES if is_installed(name)]


def open_engine(
    name: str,
    model: bytes,
    shape: tuple[int, int],
    output_shape: tuple[int, int] | None = None,
    options: Options = Options(),  # noqa: B008 - a tuple, which nobody can change
) -> Engine:
    """Open a model with the named engine.

    `model` is the variant's file, `shape` the window's (T, F) by the manifest, `output_shape` the output's (K, F) (None: the
    window's own). Raises `EngineError` for an unknown engine, fewer than one thread,
    a model it refuses or of another shape, `ExtraMissingError` for one that is not installed.
    """
    if options.threads < 1:
        raise EngineError(f"expected at least one thread, got {options.threads}")
    if name not in ENGINES:
        raise EngineError(f"unknown engine {name!r}, known: {', '.join(ENGINES)}")
    info = ENGINES[name]
    is_here = is_installed(name)
    if not is_here and info.newest_python is not None and sys.version_info[:2] > info.newest_python:
        newest, here = (".".join(map(str, each)) for each in (info.newest_python, sys.version_info[:2]))
        raise EngineError(f"the engine {name!r} needs CPython {newest} or older, this is {here}: use another engine")
    if not is_here:
        raise ExtraMissingError(f"the engine {name!r}", str(info.extra), str(info.package))
    try:
        engine: Engine = import_module(info.module).open_model(model, shape, output_shape or shape, options)
    except ImportError as fault:  # there, but not for this machine: a shared library is missing, or too old
        raise EngineError(f"{name}: the package {info.package!r} cannot be imported: {fault}") from None
    return engine


def check_shape(engine: str, got: tuple[object, ...], shape: tuple[int, int], what: str = "windows") -> None:
    """Raise `EngineError` unless a model's input or output shape (B, T, F) is the manifest's; `what` says which it is."""
    if tuple(got[1:]) != shape or len(got) != 3:
        raise EngineError(
            f"{engine}: expected a model of {what} (batch, {shape[0]}, {shape[1]}) as in the manifest, got {tuple(got)}"
        )
