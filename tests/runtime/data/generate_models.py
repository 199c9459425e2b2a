"""Makes `models/`: one untrained LSTM autoencoder a shape and one model of other families, as TFLite, ONNX and numpy weights.

The tests of engines and of table, stream and many machines run over them. Needs the workstation's environment; run by hand
from the repository's root: `python -m tests.runtime.data.generate_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from export import numpy_weights, onnx, tflite, tflite_writer
from training.config import ConvAutoencoder, LinearAutoencoder, LSTMAutoencoder, LSTMForecaster, Model
from training.flatten import flatten
from training.models import build

SHAPES = ((4, 1), (5, 2), (8, 3), (16, 8), (6, 19))
"""Of a window, (T, C)."""
FAMILIES: dict[str, tuple[Model, tuple[int, int]]] = {
    "lstm_forecaster": (LSTMForecaster("lstm_forecaster", units=4, horizon=2, skip=True), (7, 3)),
    "conv_autoencoder": (ConvAutoencoder("conv_autoencoder", filters=(4, 3), kernel=3, latent=3), (9, 2)),
    "linear_autoencoder": (LinearAutoencoder("linear_autoencoder"), (5, 4)),
}
"""A model and the shape of its window, (T, C)."""
FOLDER = Path(__file__).parent / "models"


def main() -> None:
    """Write every shape's and every family's models, one large enough that its weights become int8, and other graphs."""
    FOLDER.mkdir(exist_ok=True)
    for length, channels in SHAPES:
        model = _untrained(LSTMAutoencoder("lstm_autoencoder", units=4), (length, channels))
        _write(model, (length, channels), f"t{length}-c{channels}")
    for family, (spec, shape) in FAMILIES.items():
        _write(_untrained(spec, shape), shape, family)
    shape = (33, 3)
    model = _untrained(ConvAutoencoder("conv_autoencoder", filters=(16, 16), latent=8), shape, 0.1)
    for name, int8_weights in (("float32", False), ("int8", True)):
        (FOLDER / f"conv-{name}.tflite").write_bytes(tflite.convert(model, shape, int8_weights=int8_weights))
    shape = (8, 3)  # the weights of t8-c3
    model = _untrained(LSTMAutoencoder("lstm_autoencoder", units=4), shape)
    (FOLDER / "unrolled.tflite").write_bytes(tflite.convert_unrolled(model, shape))
    (FOLDER / "unrolled-batch.tflite").write_bytes(tflite_writer.write(flatten(model, shape), (1, 4)))
    windows = np.random.default_rng(1).normal(size=(100, *shape)).astype(np.float32)
    (FOLDER / "full-int8.tflite").write_bytes(tflite.convert(model, shape, representative=windows))


def _untrained(spec: Model, shape: tuple[int, int], spread: float = 0.7) -> Any:
    """A model with random weights, larger than a fresh model's, and no zero bias: a state that is carried over must show."""
    model = build(spec, *shape, tf_keras, components=3)
    rng = np.random.default_rng(shape[0] * 100 + shape[1])
    model.set_weights([rng.normal(0, spread, weights.shape).astype(np.float32) for weights in model.get_weights()])
    return model


def _write(model: Any, shape: tuple[int, int], name: str) -> None:
    stem = FOLDER / name
    stem.with_suffix(".tflite").write_bytes(tflite.convert(model, shape))
    stem.with_suffix(".onnx").write_bytes(onnx.convert(model, shape))
    stem.with_suffix(".npz").write_bytes(numpy_weights.convert(model, shape))


if __name__ == "__main__":
    main()
