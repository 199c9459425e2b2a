"""Models, manifests and bundles made by hand: small, without TensorFlow, and wrong where a test wants them wrong."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import seal
from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.engines.numpy import (
    ConvLayer,
    CropLayer,
    DenseLayer,
    LSTMLayer,
    Program,
    RepeatLayer,
    ReshapeLayer,
    SumLayer,
)
from edge_runtime.golden import GoldenReadings, write_golden
from edge_runtime.manifest import (
    AlarmPolicy,
    BudgetThreshold,
    Channel,
    Cleaning,
    Derived,
    FalseAlarms,
    IQRThreshold,
    Manifest,
    MovingQuantileThreshold,
    PercentileThreshold,
    Provenance,
    Sampling,
    Scaling,
    Score,
    SigmaThreshold,
    SpotThreshold,
    TailThreshold,
    Threshold,
    Variant,
    Window,
)
from edge_runtime.schema import encode

DATA = Path(__file__).parent / "data"
TINY = DATA / "format-1" / "tiny.anomalite"
"""The committed example of format 1: T = 8, C = 3, all four variants."""
FILES = {"onnx": ".onnx", "litert": ".tflite", "tflite": ".tflite", "numpy": ".npz"}
"""The kind of model file each engine runs."""
SHAPES = [(4, 1), (5, 2), (8, 3), (16, 8), (6, 19)]
"""Of the windows (T, C) that `data/models` holds a model for."""
FAMILIES = {
    "lstm_forecaster": ((7, 3), (2, 3)),
    "conv_autoencoder": ((9, 2), (9, 2)),
    "linear_autoencoder": ((5, 4), (5, 4)),
}
"""The other families that `data/models` holds a model of: the shapes of its windows (T, C) and outputs (K, C)."""
SECOND = 1_000_000
START = 1_700_000_000 * SECOND
"""Where the streams made here begin, in microseconds since 1970."""


EXCESSES = tuple(np.random.default_rng(3).exponential(0.2, 30).tolist())
THRESHOLDS: dict[str, Threshold] = {
    "percentile": PercentileThreshold("percentile", 99.0, 1.5, 2.0),
    "sigma": SigmaThreshold("sigma", 3.0, 2.0),
    "iqr": IQRThreshold("iqr", 3.0, 2.0),
    "evt": TailThreshold("evt", 1e-3, 0.98, 2.0),
    "budget": BudgetThreshold("budget", 10.0, 0.9, 2.0, FalseAlarms(5.0, 30, 0.03, 0.001, 0.12)),
    "moving_quantile": MovingQuantileThreshold("moving_quantile", 90.0, 1.5, 0.05, 3, 1.4, 2.0),
    "spot": SpotThreshold("spot", 1e-3, 0.9, 40, 3, 1.4, 2.0, 1.2, EXCESSES, 300, 30),
}
"""One of every kind; the last two move within the scores of a few hundred windows."""


def manifest(T: int = 8, C: int = 3, **changes: Any) -> Manifest:
    """A manifest for C channels, one reading a second, with the given fields changed; nothing is scaled."""
    channels = changes.get("channels", tuple(Channel(f"c{i}", "g") for i in range(C)))
    derived: tuple[Derived, ...] = changes.get("derived", ())
    F = sum(channel.is_input for channel in channels) + sum(len(each.names) for each in derived)
    plain = Manifest(
        format=1,
        name="handmade",
        family="lstm_autoencoder",
        parameters=1,
        time_column="time",
        channels=channels,
        sampling=Sampling(1.0, 3.0),
        cleaning=Cleaning(2),
        scaling=Scaling("standard", (0.0,) * F, (1.0,) * F),
        derived=derived,
        window=Window(T),
        score=Score("mae", None),
        threshold=PercentileThreshold("percentile", 99.0, 1.0, 1.0),
        alarm=AlarmPolicy(),
        calibration={"50": 0.5},
        provenance=Provenance(
            "2026-01-01T00:00:00+00:00", 1, {"a.csv": "0" * 64}, "2025-01-01T00:00:00+00:00",
            "2025-02-01T00:00:00+00:00", {"python": "3.11"}, {"epochs": 1.0},
        ),
    )  # fmt: skip
    return replace(plain, **{key: value for key, value in changes.items() if key not in ("channels", "derived")})


def variant(name: str, file: str, *engines: str) -> Variant:
    """A variant whose hash and size `seal` fills in."""
    return Variant(name, file, engines, "", 0, 1e-3, {})


def model_file(engine: str, T: int, C: int) -> bytes:
    """The committed model of windows (T, C) in the format the engine runs."""
    return (DATA / "models" / f"t{T}-c{C}{FILES[engine]}").read_bytes()


def family_file(engine: str, family: str) -> bytes:
    """The committed model of one of `FAMILIES` in the format the engine runs."""
    return (DATA / "models" / f"{family}{FILES[engine]}").read_bytes()


def detector(engine: str, m: Manifest, *, machines: int = 1, batch: int | None = None) -> Detector:
    """A detector over the committed model of the manifest's shape."""
    T, C = m.window.length, len(m.channels)
    opened = open_engine(engine, model_file(engine, T, C), (T, C))
    return Detector(m, opened, machines=machines, batch=batch, engine_name=engine)


