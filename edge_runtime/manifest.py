"""The typed description of a detector: what a bundle says about itself.

`manifest.json` decodes into `Manifest` strictly (see `schema.py`). Several of these classes are also
sections of a training configuration, so what a user writes there is what the device reads later.
"""

from typing import Self

from edge_runtime.manifest_decision import AlarmPolicy, Score
from edge_runtime.manifest_preparation import (
    Channel,
    Cleaning,
    Derived,
    Grid,
    Operating,
    PreparationSections,
    Sampling,
    Scaling,
    Sensors,
    Window,
)
from edge_runtime.manifest_threshold import (
    BudgetThreshold,
    FalseAlarms,
    IQRThreshold,
    MovingQuantileThreshold,
    PercentileThreshold,
    SigmaThreshold,
    SpotThreshold,
    TailThreshold,
    Threshold,
)
from edge_runtime.manifest_variant import Golden, ParityCheck, Requires, Variant
from edge_runtime.manifest_waveform import Waveform
from edge_runtime.record import Record

__all__ = [
    "FORMAT",
    "AlarmPolicy",
    "BudgetThreshold",
    "Channel",
    "Cleaning",
    "Derived",
    "FalseAlarms",
    "Golden",
    "Grid",
    "IQRThreshold",
    "Manifest",
    "MovingQuantileThreshold",
    "Operating",
    "ParityCheck",
    "PercentileThreshold",
    "PreparationSections",
    "Provenance",
    "Requires",
    "Sampling",
    "Scaling",
    "Score",
    "Sensors",
    "SigmaThreshold",
    "SpotThreshold",
    "TailThreshold",
    "Threshold",
    "Variant",
    "Waveform",
    "Window",
]

FORMAT = 1
"""The newest bundle format this version reads, and the one it writes."""


class Provenance(Record):
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


class Manifest(Record):
    """Everything a device needs to know to turn readings into alerts with this bundle."""

    format: int
    """The bundle format's version."""
    name: str
    """What the detector is called."""
    family: str
    """The model family: lstm_autoencoder, lstm_forecaster, dense_autoencoder, conv_autoencoder or linear_autoencoder."""
    parameters: int
    """How many trained numbers the model has."""
    time_column: str
    """The column of a table that holds the time."""
    channels: tuple[Channel, ...]
    """The measured quantities, the columns of a table of readings, in order."""
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
    estimates: int | None = None
    """The model's output is its estimate of the window's last so many readings, K; None: of all T."""
    operating: Operating | None = None
    """None: the machine is always in the state the model knows."""
    sensors: Sensors | None = None
    """None: a silent sensor is a `gap`, as in the first bundles."""
    derived: tuple[Derived, ...] = ()
    """What the model is given beside the channels."""
    waveform: Waveform | None = None
    """How a snapshot of raw samples becomes a reading; its features are the channels."""
    variants: tuple[Variant, ...] = ()
    golden: Golden | None = None

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if not names or len(set(names)) != len(names) or self.time_column in names:
            raise ValueError(f"expected one or more channels with different names, got {names}")
        if self.waveform is not None and names != [channel.name for channel in self.waveform.columns]:
            raise ValueError(f"expected the waveform's features as channels, got {names}")
        self._check_variants()
        if self.operating is not None:
            self.operating.check_channels(self.channel_names)
        if self.cleaning.missing == "median" and len(self.cleaning.medians or ()) != len(names):
            got = "none" if self.cleaning.medians is None else len(self.cleaning.medians)
            raise ValueError(f"expected {len(names)} numbers in cleaning.medians, got {got}")
        inputs = len(self.input_names)
        for key, numbers in (("center", self.scaling.center), ("scale", self.scaling.scale)):
            if len(numbers) != inputs:
                raise ValueError(f"expected {inputs} numbers in scaling.{key}, got {len(numbers)}")
        if self.score.whitening is not None and len(self.score.whitening) != inputs:
            raise ValueError(f"expected {inputs} rows in score.whitening, got {len(self.score.whitening)}")
        if self.estimates is not None and not 1 <= self.estimates <= self.window.length:
            raise ValueError(f"expected estimates from 1 to {self.window.length} (the window), got {self.estimates}")
        if self.score.last is not None and self.score.last > self.output_shape[0]:
            raise ValueError(
                f"expected score.last of at most {self.output_shape[0]} (what the model estimates), got {self.score.last}"
            )

    def _check_variants(self) -> None:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"expected variants with different names, got {names}")
        ways = [(variant.file, variant.half) for variant in self.variants]
        if len(set(ways)) != len(ways):
            raise ValueError(f"expected each file once, or once in half precision too, got {ways}")
        if self.golden is not None and self.golden.file in [variant.file for variant in self.variants]:
            raise ValueError(f"expected the golden readings in a file of their own, got {self.golden.file}")
        adapts = isinstance(self.threshold, (MovingQuantileThreshold, SpotThreshold))
        for variant in self.variants:
            if adapts and variant.threshold is not None:
                raise ValueError(f"expected no threshold of the variant {variant.name}'s own beside one that adapts")

    def for_variant(self, variant: Variant) -> Self:
        """The manifest with the threshold that goes with the variant's scores."""
        if variant.threshold is None:
            return self
        return self.replaced(threshold=self.threshold.replaced(value=variant.threshold))

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The names of the measured channels, the columns of a table of readings, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def preparation(self) -> PreparationSections:
        """The sections that say how readings become windows."""
        return PreparationSections(
            self.channels,
            self.sampling,
            self.cleaning,
            self.scaling,
            self.window,
            operating=self.operating,
            sensors=self.sensors,
            derived=self.derived,
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model's inputs, F of them, in order: contributions go by them."""
        return self.preparation.input_names

    @property
    def window_shape(self) -> tuple[int, int]:
        """What the model is given: (T, F)."""
        return self.window.length, len(self.input_names)

    @property
    def output_shape(self) -> tuple[int, int]:
        """What the model answers: (K, F), its estimate of the window's last K readings."""
        return self.estimates or self.window.length, len(self.input_names)
