"""The sections of a manifest that say how readings become windows."""

from typing import Literal, NamedTuple

from edge_runtime.record import Record


class Channel(Record):
    """One measured quantity, one column of a table of readings."""

    name: str
    """The column's name."""
    unit: str = ""
    """For people: "g", "degC", "bar"."""
    low: float | None = None
    """Readings below this are `out_of_range` (in the channel's unit)."""
    high: float | None = None
    """Readings above this are `out_of_range` (in the channel's unit)."""
    max_rate: float | None = None
    """A faster change, in the channel's unit a second, is impossible: the reading is `out_of_range`."""
    stuck_after: int | None = None
    """This many readings in a row with exactly the same value are a `sensor_fault`; None: any number is fine."""
    rail_low: float | None = None
    """The least value the sensor can say: at it, or below, the sensor is saturated (in the channel's unit)."""
    rail_high: float | None = None
    """The greatest value the sensor can say: at it, or above, the sensor is saturated (in the channel's unit)."""
    saturated_after: int = 3
    """This many readings in a row at a rail are a `sensor_fault`."""
    is_input: bool = True
    """Whether the model is given the channel itself; false: only what is derived from it."""
    resolution: float | None = None
    """The smallest difference that means anything, in the channel's unit: its fitted scale is never below it."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("expected a channel name, got an empty one")
        if self.resolution is not None and not self.resolution > 0:
            raise ValueError(f"expected a resolution above zero, got {self.resolution:g}")
        if self.max_rate is not None and not self.max_rate > 0:
            raise ValueError(f"expected max_rate above zero, got {self.max_rate:g}")
        if self.stuck_after is not None and self.stuck_after < 2:
            raise ValueError(f"expected stuck_after of at least 2, got {self.stuck_after}")
        if self.saturated_after < 1:
            raise ValueError(f"expected saturated_after of at least 1, got {self.saturated_after}")
        if self.rail_low is not None and self.rail_high is not None and not self.rail_low < self.rail_high:
            raise ValueError(f"expected rail_low below rail_high, got {self.rail_low} and {self.rail_high}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"expected low below high, got {self.low} and {self.high}")

    @property
    def is_watched(self) -> bool:
        """Whether it says when its sensor is stuck or saturated."""
        return (self.stuck_after, self.rail_low, self.rail_high) != (None, None, None)


class Grid(Record):
    """How irregular readings become one row each sampling period; see `grid.py`."""

    value: Literal["last", "mean"] = "last"
    """What several readings of a period become: the newest of them, or their mean."""
    max_delay_s: float = 0.0
    """A period waits for late readings until one arrives that is so many seconds after its end; at most one period."""
    duplicate: Literal["first", "last", "mean"] = "last"
    """Which of several values of a channel with the same time counts; for `mean` all of them do."""


class Sampling(Record):
    """When readings are expected."""

    period_s: float
    """Seconds from one reading to the next."""
    longest_gap_s: float
    """A longer silence restarts the window."""
    grid: Grid | None = None
    """None: readings are taken as they come; one that is not later than the last changes nothing."""

    def __post_init__(self) -> None:
        if not 0 < self.period_s <= self.longest_gap_s:
            raise ValueError(f"expected 0 < period_s <= longest_gap_s, got {self.period_s} and {self.longest_gap_s}")
        if self.grid is None:
            return
        if not 1e-6 <= self.period_s <= 1e9:
            raise ValueError(f"expected a grid's period_s from 1e-6 to 1e9, got {self.period_s:g}")
        if not 0 <= self.grid.max_delay_s <= self.period_s:
            raise ValueError(
                f"expected max_delay_s from 0 to period_s, {self.period_s:g}, got {self.grid.max_delay_s:g}"
            )


class Cleaning(Record):
    """What becomes of missing values."""

    hold_limit: int = 2
    """A missing value is filled in for at most this many readings in a row; then the window restarts."""
    missing: Literal["hold", "median"] = "hold"
    """What is filled in: the channel's last value, or its median in training."""
    medians: tuple[float, ...] | None = None
    """For `median`: one number a channel, in the channel's unit; found in training."""

    def __post_init__(self) -> None:
        if self.medians is not None and self.missing != "median":
            raise ValueError(
                f"expected medians where missing values are filled with the median only, got {self.missing}"
            )
        if not 0 <= self.hold_limit <= 1_000_000:
            raise ValueError(f"expected hold_limit from 0 to 1000000, got {self.hold_limit}")


