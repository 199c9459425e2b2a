"""Made-up sensor and machine faults, for readings that are certainly not normal.

They serve to compare models where it matters (the choice of a family, parity, tests); they are no substitute for recorded
faults. A fault is of one of the usual three kinds of anomaly (Chandola et al., "Anomaly detection: a survey", 2009, section 2.2):

- point: one reading is odd by itself;
- contextual: the values are normal, but not at this time or not with the other channels' values;
- collective: the readings are odd together, each of them need not be.

The faults of sensors are those of Ni et al., "Sensor network data fault types" (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError

Series = npt.NDArray[np.float64]
Change = Callable[[Series, int, int, float, np.random.Generator], Series]
"""(one channel's readings (N,), first faulty one, first normal one after, size in the channel's unit, random numbers) -> what
the faulty readings become (stop - start,)."""
FaultKind = Literal["point", "contextual", "collective"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which readings are not normal."""

    kind: FaultKind
    change: Change
    one_reading: bool = False
    """Whether it lasts one reading, however long a fault is asked for."""
    vanishes: bool = True
    """Whether a fault of size 0 changes nothing."""
    fewest_channels: int = 1
    """How many channels readings must have for this to be a fault at all."""

    def __call__(
        self, series: Series, onset: int, size: float, rng: np.random.Generator, stop: int | None = None
    ) -> Series:
        """A copy of one channel's readings (N,) that are faulty from `onset` to before `stop` (None: to the end).

        `size` is in the channel's unit and may be negative. A missing reading (NaN) stays missing.
        """
        stop = onset + 1 if self.one_reading else len(series) if stop is None else stop
        faulty: Series = np.array(series, np.float64)
        if np.isfinite(series[onset:stop]).any():
            changed = self.change(series, onset, stop, size, rng)
            faulty[onset:stop] = np.where(np.isnan(series[onset:stop]), np.nan, changed)
        return faulty


