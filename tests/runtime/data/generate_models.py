"""Makes `models/`: one untrained LSTM autoencoder a shape, as TFLite, ONNX and numpy weights.

The tests of engines and of table, stream and many machines run over them. Needs the workstation's environment; run by hand
from the repository's root: `python -m tests.runtime.data.generate_models`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tf_keras

from export import numpy_weights, onnx, tflite
from training.config import LSTMAutoencoder
from training.models import build

SHAPES = ((4, 1), (5, 2), (8, 3), (16, 8), (6, 19))
"""Of a window, (T, C)."""
FOLDER = Path(__file__).parent / "models"


def main() -> None:
    """Write every shape's models."""
    FOLDER.mkdir(exist_ok=True)
    for length, channels in SHAPES:
        model = build(LSTMAutoencoder("lstm_autoencoder", units=4), length, channels, tf_keras)
        rng = np.random.default_rng(length * 100 + channels)
        # Larger than a fresh model's, and no zero bias: a state that is carried over must show.
        model.set_weights([rng.normal(0, 0.7, weights.shape).astype(np.float32) for weights in model.get_weights()])
        shape = (length, channels)
        stem = FOLDER / f"t{length}-c{channels}"
        stem.with_suffix(".tflite").write_bytes(tflite.convert(model, shape))
        stem.with_suffix(".onnx").write_bytes(onnx.convert(model, shape))
        stem.with_suffix(".npz").write_bytes(numpy_weights.convert(model, shape))


if __name__ == "__main__":
    main()
