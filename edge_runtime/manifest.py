"""The typed description of a detector: what a bundle says about itself.

`manifest.json` decodes into `Manifest` strictly (see `schema.py`). Several of these classes are also
sections of a training configuration, so what a user writes there is what the device reads later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FORMAT = 1
"""The newest bundle format this version reads, and the one it writes."""


@dataclass(frozen=True)
class Channel:
    """One measured quantity, one column of a table of readings."""

    name: str
    """The column's name."""
    unit: str = ""
    """For people: "g", "degC", "bar"."""
    low: float | None = None
    """Readings below this are `out_of_range` (in the channel's unit)."""
    high: float | None = None
    """Readings above this are `out_of_range` (in the channel's unit)."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("expected a channel name, got an empty one")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"expected low below high, got {self.low} and {self.high}")


@dataclass(frozen=True)
class Sampling:
    """When readings are expected."""

    period_s: float
    """Seconds from one reading to the next."""
    longest_gap_s: float
    """A longer silence restarts the window."""

    def __post_init__(self) -> None:
        if not 0 < self.period_s <= self.longest_gap_s:
            raise ValueError(f"expected 0 < period_s <= longest_gap_s, got {self.period_s} and {self.longest_gap_s}")


@dataclass(frozen=True)
class Cleaning:
    """What becomes of missing values."""

    hold_limit: int = 2
    """A missing value takes the channel's last one for at most this many readings in a row; then the window restarts."""

    def __post_init__(self) -> None:
        if not 0 <= self.hold_limit <= 1_000_000:
            raise ValueError(f"expected hold_limit from 0 to 1000000, got {self.hold_limit}")


@dataclass(frozen=True)
class Scaling:
    """The fitted scaling: `(value - center) / scale` for each channel."""

    kind: Literal["standard", "min_max", "robust"]
    """How it was fitted; see `scale.py`."""
    center: tuple[float, ...]
    """One number a channel, in the channel's unit."""
    scale: tuple[float, ...]
    """One positive number a channel, in the channel's unit."""

    def __post_init__(self) -> None:
        if any(not scale > 0 for scale in self.scale):
            raise ValueError(f"expected scales above zero, got {list(self.scale)}")


@dataclass(frozen=True)
class Window:
    """How many readings the model sees at once."""

    length: int
    """Readings in one window, T."""

    def __post_init__(self) -> None:
        if not 2 <= self.length <= 100_000:
            raise ValueError(f"expected a window length from 2 to 100000, got {self.length}")


@dataclass(frozen=True)
class Score:
    """How a reconstruction becomes one number."""

    kind: Literal["mae", "mse"] = "mae"
    """Mean absolute or mean squared error, in scaled units."""
    last: int | None = None
    """Only the window's last so many steps; None means all of them."""

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ValueError(f"expected last of at least 1, got {self.last}")


@dataclass(frozen=True)
class Threshold:
    """The score above which a reading is anomalous, and the rule it came from."""

    kind: Literal["percentile"]
    """Percentile of held-out normal scores times a factor."""
    percentile: float
    """0 to 100."""
    factor: float
    """The percentile is multiplied by this."""
    value: float
    """The threshold itself, in units of the score."""

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise ValueError(f"expected a threshold above zero, got {self.value}")


@dataclass(frozen=True)
class AlarmPolicy:
    """When anomalous readings become an alarm, and when it ends; see `alarm.py`."""

    k: int = 1
    """This many of the last `n` scores above the enter level raise the alarm."""
    n: int = 1
    """How many scores are looked at; also how many in a row below the exit level clear the alarm (1 to 62)."""
    enter: float = 1.0
    """The enter level, as a multiple of the threshold."""
    exit: float = 0.9
    """The exit level, as a multiple of the threshold; at most `enter`."""
    cooldown_s: float = 0.0
    """No new alarm for so many seconds after one cleared."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= 62:
            raise ValueError(f"expected 1 <= k <= n <= 62, got k = {self.k} and n = {self.n}")
        if not 0 < self.exit <= self.enter:
            raise ValueError(f"expected 0 < exit <= enter, got {self.exit} and {self.enter}")
        if self.cooldown_s < 0:
            raise ValueError(f"expected cooldown_s of 0 or more, got {self.cooldown_s}")


@dataclass(frozen=True)
class ParityCheck:
    """How far a variant, read back from a sealed file, is from the trained model on one set of windows."""

    windows: int
    """How many windows were compared."""
    reconstruction: float
    """The largest difference of a reconstructed value, relative to the largest one (at least 1 scaled unit)."""
    score: float
    """The largest difference of a score, relative to the trained model's."""
    flipped: int
    """How many windows were decided differently."""


