"""The bundle that latency and memory are measured with: T=32, C=4, LSTM(32) autoencoder, seeded random weights.

What a window costs does not depend on the weights' values, so nothing is trained and nothing is proven here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, seal
from edge_runtime.manifest import (
    FORMAT,
    AlarmPolicy,
    Channel,
    Cleaning,
    Manifest,
    PercentileThreshold,
    Provenance,
    Sampling,
    Scaling,
    Score,
    Variant,
    Window,
)

LENGTH, CHANNELS, UNITS, SEED = 32, 4, 32, 1


def reference_bundle(folder: Path, length: int = LENGTH, variants: tuple[str, ...] = ("all",)) -> Path:
    """The bundle's path in `folder`; made by TensorFlow the first time, which takes about half a minute."""
    path = folder / f"reference-{length}-{CHANNELS}-{UNITS}-{'+'.join(variants)}.anomalite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(path, length, variants)
    return path


def _make(path: Path, length: int, names: tuple[str, ...]) -> Bundle:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tf_keras

    from export.proof import variant_of
    from export.source import Source
    from export.variants import choose_recipes
    from training.config import LSTMAutoencoder
    from training.models import build

    keras.utils.set_random_seed(SEED)
    spec = LSTMAutoencoder(family="lstm_autoencoder", units=UNITS)
    model = build(spec, length, CHANNELS, keras)
    windows = np.random.default_rng(SEED).normal(size=(64, length, CHANNELS)).astype(np.float32)
    source = Source(spec, model, (length, CHANNELS), windows, lambda: tf_keras)
    recipes = choose_recipes(names, has_lstm=True)
    models = {recipe.name: recipe.convert(source) for recipe in recipes}
    variants = tuple(variant_of(recipe) for recipe in recipes)
    return seal(path, reference_manifest(model.count_params(), variants, length), models, None)


def reference_manifest(parameters: int, variants: tuple[Variant, ...], length: int = LENGTH) -> Manifest:
    """A manifest as training would write it: limits on every channel, holds, and an alarm over six readings."""
    return Manifest(
        format=FORMAT,
        name="reference",
        family="lstm_autoencoder",
        parameters=parameters,
        time_column="time",
        channels=tuple(Channel(f"c{i}", low=-100.0, high=100.0) for i in range(CHANNELS)),
        sampling=Sampling(1.0, 5.0),
        cleaning=Cleaning(),
        scaling=Scaling("standard", (0.0,) * CHANNELS, (1.0,) * CHANNELS),
        window=Window(length),
        score=Score(),
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.0),
        alarm=AlarmPolicy(k=4, n=6),
        calibration={},
        provenance=Provenance("", SEED, {}, "", "", {}, {}),
        variants=variants,
    )
