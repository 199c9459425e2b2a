"""The sections of a manifest that say how readings become windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


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


class PreparationSections(NamedTuple):
    """All that `prepare.Preparation` needs to know; a manifest has it, and so has a configuration once the scaling is fitted."""

    channels: tuple[Channel, ...]
    """The measured quantities, the columns of a table of readings, C of them."""
    sampling: Sampling
    cleaning: Cleaning
    scaling: Scaling
    """Of the model's inputs, F of them."""
    window: Window

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model's inputs, F of them, in order."""
        return tuple(channel.name for channel in self.channels)
