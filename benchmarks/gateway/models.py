"""Bundles that the gateway's proofs are run with: untrained models whose readings are normal about zero and faulty far from it.

Three sorts, which between them have everything a machine's state can hold: a plain window with a fixed threshold; a smoothed score,
sensors that get stuck and a threshold that follows the machine; a grid, derived inputs and a tail that is fitted again.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reference_bundle import Reference, reference_bundle, reference_manifest
from edge_runtime.bundle import Bundle, seal
from edge_runtime.engines.numpy import DenseLayer, LSTMLayer, Program, RepeatLayer, ReshapeLayer
from edge_runtime.manifest import (
    AlarmPolicy,
    Channel,
    Cleaning,
    Derived,
    Grid,
    Manifest,
    MovingQuantileThreshold,
    PercentileThreshold,
    Sampling,
    Scaling,
    Score,
    Sensors,
    SpotThreshold,
    Variant,
)
from edge_runtime.schema import encode

PERIOD_S = 0.1
"""Between the readings of a machine, where nothing else is asked for."""
NUMPY = Variant("numpy-float32", "model.npz", ("numpy",), "", 0, 1e-3)


def steady(period_s: float = PERIOD_S, length: int = 32, channels: int = 4) -> Manifest:
    """A fixed threshold, an alarm over six scores."""
    plain = reference_manifest(Reference(length=length, channels=channels))
    return plain.replaced(
        name="steady",
        sampling=Sampling(period_s, 5 * period_s),
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 2.0),
        variants=(NUMPY,),
    )


def spiking(period_s: float, length: int = 32, channels: int = 4) -> Manifest:
    """One reading far off raises the alarm, so that what raised it is known to the reading; it clears when that has left the window."""
    limit = 1e6
    return steady(period_s, length, channels).replaced(
        name="spiking",
        channels=tuple(Channel(f"c{i}", low=-limit, high=limit) for i in range(channels)),
        alarm=AlarmPolicy(),
    )


def following(period_s: float = PERIOD_S) -> Manifest:
    """A threshold that follows each machine, a smoothed score, and sensors that may be stuck or silent."""
    return steady(period_s, 16, 3).replaced(
        name="following",
        channels=tuple(Channel(f"c{i}", low=-100.0, high=100.0, stuck_after=12) for i in range(3)),
        sensors=Sensors(),
        cleaning=Cleaning(hold_limit=3),
        score=Score("mse", last=4, smoothing=0.3),
        threshold=MovingQuantileThreshold("moving_quantile", 90.0, 2.0, 0.05, 3, 1.6, 2.5),
        alarm=AlarmPolicy(k=3, n=5, cooldown_s=20 * period_s),
    )


def fitting(period_s: float = PERIOD_S) -> Manifest:
    """Readings put onto a grid, inputs derived from them, and a tail that is fitted again on each machine."""
    excesses = tuple(np.random.default_rng(3).exponential(0.15, 30).tolist())
    derived = (Derived("difference", "c0"), Derived("rolling_std", "c1", 6))
    return steady(period_s, 12, 2).replaced(
        name="fitting",
        sampling=Sampling(period_s, 5 * period_s, Grid("mean", period_s / 2)),
        derived=derived,
        scaling=Scaling("standard", (0.0,) * 4, (1.0,) * 4),
        score=Score("mae", last=2),
        threshold=SpotThreshold("spot", 1e-3, 0.9, 40, 3, 1.5, 2.2, 1.0, excesses, 300, 30),
        alarm=AlarmPolicy(k=4, n=6),
    )


def sealed(path: Path, manifest: Manifest, *, units: int = 0, seed: int = 1) -> Path:
    """A bundle of the manifest with a model for the numpy engine: an LSTM autoencoder of so many units, or a dense one (0)."""
    model = _lstm(manifest.window_shape, units, seed) if units else _dense(manifest.window_shape, seed)
    seal(path, manifest.replaced(variants=(NUMPY,)), {NUMPY.name: model}, None)
    return path


def resealed(path: Path, manifest: Manifest, cache: Path) -> Path:
    """A bundle of the manifest with the reference LSTM in every format an engine runs; TensorFlow makes it the first time."""
    reference = Reference(length=manifest.window.length, channels=len(manifest.channels), variants=())
    made = Bundle.read(reference_bundle(cache, reference))
    models = {each.name: made.members[each.file] for each in made.manifest.variants}
    variants = tuple(each.replaced(threshold=None) for each in made.manifest.variants)
    seal(path, manifest.replaced(variants=variants, estimates=made.manifest.estimates), models, None)
    return path


def bundle_for(engine: str, path: Path, manifest: Manifest, cache: Path) -> Path:
    """With a model for that engine: `numpy` needs no TensorFlow."""
    return sealed(path, manifest, units=32) if engine == "numpy" else resealed(path, manifest, cache)


def _lstm(shape: tuple[int, int], units: int, seed: int) -> bytes:
    """LSTM -> repeat -> LSTM -> dense."""
    length, inputs = shape
    layers = (
        LSTMLayer("lstm", "encoder", False),
        RepeatLayer("repeat", length),
        LSTMLayer("lstm", "decoder", True),
        DenseLayer("dense", "out", "linear"),
    )
    shapes: dict[str, tuple[int, ...]] = {"out.kernel": (units, inputs), "out.bias": (inputs,)}
    for name, width in (("encoder", inputs), ("decoder", units)):
        shapes |= {
            f"{name}.kernel": (width, 4 * units),
            f"{name}.recurrent": (units, 4 * units),
            f"{name}.bias": (4 * units,),
        }
    return _npz(shape, layers, shapes, seed)


def _dense(shape: tuple[int, int], seed: int) -> bytes:
    """Flatten -> tanh -> unfold."""
    length, inputs = shape
    size, hidden = length * inputs, 8
    layers = (
        ReshapeLayer("reshape", (size,)),
        DenseLayer("dense", "encoder", "tanh"),
        DenseLayer("dense", "out", "linear"),
        ReshapeLayer("reshape", shape),
    )
    shapes = {
        "encoder.kernel": (size, hidden),
        "encoder.bias": (hidden,),
        "out.kernel": (hidden, size),
        "out.bias": (size,),
    }
    return _npz(shape, layers, shapes, seed)


def _npz(shape: tuple[int, int], layers: tuple[Any, ...], shapes: dict[str, tuple[int, ...]], seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(0, 0.1, size).astype(np.float32) for name, size in shapes.items()}
    buffer = io.BytesIO()
    np.savez(buffer, layers=np.array(json.dumps(encode(Program(shape, layers)))), **weights)  # type: ignore[arg-type]
    return buffer.getvalue()


def manifest_of(bundle: Path) -> Manifest:
    """Of a sealed bundle."""
    return Bundle.read(bundle).manifest