def npz(**arrays: Any) -> bytes:
    """The bytes of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def numpy_model(program: Program, weights: Mapping[str, Any]) -> bytes:
    """A model file of the numpy engine."""
    return npz(layers=np.array(json.dumps(encode(program))), **weights)


def lstm_model(T: int, C: int, units: int = 3, seed: int = 1) -> bytes:
    """LSTM -> repeat -> LSTM -> dense with random weights, for the numpy engine."""
    rng = np.random.default_rng(seed)
    layers = (
        LSTMLayer("lstm", "encoder", False),
        RepeatLayer("repeat", T),
        LSTMLayer("lstm", "decoder", True),
        DenseLayer("dense", "out", "linear"),
    )
    shapes = {
        "encoder.kernel": (C, 4 * units), "encoder.recurrent": (units, 4 * units), "encoder.bias": (4 * units,),
        "decoder.kernel": (units, 4 * units), "decoder.recurrent": (units, 4 * units), "decoder.bias": (4 * units,),
        "out.kernel": (units, C), "out.bias": (C,),
    }  # fmt: skip
    weights = {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return numpy_model(Program((T, C), layers), weights)


def dense_model(T: int, C: int, hidden: int = 3, seed: int = 1) -> bytes:
    """Flatten -> tanh -> relu -> unfold with random weights, for the numpy engine."""
    rng = np.random.default_rng(seed)
    layers = (
        ReshapeLayer("reshape", (T * C,)),
        DenseLayer("dense", "a", "tanh"),
        DenseLayer("dense", "b", "relu"),
        DenseLayer("dense", "c", "linear"),
        ReshapeLayer("reshape", (T, C)),
    )
    shapes = {
        "a.kernel": (T * C, hidden), "a.bias": (hidden,), "b.kernel": (hidden, hidden), "b.bias": (hidden,),
        "c.kernel": (hidden, T * C), "c.bias": (T * C,),
    }  # fmt: skip
    weights = {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return numpy_model(Program((T, C), layers), weights)


def forecaster_model(T: int, C: int, units: int = 3, seed: int = 1, K: int = 2) -> bytes:
    """Crop, then LSTM -> dense beside dense alone, added up, with random weights, for the numpy engine: (T, C) -> (K, C)."""
    rng = np.random.default_rng(seed)
    unfold = ReshapeLayer("reshape", (K, C))
    network = (LSTMLayer("lstm", "lstm", False), DenseLayer("dense", "out", "linear"), unfold)
    linear = (ReshapeLayer("reshape", (-1,)), DenseLayer("dense", "linear", "linear"), unfold)
    layers = (CropLayer("crop", K), SumLayer("sum", (network, linear)))
    shapes = {
        "lstm.kernel": (C, 4 * units), "lstm.recurrent": (units, 4 * units), "lstm.bias": (4 * units,),
        "out.kernel": (units, K * C), "out.bias": (K * C,),
        "linear.kernel": ((T - K) * C, K * C), "linear.bias": (K * C,),
    }  # fmt: skip
    weights = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return numpy_model(Program((T, C), layers), weights)


def conv_model(T: int, C: int, filters: int = 3, seed: int = 1) -> bytes:
    """A stride of 2, each activation, kernels of odd and even sizes, and back by a reshape and a crop, for the numpy engine."""
    rng = np.random.default_rng(seed)
    halved = -(-T // 2)
    layers = (
        ConvLayer("conv", "a", 2, "relu"),
        ConvLayer("conv", "b", 1, "tanh"),
        ConvLayer("conv", "c", 1, "linear"),
        ReshapeLayer("reshape", (2 * halved, C)),
        *([CropLayer("crop", 1)] if T % 2 else []),
    )
    shapes = {
        "a.kernel": (3, C, filters), "a.bias": (filters,), "b.kernel": (2, filters, filters), "b.bias": (filters,),
        "c.kernel": (5, filters, 2 * C), "c.bias": (2 * C,),
    }  # fmt: skip
    weights = {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    return numpy_model(Program((T, C), layers), weights)


def stream(rows: int, C: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Random readings (N, C), one a second, and their times (N,) in microseconds."""
    values = np.random.default_rng(seed).normal(0, 1, (rows, C))
    return values, START + SECOND * np.arange(rows, dtype=np.int64)


