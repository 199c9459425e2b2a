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
    is_input: bool = True
    """Whether the model is given the channel itself; false: only what is derived from it."""

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
class Derived:
    """Inputs of the model that are calculated from the readings so far; see `derive.py`."""

    kind: Literal[
        "difference", "rate", "rolling_mean", "rolling_std", "rolling_skewness", "rolling_kurtosis", "time_of_day"
    ]
    """`difference` from the last reading, and the same a second (`rate`); moments of the last `length` readings
    (`rolling_...`); sine and cosine of the UTC `time_of_day`."""
    channel: str | None = None
    """What it is derived from; none for `time_of_day`."""
    length: int | None = None
    """Readings in a `rolling_...` moment, the newest included; none for the other kinds."""

    def __post_init__(self) -> None:
        if (self.channel is None) != (self.kind == "time_of_day"):
            expected = "no channel" if self.channel is not None else "a channel"
            raise ValueError(f"expected {expected} for {self.kind}, got {self.channel!r}")
        if not self.kind.startswith("rolling_"):
            if self.length is not None:
                raise ValueError(f"expected no length for {self.kind}, got {self.length}")
        elif self.length is None or not 2 <= self.length <= 100_000:
            raise ValueError(f"expected a length from 2 to 100000 for {self.kind}, got {self.length}")

    @property
    def names(self) -> tuple[str, ...]:
        """What its inputs are called."""
        if self.channel is None:
            return f"{self.kind}.sin", f"{self.kind}.cos"
        return (f"{self.channel}.{self.kind}{'' if self.length is None else f'_{self.length}'}",)

    @property
    def warm_up(self) -> int:
        """How many readings pass before its first value."""
        return 0 if self.channel is None else (self.length or 2) - 1


@dataclass(frozen=True)
class Scaling:
    """The fitted scaling: `(value - center) / scale` for each input of the model."""

    kind: Literal["standard", "min_max", "robust"]
    """How it was fitted; see `scale.py`."""
    center: tuple[float, ...]
    """One number an input, in its unit."""
    scale: tuple[float, ...]
    """One positive number an input, in its unit."""
    clip: float | None = None
    """Scaled values are limited to this size, above zero; None leaves them as they are."""

    def __post_init__(self) -> None:
        check_clip(self.clip)
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
    derived: tuple[Derived, ...] = ()

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model's inputs, F of them, in order: the channels it is given, then what is derived.

        Raises `ValueError` if there is none, two have one name, or one is derived from no channel.
        """
        channels = [channel.name for channel in self.channels]
        for each in self.derived:
            if each.channel is not None and each.channel not in channels:
                raise ValueError(f"expected {each.kind} of one of the channels {channels}, got {each.channel!r}")
        kept = [channel.name for channel in self.channels if channel.is_input]
        names = (*kept, *(name for each in self.derived for name in each.names))
        if not names or len({*names, *channels}) != len(names) + len(channels) - len(kept):
            raise ValueError(f"expected one or more inputs of the model with different names, got {list(names)}")
        return names

    @property
    def readings_needed(self) -> int:
        """How many readings in a row it takes until the first is scored: T, and those that pass before a derived value."""
        return self.window.length + max((each.warm_up for each in self.derived), default=0)


def check_clip(clip: float | None) -> None:
    """Raise `ValueError` unless scaled values can be limited to `clip`."""
    if clip is not None and not clip > 0:
        raise ValueError(f"expected a clip above 0, got {clip:g}")
