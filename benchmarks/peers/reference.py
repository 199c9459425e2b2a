"""`python -m benchmarks.peers.reference FOLDER BUNDLE`: what is handed to the peers, made once by TensorFlow in this environment.

`readings.npy` (N, C); `weights.npz`, `model.keras`: the bundle's own; `reconstruction.npy`: what Keras answers to the first windows;
`reference.anomalite`: the bundle; `bare.tflite`, `bare.onnx`: the variants in it that the engines would take here.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.scripts.measured import COMPARED
from benchmarks.reference_bundle import CHANNELS, LENGTH, SEED, reference_model
from edge_runtime.bundle import Bundle
from edge_runtime.engines.tflite_file import without_half
from edge_runtime.opening import choose_variant

READINGS = 6000
BARE = {"litert": "bare.tflite", "onnx": "bare.onnx"}


def main(folder: Path, bundle: Path) -> None:
    """Write the files into `folder`."""
    readings = np.random.default_rng(SEED).normal(size=(READINGS, CHANNELS)).astype(np.float32)
    np.save(folder / "readings.npy", readings.astype(np.float64))
    shutil.copyfile(bundle, folder / "reference.anomalite")
    content = Bundle.read(bundle)
    for engine, file in BARE.items():
        _, variant = choose_variant(content, engine)
        model = content.members[variant.file]
        # As our engine does it: the same file in float32 where the CPU is not the one that half precision is for.
        (folder / file).write_bytes(model if variant.half or engine == "onnx" else without_half(model))

    model = reference_model()
    model.save(folder / "model.keras")
    np.savez(folder / "weights.npz", *model.get_weights())
    windows = np.stack([readings[start : start + LENGTH] for start in range(COMPARED)])
    np.save(folder / "reconstruction.npy", model.predict(windows, verbose=0))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
