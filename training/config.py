"""The training configuration: what a user writes in a TOML file, typed and validated.

Decoding is strict (`edge_runtime.schema`): an unknown key is refused with a suggestion. The sections that the device needs
too are the manifest's own classes, so what is written here is what the device reads later.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from edge_runtime.errors import InputError
from edge_runtime.manifest import AlarmPolicy, Channel, Cleaning, Derived, Sampling, Score, Waveform, Window
from edge_runtime.manifest_preparation import check_clip
from edge_runtime.schema import decode


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A time that is left out of training because the machine was not in its normal state."""

    start: datetime
    """First moment left out; without an offset it is UTC."""
    end: datetime
    """Last moment left out."""
    why: str = ""
    """For whoever reads the configuration next year."""

    def __post_init__(self) -> None:
        if not self.start <= self.end:
            raise ValueError(f"expected start before end, got {self.start.isoformat()} and {self.end.isoformat()}")


@dataclass(frozen=True, slots=True)
class Shares:
    """How the rows are divided, in order of time."""

    fit: float = 0.7
    """The weights and the scaling are fitted to these."""
    early_stopping: float = 0.15
    """Their loss says when to stop, and which epoch's weights to keep."""
    calibration: float = 0.15
    """Their scores give the threshold; neither the weights nor their choice has seen them."""

    def __post_init__(self) -> None:
        shares = (self.fit, self.early_stopping, self.calibration)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"expected shares above zero that add up to 1, got {sum(shares):g} from {list(shares)}")


@dataclass(frozen=True, slots=True)
class Data:
    """Which readings are normal and to be learned."""

    files: tuple[str, ...]
    """CSV, JSON lines or Parquet files, or raw snapshots (npz, or a folder of CSV files), in order of time, relative to the
    configuration."""
    time_column: str = "timestamp"
    start: datetime | None = None
    """First moment used; without an offset it is UTC."""
    end: datetime | None = None
    """Last moment used."""
    exclude: tuple[Exclusion, ...] = ()
    """Times in between that are left out; no window reaches across one."""
    shares: Shares = field(default_factory=Shares)

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("expected one or more files, got none")
        if len(set(self.files)) != len(self.files):
            raise ValueError(f"expected each file once, got {list(self.files)}")
        if self.start is not None and self.end is not None and not self.start < self.end:
            raise ValueError(f"expected start before end, got {self.start.isoformat()} and {self.end.isoformat()}")


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """How the channels are scaled; see `edge_runtime/scale.py`."""

    kind: Literal["standard", "min_max", "robust"] = "standard"
    clip: float | None = None
    """Scaled values are limited to this size; None leaves them as they are."""

    def __post_init__(self) -> None:
        check_clip(self.clip)


@dataclass(frozen=True, slots=True)
class LSTMAutoencoder:
    """Reads the window step by step into one state and writes it out again from there (Malhotra et al. 2016)."""

    family: Literal["lstm_autoencoder"]
    layers: int = 1
    """LSTM layers in the encoder, and as many in the decoder."""
    units: int = 32
    """Units of each LSTM layer."""
    latent: int | None = None
    """Size of a linear layer between encoder and decoder; None leaves it out."""

    def __post_init__(self) -> None:
        for name, number in (("layers", self.layers), ("units", self.units), ("latent", self.latent)):
            _check_positive(name, 1 if number is None else number)


@dataclass(frozen=True, slots=True)
class DenseAutoencoder:
    """Squeezes the whole window at once through a few numbers and unfolds it again."""

    family: Literal["dense_autoencoder"]
    hidden: tuple[int, ...] = (64,)
    """Units of the layers before the latent one; after it they come in reverse."""
    latent: int = 8
    """How many numbers are left of a window."""

    def __post_init__(self) -> None:
        for name, number in (*(("hidden", units) for units in self.hidden), ("latent", self.latent)):
            _check_positive(name, number)


Model = LSTMAutoencoder | DenseAutoencoder
"""The model families, told apart by `family`; `models.py` builds them."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How the weights are fitted."""

    epochs: int = 200
    """At most so many passes over the fit windows."""
    batch_size: int = 32
    learning_rate: float = 0.001
    """Of Adam."""
    patience: int = 20
    """Stop after so many epochs without a better loss on the early-stopping windows."""
    stride: int = 1
    """Take every so-manieth fit window: 1 takes all, the window's length takes windows that do not overlap."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "stride"):
            _check_positive(name, getattr(self, name))
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"expected a learning_rate between 0 and 1, got {self.learning_rate:g}")


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """How the threshold follows from held-out normal scores; see `edge_runtime/threshold.py`."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = 99.0
    """Of the calibration windows' scores, 0 to 100."""
    factor: float = 1.5
    """The percentile is multiplied by this."""

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise ValueError(f"expected a percentile above 0 and at most 100, got {self.percentile:g}")
        if not self.factor > 0:
            raise ValueError(f"expected a factor above 0, got {self.factor:g}")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `anomalite train` needs to know."""

    name: str
    """What the detector is called; also the run directory's and the bundle's name."""
    data: Data
    sampling: Sampling
    window: Window
    model: Model
    channels: tuple[Channel, ...] | None = None
    """The columns to use, in the order of the model's inputs; None: all but the time. With a waveform: what to say of some of
    its features."""
    derived: tuple[Derived, ...] = ()
    """What the model is given beside the channels."""
    waveform: Waveform | None = None
    """How a snapshot of raw samples becomes a reading."""
    seed: int = 1
    """Of every random number; the same seed, data and machine give the same weights."""
    cleaning: Cleaning = field(default_factory=Cleaning)
    scaling: ScalingRule = field(default_factory=ScalingRule)
    fit: Fit = field(default_factory=Fit)
    score: Score = field(default_factory=Score)
    threshold: ThresholdRule = field(default_factory=ThresholdRule)
    alarm: AlarmPolicy = field(default_factory=AlarmPolicy)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(f"expected a name of letters, digits, '.', '_' and '-', got {self.name!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"expected a seed from 0 to {2**32 - 1}, got {self.seed}")
        if self.score.last is not None and self.score.last > self.window.length:
            raise ValueError(f"expected score.last of at most {self.window.length} (the window), got {self.score.last}")
        if self.channels is not None:
            names = [channel.name for channel in self.channels]
            if not names or len(set(names)) != len(names) or self.data.time_column in names:
                raise ValueError(f"expected one or more channels with different names, got {names}")


def load_config(path: str | Path) -> Config:
    """Read a TOML configuration.

    Raises `InputError` for a file that is missing or is no TOML, and `SchemaError` naming the place for what does not fit.
    """
    return parse_config(read_config(path), str(path))


def read_config(path: str | Path) -> bytes:
    """The configuration file's bytes. Raises `InputError`."""
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot be read: {fault.strerror}") from None


def parse_config(text: bytes, source: str) -> Config:
    """Decode the bytes of a TOML configuration; `source` names it in messages. Raises `InputError`, `SchemaError`."""
    try:
        data = tomllib.loads(text.decode())
    except UnicodeDecodeError as fault:
        raise InputError(f"{source}: expected UTF-8 text, got the byte {text[fault.start]:#04x}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise InputError(f"{source}: expected TOML, got: {fault}") from None
    return decode(Config, data, source)


def _check_positive(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"expected {name} of at least 1, got {number}")
