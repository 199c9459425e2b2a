"""The packages of the `train` extra: what is missing is said at once, and TensorFlow starts without its chatter.

Nothing here runs on import; the functions are called by the commands and by `train`.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from edge_runtime.errors import ExtraMissingError, TrainingError

PACKAGES = ("tensorflow", "keras", "tf_keras", "onnx", "matplotlib", "jinja2", "pandas", "pyarrow", "rich")
"""What the extra brings, by import name."""


def require_extra(command: str, *packages: str) -> None:
    """Raise `ExtraMissingError` if one of `packages` (default: the whole extra) is not installed. Imports none of them."""
    for package in packages or PACKAGES:
        if find_spec(package) is None:
            raise ExtraMissingError(command, "train", package)


def import_extra(package: str, command: str) -> ModuleType:
    """Import a package of the extra. Raises `ExtraMissingError` if it, or something it needs, is not installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as fault:
        raise ExtraMissingError(command, "train", fault.name or package) from None


def import_keras(command: str = "anomalite train") -> Any:
    """Keras 3 over TensorFlow.

    Raises `ExtraMissingError`, and `TrainingError` if the process has Keras running over something else already.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says: export converts from TensorFlow
    import_extra("tensorflow", command)
    keras = import_extra("keras", command)
    if keras.backend.backend() != "tensorflow":
        raise TrainingError(f"expected Keras over TensorFlow, got {keras.backend.backend()}: unset KERAS_BACKEND")
    return keras


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Hide what TensorFlow logs, here while it is imported and later unless it is fatal (an error reaches Python as an exception anyway).

    Some lines are written by C++ before any log level applies ("Could not find cuda drivers"), so the process's standard
    error goes to a temporary file for the time of the `with` block; it is shown after all if the block fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        kept = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except ImportError:  # what the loader of shared libraries wrote is the explanation
            os.dup2(kept, 2)
            hidden.seek(0)
            os.write(2, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            logging.getLogger("tensorflow").setLevel(logging.ERROR)  # "retracing": each candidate of `auto` is traced
