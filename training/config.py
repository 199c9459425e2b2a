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
from edge_runtime.manifest import (
    AlarmPolicy,
    Channel,
    Cleaning,
    Derived,
    Operating,
    Sampling,
    Sensors,
    Waveform,
    Window,
)
from edge_runtime.manifest_decision import ScoreKind, check_score
from edge_runtime.manifest_preparation import check_clip
from edge_runtime.schema import decode
from edge_runtime.threshold_rules import PercentileRule, ThresholdRule
from training.export_settings import ExportSettings
from training.families import (
    CANDIDATES,
    Auto,
    ConvAutoencoder,
    DenseAutoencoder,
    LinearAutoencoder,
    LSTMAutoencoder,
    LSTMForecaster,
    Model,
    check_estimates,
    check_positive,
)
from training.quantize import QuantizeRule

__all__ = [
    "Auto",
    "Config",
    "ConvAutoencoder",
    "Data",
    "DenseAutoencoder",
    "Exclusion",
    "Fit",
    "LSTMAutoencoder",
    "LSTMForecaster",
    "LinearAutoencoder",
    "Model",
    "ScalingRule",
    "ScoreRule",
    "Shares",
    "ThresholdRule",
    "load_config",
    "parse_config",
    "read_config",
]


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
    """Their loss says when to stop, and which epoch's weights to keep; a score's whitening is fitted to their residuals."""
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
    interpolate: int = 0
    """At most this many missing values in a row are interpolated before fitting; the device, which must not look ahead, holds."""

    def __post_init__(self) -> None:
        if self.interpolate < 0:
            raise ValueError(f"expected interpolate of 0 or more rows, got {self.interpolate}")
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
    trim: float = 0.0
    """Drop this share of the fit windows, those with the largest residuals, and fit again; 0 does not. See `trim.py`."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "stride"):
            check_positive(name, getattr(self, name))
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"expected a learning_rate between 0 and 1, got {self.learning_rate:g}")
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"expected trim of at least 0 and below 0.5, got {self.trim:g}")


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """How a window's residuals become its score; the manifest's `Score`, without what is fitted."""

    kind: ScoreKind = "mahalanobis"
    """Mean absolute error, mean squared error, or mean squared Mahalanobis distance; see `edge_runtime/score.py`."""
    last: int | None = None
    """Only the residuals of the window's last so many readings; None: all that the model gives."""
    smoothing: float = 1.0
    """Weight of the newest score in an exponentially weighted mean over the scores so far; 1 leaves them as they are."""
    shrinkage: float = 1.0
    """For `mahalanobis`: how far the residuals' correlations are drawn towards none, 0 to 1; windows overlap, so there are
    fewer independent residuals than their number says."""

    def __post_init__(self) -> None:
        check_score(self.last, self.smoothing)
        if not 0 <= self.shrinkage <= 1:
            raise ValueError(f"expected a shrinkage from 0 to 1, got {self.shrinkage:g}")


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Readings to judge the trained detector by; they change neither the weights nor the threshold."""

    file: str
    """CSV or JSON lines, relative to the configuration. Of a file that is trained on, only what comes after training counts."""
    label: str | None = None
    """The column that says which readings are anomalous: 0, 1, true or false; None: `anomaly`, if there is one."""
    failure: datetime | None = None
    """When the machine failed; without an offset it is UTC."""
    normal_until: datetime | None = None
    """Without labels: until then the machine was normal, and an alarm false."""


@dataclass(frozen=True, slots=True)
class Card:
    """What only people know, for the report's model card."""

    purpose: str = ""
    """What the detector is for, and for whom."""
    data_licence: str = ""
    """Under which licence the readings may be used."""
    contact: str = ""
    """Whom to ask."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything `anomalite train` needs to know."""

    name: str
    """What the detector is called; also the run directory's and the bundle's name."""
    data: Data
    sampling: Sampling
    window: Window = field(default_factory=lambda: Window(8))
    model: Model | Auto = field(default_factory=lambda: LinearAutoencoder("linear_autoencoder"))
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
    operating: Operating | None = None
    """When the machine is in the state to learn; None: always."""
    sensors: Sensors = field(default_factory=Sensors)
    scaling: ScalingRule = field(default_factory=ScalingRule)
    fit: Fit = field(default_factory=Fit)
    score: ScoreRule = field(default_factory=ScoreRule)
    threshold: ThresholdRule = field(default_factory=PercentileRule)
    alarm: AlarmPolicy = field(default_factory=AlarmPolicy)
    evaluation: EvaluationData | None = None
    card: Card = field(default_factory=Card)
    quantize: QuantizeRule | None = None
    """Fine-tune an LSTM for int8 after fitting it; None does not."""
    export: ExportSettings = field(default_factory=ExportSettings)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(f"expected a name of letters, digits, '.', '_' and '-', got {self.name!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"expected a seed from 0 to {2**32 - 1}, got {self.seed}")
        for model in self.models or CANDIDATES[:1]:  # where the score rules out all, that of one says why
            check_estimates(model, self.window.length, self.score.last)
        families = [model.family for model in self.models]
        if self.quantize is not None and not all(family.startswith("lstm") for family in families):
            raise ValueError(f"expected [quantize] with a model that has LSTM layers, got {', '.join(families)}")
        if self.channels is not None:
            names = [channel.name for channel in self.channels]
            if not names or len(set(names)) != len(names) or self.data.time_column in names:
                raise ValueError(f"expected one or more channels with different names, got {names}")
            if self.operating is not None and self.waveform is None:  # whose features are more than these
                self.operating.check_channels(tuple(names))

    @property
    def models(self) -> tuple[Model, ...]:
        """The models to fit: one, or those that `auto` chooses from."""
        if not isinstance(self.model, Auto):
            return (self.model,)
        if self.model.candidates is not None:
            return self.model.candidates
        return tuple(model for model in CANDIDATES if self._fits(model))

    def _fits(self, model: Model) -> bool:
        try:
            check_estimates(model, self.window.length, self.score.last)
        except ValueError:
            return False
        return True


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