@dataclass(frozen=True)
class Variant:
    """The same model in one format that some engine runs."""

    name: str
    """`FORMAT-PRECISION`: tflite-float32, tflite-int8, onnx-float32, numpy-float32."""
    file: str
    """The member of the bundle that holds it."""
    engines: tuple[str, ...]
    """The engines that run it."""
    sha256: str
    """Of the member, 64 lower-case hexadecimal digits."""
    size: int
    """Of the member, in bytes."""
    tolerance: float
    """The largest relative difference of a golden score that `verify` accepts on another machine."""
    parity: dict[str, ParityCheck] = field(default_factory=dict)
    """The parity record it passed, by set of windows: normal, disturbed, near_threshold."""


@dataclass(frozen=True)
class Golden:
    """The golden readings: a recorded stream with the verdicts it must produce."""

    file: str
    """The member of the bundle that holds them."""
    sha256: str
    """Of the member."""
    size: int
    """Of the member, in bytes."""


@dataclass(frozen=True)
class Provenance:
    """Where the detector comes from."""

    trained_at: str
    """ISO 8601, UTC."""
    seed: int
    """The seed of every random number in training."""
    data_sha256: dict[str, str]
    """Each file the model was trained on, with its hash."""
    trained_from: str
    """First reading the model was fitted to, ISO 8601."""
    trained_to: str
    """Last reading of the calibration part, ISO 8601."""
    versions: dict[str, str]
    """Python and library versions."""
    metrics: dict[str, float]
    """Training metrics: windows, epochs, seconds, losses."""


@dataclass(frozen=True)
class Manifest:
    """Everything a device needs to know to turn readings into alerts with this bundle."""

    format: int
    """The bundle format's version."""
    name: str
    """What the detector is called."""
    family: str
    """The model family: lstm_autoencoder, dense_autoencoder."""
    parameters: int
    """How many trained numbers the model has."""
    time_column: str
    """The column of a table that holds the time."""
    channels: tuple[Channel, ...]
    """In the order of the model's inputs."""
    sampling: Sampling
    cleaning: Cleaning
    scaling: Scaling
    window: Window
    score: Score
    threshold: Threshold
    alarm: AlarmPolicy
    calibration: dict[str, float]
    """Quantiles of the held-out normal scores, by percentile ("50", "99")."""
    provenance: Provenance
    variants: tuple[Variant, ...] = ()
    golden: Golden | None = None

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if not names or len(set(names)) != len(names) or self.time_column in names:
            raise ValueError(f"expected one or more channels with different names, got {names}")
        files = [variant.file for variant in self.variants] + ([] if self.golden is None else [self.golden.file])
        variants = [variant.name for variant in self.variants]
        if len(set(files)) != len(files) or len(set(variants)) != len(variants):
            raise ValueError(f"expected variants with different names and files, got {variants} in {files}")
        for key, numbers in (("center", self.scaling.center), ("scale", self.scaling.scale)):
            if len(numbers) != len(names):
                raise ValueError(f"expected {len(names)} numbers in scaling.{key}, got {len(numbers)}")
        if self.score.last is not None and self.score.last > self.window.length:
            raise ValueError(f"expected score.last of at most {self.window.length} (the window), got {self.score.last}")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels' names, in the order of the model's inputs."""
        return tuple(channel.name for channel in self.channels)
