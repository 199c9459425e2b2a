"""Derived inputs: what the model is given beside the channels, calculated from the cleaned readings so far.

Difference and rate of change; mean, standard deviation, skewness and excess kurtosis of the last L readings (all divided by L: the
biased estimators); sine and cosine of the time of day and its harmonics. The moments are taken anew of the L readings each time, from their
deviations: running sums would lose all digits where a channel's level is large against its spread. A window without spread has
skewness 0 and excess kurtosis -3, which no other window has (the least is -2).

Only what entered the window counts, so a held value is one more reading, and after a restart everything begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import LARGEST_SCALED, NEVER, Columns, Machines, Remembers, read
from edge_runtime.manifest import Channel, Derived, Scaling

LARGEST_UNSCALED = 1e50
"""A value further than this from zero is out of range where the model is not given the channel, which then has no scaling."""

DAY = 86_400_000_000
"""Microseconds."""


class Derive(Remembers):
    """Derives the inputs of M machines' models."""

    def __init__(self, channels: Sequence[Channel], derived: Sequence[Derived], machines: int) -> None:
        position = {channel.name: index for index, channel in enumerate(channels)}
        self._kept = [index for index, channel in enumerate(channels) if channel.is_input]
        self._recipes = [(each.kind, position.get(each.channel or ""), each.length) for each in derived]
        self._harmonics = [each.harmonics for each in derived]
        self._warm_up = max((each.warm_up for each in derived), default=0)
        self._seen = np.zeros(machines, np.int64)  # readings since the restart
        self._changes = any(each.kind in ("difference", "rate") for each in derived)
        self._last = [np.zeros(machines) for _ in channels]
        self._last_time = np.full(machines, NEVER)
        self._rolling = {length: _Rolling(length, self._recipes, machines) for _, _, length in self._recipes if length}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says, but for the rolling windows."""
        arrays: dict[str, npt.NDArray[Any]] = {"seen": self._seen}
        if self._changes:
            arrays["last_time"] = self._last_time
            arrays |= {f"last_{index}": last for index, last in enumerate(self._last)}
        return arrays

    def remembered(self, machines: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        rings = {f"rolling_{length}": rolling.ring(machines) for length, rolling in self._rolling.items()}
        return super().remembered(machines) | rings

    def recall(self, machines: npt.NDArray[np.int64], remembered: dict[str, npt.NDArray[Any]]) -> None:
        """As `Remembers` says."""
        super().recall(machines, remembered)
        for length, rolling in self._rolling.items():
            rolling.refill(machines, remembered[f"rolling_{length}"])

    def restart(self, machine: Machines | slice) -> None:
        """Forget the machine's readings."""
        self._seen[machine] = 0

    def step(self, machine: Machines, values: Columns, time: Any) -> tuple[list[Any], Any]:
        """Take one cleaned reading of each machine: C items, at `time` in microseconds.

        Returns the model's inputs, F items, and whether they are there already; where they are not, the numbers mean nothing.
        """
        seen = read(self._seen, machine)
        moments = {length: rolling.step(machine, values, seen) for length, rolling in self._rolling.items()}
        inputs = [values[index] for index in self._kept]
        for (kind, index, length), harmonics in zip(self._recipes, self._harmonics, strict=True):
            if index is None:
                inputs.extend(_time_of_day(time, harmonics))
            elif length is not None:
                inputs.append(moments[length][kind, index])
            else:
                change = values[index] - read(self._last[index], machine)
                inputs.append(change / self._elapsed(machine, time) if kind == "rate" else change)
        if self._changes:
            for last, value in zip(self._last, values, strict=True):
                last[machine] = value
            self._last_time[machine] = time
        self._seen[machine] = seen + 1
        return inputs, seen >= self._warm_up

    def _elapsed(self, machine: Machines, time: Any) -> Any:
        """Seconds since the last reading. It is a microsecond or more, but after a restart, when the rate means nothing."""
        elapsed = time - read(self._last_time, machine)
        return (max(elapsed, 1) if isinstance(machine, int) else np.maximum(elapsed, 1)) / 1e6