def _spike(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """A single reading is off by `size`: an impact, or a transmission error."""
    return series[start:stop] + size


def _out_of_place(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """Each reading is moved by `size` towards the farther end of the channel's range, and never beyond it: normal at another time."""
    low, high = np.nanmin(series), np.nanmax(series)
    here = series[start:stop]
    return np.where(here <= (low + high) / 2, np.minimum(here + abs(size), high), np.maximum(here - abs(size), low))


def _lost_season(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The swing dies out: each reading is drawn by up to `size` towards the mean of the time around, and at most onto it."""
    around = series[max(0, 2 * start - stop) : 2 * stop - start]
    swing = series[start:stop] - np.nanmean(around)
    return np.asarray(series[start:stop] - np.clip(swing, -abs(size), abs(size)))


def _broken_correlation(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The channel's readings of another time, whatever the `size`: normal by themselves, but not with the other channels'.

    The other time does not overlap this one if there are enough readings; what runs over the end goes on at the beginning.
    """
    count, length = len(series), stop - start
    least = length if count >= 2 * length else 1
    shift = int(rng.integers(least, max(least, count - least) + 1))
    elsewhere = series[(np.arange(start, stop) + shift) % count]
    return np.where(np.isnan(elsewhere), series[start:stop], elsewhere)


def _level_shift(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """Every reading is off by `size`: a slipped sensor, another load."""
    return series[start:stop] + size


def _drift(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The readings move away evenly, by `size` at the last one: wear, fouling."""
    return series[start:stop] + size * (np.arange(1, stop - start + 1) / (stop - start))


def _noise(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The readings scatter, with a standard deviation of `size`: a loose contact, interference."""
    return series[start:stop] + rng.normal(0, abs(size), stop)[start:]


def _stuck(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The sensor repeats one value, `size` away from the reading it stopped at: a dead sensor."""
    here = series[start:stop]
    return np.full(stop - start, here[np.isfinite(here)][0] + size)


def _dropped(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """The first reading and about half of the others fall to one value, `size` below the lowest of the channel: a broken contact."""
    falls = rng.random(stop - start) < 0.5
    falls[np.flatnonzero(np.isfinite(series[start:stop]))[0]] = True
    return np.where(falls, np.nanmin(series) - abs(size), series[start:stop])


def _clipped(series: Series, start: int, stop: int, size: float, rng: np.random.Generator) -> Series:
    """Nothing is seen above a level `size` below the highest of these readings (`size` negative: below one above the lowest)."""
    here = series[start:stop]
    if size < 0:
        return np.maximum(here, np.nanmin(here) - size)
    return np.minimum(here, np.nanmax(here) - size)


FAULTS: dict[str, Fault] = {
    "spike": Fault("point", _spike, one_reading=True),
    "out_of_place": Fault("contextual", _out_of_place),
    "lost_season": Fault("contextual", _lost_season),
    "broken_correlation": Fault("contextual", _broken_correlation, vanishes=False, fewest_channels=2),
    "level_shift": Fault("collective", _level_shift),
    "drift": Fault("collective", _drift),
    "noise": Fault("collective", _noise),
    "stuck": Fault("collective", _stuck, vanishes=False),
    "dropped": Fault("collective", _dropped, vanishes=False),
    "clipped": Fault("collective", _clipped),
}
"""Every fault by its name."""

IN_WINDOWS = ("spike", "level_shift", "drift", "noise", "stuck")
"""The faults that take turns in single windows: those that move readings by as much as they are told to, whatever a window holds."""


def faults_for(channels: int) -> tuple[str, ...]:
    """The names of the faults that readings of so many channels can have."""
    return tuple(name for name, fault in FAULTS.items() if fault.fewest_channels <= channels)


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault in a stream of readings."""

    fault: str
    """One of `FAULTS`."""
    channel: int
    start: int
    """The row of its first reading."""
    stop: int
    """The row after its last reading."""
    size: float
    """In the channel's unit, with its sign."""


@dataclass(frozen=True, slots=True)
class FaultyStream:
    """Normal readings with faults, and where they are."""

    values: npt.NDArray[np.float64]
    """(N, C) in the channels' units."""
    faults: tuple[Injected, ...]
    """In order of time."""

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """(N,): whether a fault is at work in this row. A reading that was missing is missing, not faulty."""
        return np.asarray(self.channel_labels.any(axis=1))

    @property
    def channel_labels(self) -> npt.NDArray[np.bool_]:
        """(N, C): the same for each channel."""
        labels = np.zeros(self.values.shape, np.bool_)
        for each in self.faults:
            labels[each.start : each.stop, each.channel] = True
        return labels & ~np.isnan(self.values)


def inject(
    values: npt.ArrayLike,
    spread: npt.ArrayLike,
    rng: np.random.Generator,
    fault: str | None = None,
    *,
    size: float | tuple[float, float] = 3.0,
    duration: int = 1,
    between: int = 1,
) -> FaultyStream:
    """Put faults into normal readings (N, C): as many as there is room for, each in one channel.

    `spread` (C,) is each channel's normal spread in its unit; a channel whose spread is 0 is left alone. `fault` is one of
    `FAULTS` (None: those that C channels can have take turns). `size` is in spreads, or drawn between two numbers for each;
    its sign is drawn. A fault lasts `duration` readings, and before, between and after the faults there are at least `between`
    normal ones. The same numbers from `rng` give the same stream. Raises `TrainingError` if there is no room for one fault, or
    no channel for it.
    """
    normal = np.asarray(values, np.float64)
    rows, channels = normal.shape
    spreads = np.asarray(spread, np.float64)
    usable = np.flatnonzero(spreads > 0)
    names = faults_for(channels) if fault is None else (fault,)
    if not len(usable) or names[0] not in faults_for(channels):
        raise TrainingError(f"expected channels for the fault {names[0]}, got {channels}, {len(usable)} of which vary")
    count = (rows - between) // (duration + between)
    if count < 1:
        raise TrainingError(f"expected at least {duration + 2 * between} rows for one fault, got {rows}")
    slack = rows - between - count * (duration + between)
    starts = between + np.arange(count) * (duration + between) + np.sort(rng.integers(slack + 1, size=count))
    where = usable[rng.integers(len(usable), size=count)]
    least, most = size if isinstance(size, tuple) else (size, size)
    sizes = rng.uniform(least, most, count) * rng.choice((-1, 1), count) * spreads[where]
    faulty = normal.copy()
    injected = []
    for i, (start, channel, amount) in enumerate(zip(starts.tolist(), where.tolist(), sizes.tolist(), strict=True)):
        name = names[i % len(names)]
        stop = start + (1 if FAULTS[name].one_reading else duration)
        # From the normal readings: another time's are to be normal ones, whatever was injected there.
        faulty[start:stop, channel] = FAULTS[name](normal[:, channel], start, amount, rng, stop)[start:stop]
        injected.append(Injected(name, channel, start, stop, amount))
    return FaultyStream(faulty, tuple(injected))


def disturb(
    windows: npt.NDArray[np.float64], spread: npt.ArrayLike, rng: np.random.Generator, fault: str | None = None
) -> npt.NDArray[np.float64]:
    """A copy of `windows` (B, T, C), in the channels' units, with one fault in one channel of each.

    `spread` (C,) is each channel's normal spread in its unit. Those of `IN_WINDOWS` take turns, unless one is named.
    Channel, sign and onset (anywhere in the window) are drawn from `rng`, and the size between 1 and 10 spreads.
    """
    names = IN_WINDOWS if fault is None else (fault,)
    disturbed: npt.NDArray[np.float64] = np.array(windows, np.float64)
    count, length, channels = map(int, disturbed.shape)
    onsets = rng.integers(length, size=count)
    where = rng.integers(channels, size=count)
    sizes = rng.uniform(1, 10, count) * rng.choice((-1, 1), count) * np.asarray(spread, np.float64)[where]
    for i, (onset, channel, size) in enumerate(zip(onsets, where, sizes.tolist(), strict=True)):
        series = disturbed[i, :, channel]
        disturbed[i, :, channel] = FAULTS[names[i % len(names)]](series, int(onset), size, rng)
    return disturbed
