"""The section of a manifest that says how a snapshot of raw samples becomes one reading."""

from typing import Literal

from edge_runtime.manifest_preparation import Channel
from edge_runtime.record import Record

_POWERS = {"mean_abs": 1, "rms": 1, "peak": 1, "crest_factor": 0, "kurtosis": 0, "skewness": 0}
"""Each feature's unit, as a power of the raw channel's; the others are in Hz."""


class Waveform(Record):
    """Which features of a snapshot (N, C) of raw samples are the channels; see `features.py`."""

    sample_rate_hz: float
    """Samples a second."""
    length: int
    """Samples in one snapshot, N."""
    channels: dict[str, str]
    """The raw channels in order, C of them, each with its unit."""
    window: Literal["hann", "rectangular"] = "hann"
    """The window function in front of the Fourier transform."""
    features: tuple[
        Literal["mean_abs", "rms", "peak", "crest_factor", "kurtosis", "skewness", "spectral_centroid"], ...
    ] = ("mean_abs", "rms", "peak", "crest_factor", "kurtosis", "skewness")
    """Calculated of every raw channel."""
    bands: tuple[tuple[float, ...], ...] = ()
    """`[low, high]` in Hz: the energy in each band is one more feature. `low` belongs to a band, `high` does not, unless it is
    half the sample rate."""

    def __post_init__(self) -> None:
        if not self.sample_rate_hz > 0:
            raise ValueError(f"expected a sample_rate_hz above 0, got {self.sample_rate_hz:g}")
        if not 8 <= self.length <= 10_000_000:
            raise ValueError(f"expected a length from 8 to 10000000 samples, got {self.length}")
        if not self.channels or not all(self.channels):
            raise ValueError(f"expected one or more raw channels with names, got {list(self.channels)}")
        repeated = len(set(self.features)) != len(self.features) or len(set(self.bands)) != len(self.bands)
        if repeated or not (self.features or self.bands):
            raise ValueError(f"expected features or bands, each once, got {list(self.features)} and {list(self.bands)}")
        highest = self.sample_rate_hz / 2
        for band in self.bands:
            if len(band) != 2 or not 0 <= band[0] < band[1] <= highest:
                raise ValueError(
                    f"expected a band [low, high] with 0 <= low < high <= {highest:g} Hz, got {list(band)}"
                )
            if not self.bins(band):
                step = self.sample_rate_hz / self.length
                raise ValueError(
                    f"expected a band that holds a multiple of {step:g} Hz, the resolution of {self.length} samples, "
                    f"got {list(band)}"
                )
        names = [channel.name for channel in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"expected raw channels whose features have different names, got {list(self.channels)}")

    def bins(self, band: tuple[float, ...]) -> range:
        """The frequencies in a band, as multiples of the resolution: positions in the real Fourier transform."""
        low, high = (-int(-edge * self.length // self.sample_rate_hz) for edge in band)  # rounded up
        return range(low, self.length // 2 + 1 if band[1] >= self.sample_rate_hz / 2 else high)

    @property
    def columns(self) -> tuple[Channel, ...]:
        """The channels that the features are, in order: each feature of all raw channels, then each band."""
        columns = []
        for feature in self.features:
            for name, unit in self.channels.items():
                own = unit if _POWERS.get(feature) else "1"
                columns.append(Channel(f"{feature}_{name}", own if feature in _POWERS else "Hz"))
        for low, high in self.bands:
            for name, unit in self.channels.items():
                square = f"{unit}^2" if unit.isalpha() or not unit else f"({unit})^2"
                columns.append(Channel(f"band_{low:g}_{high:g}_{name}", square if unit else ""))
        return tuple(columns)
