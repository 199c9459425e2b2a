"""Usual readings without end: complete, in range, in time, of a machine that runs, and where there are such not anomalous.

They are the bundle's golden readings where it has some. Else they are made from what the manifest says of the channels, seeded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.golden import GoldenReadings, read_golden
from edge_runtime.manifest import Channel, Manifest
from edge_runtime.readings import COLLECTING, SCORED, WARMING_UP, Reading

START_S = 1_700_000_000
"""About when the first reading is taken, in seconds since 1970: in the middle of the sampling period after it."""
MADE = 509
"""How many different readings are made where the bundle has none."""
SEED = 1


def usual_values(bundle: Bundle) -> list[tuple[float, ...]]:
    """The values of at least two readings, C each in the channels' units."""
    manifest = bundle.manifest
    recorded = None if manifest.golden is None else _longest_stretch(read_golden(bundle), manifest.threshold.value)
    values = _made(manifest) if recorded is None else recorded
    return [tuple(row) for row in values.tolist()]


def readings(values: Sequence[tuple[float, ...]], period_s: float) -> Iterator[Reading]:
    """Readings one sampling period apart; the values come forwards and backwards in turn, so that nothing ever jumps."""
    cycle = [*values, *values[-2:0:-1]]
    position = START_S // period_s + 0.5
    while True:
        for row in cycle:
            yield Reading(position * period_s, row)
            position += 1


def _longest_stretch(golden: GoldenReadings, threshold: float) -> npt.NDArray[np.float64] | None:
    """The longest stretch of golden readings with nothing missing, wrong or anomalous, (N, C); None if none is longer than one.

    Where all are anomalous, the longest with nothing missing or wrong: better real readings of a machine in alarm than made-up ones.
    """
    is_whole = np.isin(golden.status_codes, (SCORED, WARMING_UP, COLLECTING)) & np.isfinite(golden.values).all(axis=1)
    is_calm = is_whole.copy()
    for scores in golden.scores.values():
        is_calm &= ~(scores > threshold)  # not scored is not anomalous
    for is_usual in (is_calm, is_whole):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], is_usual, [False]))))
        begins, ends = edges[::2], edges[1::2]
        if len(begins) and (ends - begins).max() >= 2:
            longest = int(np.argmax(ends - begins))
            return golden.values[begins[longest] : ends[longest]]
    return None


def _made(manifest: Manifest) -> npt.NDArray[np.float64]:
    """Values (MADE, C), each channel around its normal level."""
    rng = np.random.default_rng(SEED)
    normal = _normal_levels(manifest)
    needed = _levels_of_a_running_machine(manifest)
    columns = []
    for channel in manifest.channels:
        low, high = _limits(channel)
        middle, reach = normal[channel.name]
        if channel.max_rate is not None:
            reach = min(reach, channel.max_rate * manifest.sampling.period_s / 4)
        reach = min(reach, (high - low) / 8)
        for sign, level in needed.get(channel.name, ()):
            low = level if sign.startswith((">", "==")) else low
            high = level if sign.startswith(("<", "==")) else high
        margin = min(2 * reach, (high - low) / 2)
        middle = min(max(middle, low + margin), high - margin)
        columns.append(middle + min(reach, margin / 2) * rng.uniform(-1, 1, MADE))
    return np.stack(columns, axis=1)


def _limits(channel: Channel) -> tuple[float, float]:
    """The least and the greatest value that is neither impossible nor at a rail."""
    lows = [each for each in (channel.low, channel.rail_low) if each is not None]
    highs = [each for each in (channel.high, channel.rail_high) if each is not None]
    return max(lows, default=-np.inf), min(highs, default=np.inf)


def _normal_levels(manifest: Manifest) -> dict[str, tuple[float, float]]:
    """Each channel's middle, and how far from it a usual reading goes."""
    scaling = manifest.scaling
    levels = {channel.name: (0.0, 0.5) for channel in manifest.channels}
    inputs = [channel.name for channel in manifest.channels if channel.is_input]
    for name, center, scale in zip(inputs, scaling.center, scaling.scale, strict=False):
        # The center of `min_max` is the least value.
        levels[name] = (center + scale / 2 if scaling.kind == "min_max" else center, scale / 2)
    return levels


def _levels_of_a_running_machine(manifest: Manifest) -> dict[str, list[tuple[str, float]]]:
    """What the operating rule asks of each channel, as operator and level; of several ways to hold the first."""
    if manifest.operating is None:
        return {}
    from edge_runtime.rule import parse_rule  # only where there is a rule

    asked: dict[str, list[tuple[str, float]]] = {}
    for comparison in parse_rule(manifest.operating.when)[0]:
        asked.setdefault(comparison.channel, []).append((comparison.operator, comparison.level))
    return asked
