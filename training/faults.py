"""Made-up sensor and machine faults, for windows that are certainly not normal.

They serve to compare models where it matters (parity, tests); they are no substitute for recorded faults. The kinds are the
usual ones of the literature on sensor faults (Ni et al., "Sensor network data fault types", 2009).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
Fault = Callable[[Series, int, float, np.random.Generator], Series]
"""(one channel's readings (T,), the step the fault begins at, its size in the channel's unit, random numbers) -> (T,)."""


def spike(series: Series, onset: int, size: float, rng: np.random.Generator) -> Series:
    """A single reading is off by `size`: an impact, or a transmission error."""
    return series + np.where(np.arange(len(series)) == onset, size, 0.0)


def level_shift(series: Series, onset: int, size: float, rng: np.random.Generator) -> Series:
    """Everything from the onset on is off by `size`: a slipped sensor, another load."""
    return series + np.where(np.arange(len(series)) >= onset, size, 0.0)


def drift(series: Series, onset: int, size: float, rng: np.random.Generator) -> Series:
    """The readings move away evenly from the onset on, by `size` at the window's end: wear, fouling."""
    steps = np.arange(len(series)) - onset + 1
    return series + size * np.clip(steps / (len(series) - onset), 0, 1)


def noise(series: Series, onset: int, size: float, rng: np.random.Generator) -> Series:
    """From the onset on the readings scatter, with a standard deviation of `size`: a loose contact, interference."""
    scatter = rng.normal(0, abs(size), len(series))
    return series + np.where(np.arange(len(series)) >= onset, scatter, 0.0)


def stuck(series: Series, onset: int, size: float, rng: np.random.Generator) -> Series:
    """From the onset on the sensor repeats one value, `size` away from the reading it stopped at: a dead sensor."""
    return np.where(np.arange(len(series)) >= onset, series[onset] + size, series)


FAULTS: dict[str, Fault] = {
    "spike": spike,
    "level_shift": level_shift,
    "drift": drift,
    "noise": noise,
    "stuck": stuck,
}
"""Every fault by its name."""


def disturb(
    windows: npt.NDArray[np.float64], spread: npt.ArrayLike, rng: np.random.Generator, fault: str | None = None
) -> npt.NDArray[np.float64]:
    """A copy of `windows` (B, T, C), in the channels' units, with one fault in one channel of each.

    `spread` (C,) is each channel's normal spread in its unit. The faults take turns, unless one is named. Channel, sign and
    onset (anywhere in the window) are drawn from `rng`, and the size between 1 and 10 spreads.
    """
    names = list(FAULTS) if fault is None else [fault]
    disturbed: npt.NDArray[np.float64] = np.array(windows, np.float64)
    count, length, channels = map(int, disturbed.shape)
    onsets = rng.integers(length, size=count)
    where = rng.integers(channels, size=count)
    sizes = rng.uniform(1, 10, count) * rng.choice((-1, 1), count) * np.asarray(spread, np.float64)[where]
    for i, (onset, channel, size) in enumerate(zip(onsets, where, sizes.tolist(), strict=True)):
        inject = FAULTS[names[i % len(names)]]
        disturbed[i, :, channel] = inject(disturbed[i, :, channel], int(onset), size, rng)
    return disturbed