class _Rolling:
    """The last L values of G channels for M machines: a ring that is written twice, as in `window.py`."""

    def __init__(self, length: int, recipes: Sequence[tuple[str, int | None, int | None]], machines: int) -> None:
        self._length = length
        self._wanted = [(kind, index) for kind, index, its_length in recipes if its_length == length]
        self._channels = sorted({index for _, index in self._wanted if index is not None})
        self._ring = np.zeros((machines, len(self._channels), 2 * length))
        views = np.lib.stride_tricks.sliding_window_view(self._ring, length, axis=2, writeable=False)
        self._views = views.swapaxes(1, 2)  # (M, L + 1, G, L), no copy
        both = self._ring.reshape(machines, len(self._channels), 2, length)
        self._both = both.transpose(0, 3, 2, 1)  # (M, L, 2, G)

    def ring(self, machines: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The values of some machines (B, L, G), each at its place in the ring."""
        values: npt.NDArray[np.float64] = self._both[machines, :, 0]
        return values

    def refill(self, machines: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Put such values (B, L, G) back."""
        self._both[machines] = values[:, :, None]

    def step(self, machine: Machines, values: Columns, seen: Any) -> dict[tuple[str, int | None], Any]:
        """Take one reading; returns each wanted moment by kind and channel."""
        position = seen % self._length
        newest = [values[index] for index in self._channels]
        if isinstance(machine, int):
            self._both[machine, position] = newest
            moments = {kind: each.tolist() for kind, each in self._moments(self._views[machine, position + 1]).items()}
        else:
            self._both[machine, position] = np.stack(newest, axis=-1)[:, None]
            # The same layout as one machine's, so that sums are taken in the same order, and the bits are the same.
            windows = np.ascontiguousarray(self._views[machine, position + 1])
            moments = {kind: each.T for kind, each in self._moments(windows).items()}
        return {(kind, index): moments[kind][self._channels.index(index)] for kind, index in self._wanted}  # type: ignore[arg-type]

    def _moments(self, windows: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """The moments (..., G) of windows (..., G, L), in order of time.

        Deviations are taken from the newest value first, then from the mean: the first step is exact for a constant, and nearly
        so for a high level. They are divided by the largest, so that no power overflows or vanishes.
        """
        newest = windows[..., -1]
        away = windows - newest[..., None]
        reach = np.maximum.reduce(np.abs(away), axis=-1)
        has_spread = reach > 0
        unit = away / np.where(has_spread, reach, 1.0)[..., None]
        mean = np.add.reduce(unit, axis=-1) / self._length  # `sum` takes twice as long for one machine
        moments = {"rolling_mean": newest + reach * mean}
        kinds = {kind for kind, _ in self._wanted}
        if kinds == {"rolling_mean"}:
            return moments
        deviation = unit - mean[..., None]
        square = deviation * deviation
        variance = np.add.reduce(square, axis=-1) / self._length
        spread = np.sqrt(variance)
        moments["rolling_std"] = reach * spread
        by = np.where(has_spread, variance, 1.0)
        if "rolling_skewness" in kinds:
            moments["rolling_skewness"] = np.add.reduce(square * deviation, axis=-1) / self._length / (by * np.sqrt(by))
        if "rolling_kurtosis" in kinds:
            moments["rolling_kurtosis"] = np.add.reduce(square * square, axis=-1) / self._length / (by * by) - 3
        return moments


def _time_of_day(time: Any, harmonics: int) -> list[Any]:
    """Sine and cosine of the UTC time of day, midnight is (0, 1), six o'clock (1, 0), then of twice its angle, and so on."""
    if isinstance(time, int):
        angle = 2 * math.pi * (time % DAY) / DAY
        return [wave(times * angle) for times in range(1, harmonics + 1) for wave in (math.sin, math.cos)]
    # numpy's own sine may differ from Python's in the last bit. Readings of many machines mostly come with one time.
    times, which = np.unique(time, return_inverse=True)
    waves = np.array([_time_of_day(each, harmonics) for each in times.tolist()]).reshape(-1, 2 * harmonics)
    return [wave[which] for wave in waves.T]


def scaling_of_channels(channels: Sequence[Channel], scaling: Scaling) -> Scaling:
    """What `Clean` needs to know of the channels' scaling, C numbers each; `scaling` is of the F inputs."""
    parts = iter(zip(scaling.center, scaling.scale, strict=True))
    unknown = (0.0, LARGEST_UNSCALED / LARGEST_SCALED)
    center, scale = zip(*(next(parts) if channel.is_input else unknown for channel in channels), strict=True)
    return scaling.replaced(center=center, scale=scale)