def moments(times: np.ndarray) -> np.ndarray:
    """Microseconds since 1970 (N,) as datetime64."""
    return times.view("datetime64[us]")


def sealed(path: Path, m: Manifest | None = None, model: bytes | None = None, *, golden: bool = True) -> Path:
    """Write a bundle with one numpy variant and, from what it scores itself, golden readings."""
    m = manifest(4, 2) if m is None else m
    model = lstm_model(*m.window_shape) if model is None else model
    m = replace(m, variants=(variant("numpy-float32", "model.npz", "numpy"),))
    expected = None
    if golden:
        values, times = stream(3 * m.preparation.readings_needed, len(m.channels))
        verdicts = Detector(m, open_engine("numpy", model, m.window_shape)).score(values, moments(times))
        readings = GoldenReadings(values, times, verdicts.status_codes, {"numpy-float32": verdicts.scores})
        expected = write_golden(readings)
    seal(path, m, {"numpy-float32": model}, expected)
    return path


def with_digest(body: bytes) -> bytes:
    """A zip whose comment ends in the mark, then the digest over everything before it: what every bundle ends with."""
    assert body.endswith(b"anomalite sha256 ")
    return body + hashlib.sha256(body).hexdigest().encode()


def reseal(data: bytes) -> bytes:
    """The same bytes with a digest that is right again."""
    return with_digest(data[:-64])


def pack(members: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of any members, under any names, with the right digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            info = zipfile.ZipInfo("x" * len(name))
            info.filename = info.orig_filename = name  # as it is: the constructor would tidy it up
            info.compress_type = compression
            archive.writestr(info, data)
        archive.comment = b"anomalite sha256 " + b"0" * 64
    return reseal(buffer.getvalue())


def members_of(path: Path) -> dict[str, bytes]:
    """A bundle's members by name, without any check."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(members: Mapping[str, bytes], **replaced: Any) -> dict[str, bytes]:
    """Members with keys of the manifest replaced; the other members' hashes and sizes are made right again."""
    data = {**json.loads(members["manifest.json"]), **replaced}
    for entry in [*data["variants"], *([data["golden"]] if data["golden"] else [])]:
        if entry["file"] in members:
            content = members[entry["file"]]
            entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return {**members, "manifest.json": json.dumps(data).encode()}