class Sensors(Record):
    """Which faults of sensors are told apart from what happens to the machine; each channel has its own limits too."""

    silent: bool = True
    """A channel missing for more than `hold_limit` readings while others speak is a `sensor_fault`; false: it is a `gap`."""
    stuck_factor: float | None = None
    """In training, `stuck_after` of channels without one becomes so many times their longest repeat in normal readings."""

    def __post_init__(self) -> None:
        if self.stuck_factor is not None and not 1 < self.stuck_factor <= 1e6:
            raise ValueError(f"expected stuck_factor above 1 and at most 1e6, got {self.stuck_factor:g}")


class Operating(Record):
    """When the machine is in the state the model knows; see `operating.py`. Outside of it readings are `off`."""

    when: str
    """The machine switches on where this rule holds: `current > 0.5 and speed >= 100`; see `rule.py`."""
    until: str | None = None
    """It switches off where this one holds; None: where `when` does not hold."""
    settle_s: float = 0.0
    """For so many seconds after it switched on the machine is not yet in the known state."""

    def __post_init__(self) -> None:
        self._channels_by_rule()
        if not 0 <= self.settle_s <= 1e9:
            raise ValueError(f"expected settle_s from 0 to 1e9, got {self.settle_s:g}")

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the rules look at, each once."""
        return tuple(dict.fromkeys(name for names in self._channels_by_rule().values() for name in names))

    def check_channels(self, known: tuple[str, ...]) -> None:
        """Raise `ValueError` if a rule names a channel that is not known."""
        for key, names in self._channels_by_rule().items():
            for name in names:
                if name not in known:
                    raise ValueError(f"operating.{key}: unknown channel {name!r}, known: {', '.join(known)}")

    def _channels_by_rule(self) -> dict[str, tuple[str, ...]]:
        from edge_runtime.rule import channels_of, parse_rule  # at start only where there is a rule

        rules = {"when": self.when, "until": self.until}
        return {key: channels_of(parse_rule(text)) for key, text in rules.items() if text is not None}


class Derived(Record):
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
    harmonics: int = 1
    """Of `time_of_day`: sine and cosine of once to so many times a day; 1 for the other kinds."""

    def __post_init__(self) -> None:
        if (self.channel is None) != (self.kind == "time_of_day"):
            expected = "no channel" if self.channel is not None else "a channel"
            raise ValueError(f"expected {expected} for {self.kind}, got {self.channel!r}")
        if not self.kind.startswith("rolling_"):
            if self.length is not None:
                raise ValueError(f"expected no length for {self.kind}, got {self.length}")
        elif self.length is None or not 2 <= self.length <= 100_000:
            raise ValueError(f"expected a length from 2 to 100000 for {self.kind}, got {self.length}")
        if not 1 <= self.harmonics <= (24 if self.kind == "time_of_day" else 1):
            expected = "harmonics from 1 to 24" if self.kind == "time_of_day" else "no harmonics"
            raise ValueError(f"expected {expected} for {self.kind}, got {self.harmonics}")

    @property
    def names(self) -> tuple[str, ...]:
        """What its inputs are called."""
        if self.channel is None:
            numbers = ("",) if self.harmonics == 1 else tuple(f"_{times}" for times in range(1, self.harmonics + 1))
            return tuple(f"{self.kind}.{wave}{number}" for number in numbers for wave in ("sin", "cos"))
        return (f"{self.channel}.{self.kind}{'' if self.length is None else f'_{self.length}'}",)

    @property
    def warm_up(self) -> int:
        """How many readings pass before its first value."""
        return 0 if self.channel is None else (self.length or 2) - 1


class Scaling(Record):
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


class Window(Record):
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
    operating: Operating | None = None
    sensors: Sensors | None = None
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
