"""The bundles that latency, memory and start-up are measured with: seeded random weights, everything else as training would write it.

What a window costs does not depend on the weights' values, so nothing is trained and nothing is proven here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.bundle import seal
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

if TYPE_CHECKING:
    from training.families import Model

LENGTH, CHANNELS, UNITS, SEED = 32, 4, 32, 1
COMPONENTS = 24
"""Of the linear autoencoder."""
FAMILIES = ("lstm_autoencoder", "lstm_forecaster", "dense_autoencoder", "conv_autoencoder", "linear_autoencoder")


@dataclass(frozen=True)
class Reference:
    """Which bundle."""

    family: str = "lstm_autoencoder"
    length: int = LENGTH
    """Readings in a window, T."""
    channels: int = CHANNELS
    """C."""
    units: int = UNITS
    """Of each LSTM layer; the other families keep their own sizes."""
    variants: tuple[str, ...] = ("all",)
    """As `anomalite export --variants` takes them; empty: the default ones."""

    @property
    def name(self) -> str:
        """Tells it from others."""
        parts = (self.family, self.length, self.channels, self.units, *(self.variants or ("default",)))
        return "-".join(map(str, parts))


def reference_bundle(folder: Path, reference: Reference = Reference()) -> Path:
    """The bundle's path in `folder`; made by TensorFlow the first time, and after the code that makes it has changed, in 5 to 30 seconds."""
    path = folder / f"{reference.name}-{_made_by()}.anomalite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(path, reference)
    return path


@cache
def _made_by() -> str:
    """A digest of the code that makes a bundle."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for package in ("edge_runtime", "training", "export"):
        for source in sorted((root / package).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:8]


def _make(path: Path, reference: Reference) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tf_keras

    from export.proof import variant_of
    from export.source import Source
    from export.variants import choose_recipes
    from training.models import estimates

    spec = _spec(reference)
    shape = (reference.length, reference.channels)
    model = reference_model(reference)
    windows = np.random.default_rng(SEED).normal(size=(64, *shape)).astype(np.float32)
    source = Source(spec, model, shape, windows, lambda: tf_keras)
    recipes = choose_recipes(reference.variants or None, source.has_lstm, reference.length)
    models = {recipe.name: recipe.convert(source) for recipe in recipes}
    variants = tuple(variant_of(recipe, source.has_lstm) for recipe in recipes)
    manifest = reference_manifest(reference, model.count_params(), variants, estimates(spec))
    seal(path, manifest, models, None)


def reference_model(reference: Reference = Reference()) -> Any:
    """The Keras model whose weights the bundle holds."""
    import keras

    from training.models import build

    keras.utils.set_random_seed(SEED)
    components = min(COMPONENTS, reference.length * reference.channels)
    return build(_spec(reference), reference.length, reference.channels, keras, components)


def _spec(reference: Reference) -> Model:
    from training import families  # with its own imports, which a device need not have

    match reference.family:
        case "lstm_autoencoder":
            return families.LSTMAutoencoder(family="lstm_autoencoder", units=reference.units)
        case "lstm_forecaster":
            return families.LSTMForecaster(family="lstm_forecaster", units=reference.units)
        case "dense_autoencoder":
            return families.DenseAutoencoder(family="dense_autoencoder")
        case "conv_autoencoder":
            return families.ConvAutoencoder(family="conv_autoencoder")
        case "linear_autoencoder":
            return families.LinearAutoencoder(family="linear_autoencoder")
    raise ValueError(f"expected a family among {', '.join(FAMILIES)}, got {reference.family!r}")


def reference_manifest(
    reference: Reference = Reference(),
    parameters: int = 0,
    variants: tuple[Variant, ...] = (),
    estimated: int | None = None,
) -> Manifest:
    """A manifest as training would write it: limits on every channel, holds, and an alarm over six readings.

    `estimated`: how many of the window's last readings the model gives; None: all.
    """
    channels = reference.channels
    return Manifest(
        format=FORMAT,
        name="reference",
        family=reference.family,
        parameters=parameters,
        time_column="time",
        channels=tuple(Channel(f"c{i}", low=-100.0, high=100.0) for i in range(channels)),
        sampling=Sampling(1.0, 5.0),
        cleaning=Cleaning(),
        scaling=Scaling("standard", (0.0,) * channels, (1.0,) * channels),
        window=Window(reference.length),
        score=Score(),
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.0),
        alarm=AlarmPolicy(k=4, n=6),
        calibration={},
        provenance=Provenance("", SEED, {}, "", "", {}, {}),
        estimates=estimated,
        variants=variants,
    )
