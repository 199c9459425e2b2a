"""Two runs of `anomalite bench` side by side: what became faster or slower, and by more than the runs can be trusted.

A difference is one whose interval, about 95 %, does not hold the ratio 1. The intervals are wide on purpose: consecutive blocks of
a run resemble each other, clocks and temperatures drift, and two processes differ in ways that show inside neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from statistics import median, stdev

from edge_runtime.bench.result import Bench, Result, name_of, read_result
from edge_runtime.bench.table import BUSY_LOAD
from edge_runtime.errors import InputError

PARTS = 3
"""A run's blocks are taken together into so many parts, whose medians are nearly independent."""
STUDENT = 4.303
"""The 97.5 % point of Student's t with PARTS - 1 degrees of freedom."""
BETWEEN_RUNS = 0.04
"""How far (a fraction) a process may be from the next, by where it lies in memory and the like; no run shows it inside.

Measured on a busy machine (docs/decisions/0017-bench.md): with 0.02 one pair in ten of the same program would be a difference.
"""
BETWEEN_TAILS = 0.15
"""The same for 99th percentiles, which what else runs moves for a whole run: one program, measured twice in a row, was apart by 13 %."""
BETWEEN_STARTS = 0.1
"""The same for starts, which depend on the disk's cache and on what else runs: those of one run move together."""
BURST = 20
"""Slow readings come in bursts: of so many readings, one counts as independent for the 99th percentile."""
MEMORY_MB = 0.5
"""By how much the peak memory of the same program varies."""
UNKNOWN = 100
"""An interval whose upper end is more than so many times its lower one is not shown: it says nothing."""
MOST = 1e15
"""No time, count or size of a run is as large, and no time as small as its inverse, in the units of `Result`."""
MEASURES = {
    "us_p50": ("typical us", "faster", "slower"),
    "us_p99": ("p99 us", "faster", "slower"),
    "cold_start_ms": ("cold start ms", "faster", "slower"),
    "peak_mb": ("peak MB", "less", "more"),
}
"""What is compared: its name for people, and the words for a ratio below and above 1."""


@dataclass(frozen=True)
class Ratio:
    """One figure in two runs."""

    old: float
    new: float
    ratio: float
    """new / old."""
    low: float | None
    """The interval in which the ratio may lie; None where the runs are too short to tell."""
    high: float | None
    differs: bool
    """Whether 1 is outside of the interval."""


@dataclass(frozen=True)
class Compared:
    """One engine and variant that both runs measured."""

    engine: str
    variant: str
    measures: dict[str, Ratio]
    """By the keys of `MEASURES`; one that a run does not have is left out."""


@dataclass(frozen=True)
class Comparison:
    """A run against an earlier one."""

    old_bundle: str
    old_time: str
    warnings: tuple[str, ...]
    """Why the figures should not be compared: another board, another bundle, a board that was held back or busy."""
    differences: tuple[str, ...]
    """What else was different."""
    results: tuple[Compared, ...]
    only_new: tuple[str, ...]
    """What only the new run measured, as "VARIANT on ENGINE"."""
    only_old: tuple[str, ...]


def read_earlier(path: str | PathLike[str]) -> Bench:
    """An earlier run: the last line of a file. Raises `InputError` naming it for anything that is no such run."""
    bench = read_result(path)
    if not 0 < bench.device.cores < MOST:
        raise InputError(f"{path}: expected at least one core, got another number - at $.device.cores: measure again")
    for result in bench.results:
        if not _is_plausible(result):
            raise InputError(
                f"{path}: expected times above zero, got others - at {name_of(result.engine, result.variant)}: measure again"
            )
    return bench


def _is_plausible(result: Result) -> bool:
    """Whether its times and counts can be calculated with; the file may have been written by anybody."""
    bins = result.histogram_us
    if any(len(each) != 2 for each in bins):
        return False
    start = result.cold_start_ms
    times = (result.us_p50, result.us_p99, start.p50, start.worst, *result.blocks_us, *(edge for edge, _ in bins))
    counts = [count for _, count in bins]
    return (
        all(1 / MOST < each < MOST for each in times)
        and all(0 <= each < MOST for each in (result.readings, *counts))
        and (result.peak_mb <= 0 or 1 / MOST < result.peak_mb < MOST)
        and sum(counts) > 0
    )


def compare(new: Bench, old: Bench) -> Comparison:
    """Compare what both runs measured."""
    before = {(each.engine, each.variant): each for each in old.results}
    now = {(each.engine, each.variant): each for each in new.results}
    return Comparison(
        old.bundle,
        old.time,
        tuple(_warnings(new, old)),
        tuple(_differences(new, old)),
        tuple(Compared(*pair, _measures(now[pair], before[pair])) for pair in now if pair in before),
        tuple(name_of(*pair) for pair in now if pair not in before),
        tuple(name_of(*pair) for pair in before if pair not in now),
    )


def typical_ratio(new: Result, old: Result) -> Ratio:
    """The ratio of the typical times, `us_p50`, with its interval.

    The method of batch means (Schmeiser, Operations Research 30, 1982) on logarithms, with medians for means: the median of each
    third of a run's blocks, and
    Student's t with the 2 degrees of freedom of three values. Few long parts make the interval wide, and right where blocks follow
    each other or a run drifts. `BETWEEN_RUNS` stands for the variation between processes, which no single run shows (Kalibera and
    Jones, Quantifying Performance Changes with Effect Size Confidence Intervals, 2012).
    """
    return _ratio(new.us_p50, old.us_p50, _typical_noise(new), _typical_noise(old))


def _measures(new: Result, old: Result) -> dict[str, Ratio]:
    measures = {
        "us_p50": typical_ratio(new, old),
        "us_p99": _ratio(new.us_p99, old.us_p99, _tail_noise(new), _tail_noise(old), between=BETWEEN_TAILS),
        "cold_start_ms": _ratio(
            new.cold_start_ms.p50, old.cold_start_ms.p50, _start_noise(new), _start_noise(old), between=BETWEEN_STARTS
        ),
    }
    if min(new.peak_mb, old.peak_mb) > 0:
        noise = [math.log1p(MEMORY_MB / mb) for mb in (new.peak_mb, old.peak_mb)]
        measures["peak_mb"] = _ratio(new.peak_mb, old.peak_mb, *noise, between=0)
    return measures


def _ratio(new: float, old: float, *noise: float, between: float = BETWEEN_RUNS) -> Ratio:
    """The interval from each run's noise, half the width of an interval of the figure's logarithm."""
    half = math.sqrt(sum(each**2 + between**2 for each in noise))
    ratio = new / old
    low, high = (ratio * math.exp(-half), ratio * math.exp(half)) if half < math.inf else (None, None)
    return Ratio(old, new, ratio, low, high, abs(math.log(ratio)) > half)


def _typical_noise(result: Result) -> float:
    logs = [math.log(each) for each in result.blocks_us]
    if len(logs) < PARTS:
        return math.inf
    bounds = [len(logs) * part // PARTS for part in range(PARTS + 1)]
    medians = [median(logs[start:end]) for start, end in pairwise(bounds)]
    return STUDENT * stdev(medians) / math.sqrt(PARTS)


def _tail_noise(result: Result) -> float:
    """The interval of a quantile by order statistics (binomial, normal approximation), from the histogram; and what drifts, drifts here too."""
    share = 0.99
    half = 1.96 * math.sqrt(share * (1 - share) * BURST / max(result.readings, 1))
    low, middle, high = (_quantile(result.histogram_us, each) for each in (share - half, share, share + half))
    return math.hypot(_typical_noise(result), max(math.log(high / middle), math.log(middle / low)))


def _quantile(histogram: Sequence[tuple[float, float]], share: float) -> float:
    """The upper edge of the bin in which that share of the readings is reached."""
    wanted, seen = share * sum(count for _, count in histogram), 0.0
    for edge, count in histogram:
        seen += count
        if count and seen >= wanted:
            return edge
    return histogram[-1][0]


def _start_noise(result: Result) -> float:
    """From the middle and the worst of the processes: of five normal ones they are 1.16 standard deviations apart on average.

    An interval of 95 % for the middle one is 1.06 of them to each side; 1.5 times the distance is more, for it varies itself.
    """
    return 1.5 * math.log(max(result.cold_start_ms.worst / result.cold_start_ms.p50, 1.0))


def _warnings(new: Bench, old: Bench) -> Iterator[str]:
    for name in ("board", "cpu_kind"):
        before, now = getattr(old.device, name), getattr(new.device, name)
        if before != now:
            yield f"another machine ({name}): {before} before, {now} now: this compares the machines"
            break
    if old.digest != new.digest:
        yield f"another bundle: digest {old.digest[:12]} before, {new.digest[:12]} now: this compares the bundles"
    for when, bench in (("before", old), ("now", new)):
        device = bench.device
        if device.throttled:
            yield f"the board was held back {when}: {', '.join(device.throttled)}"
        if device.load is not None and device.load > BUSY_LOAD * device.cores:
            yield (
                f"other programs were running {when} (load {device.load:.2f} on {device.cores} cores): they may make a difference "
                "where there is none"
            )


def _differences(new: Bench, old: Bench) -> Iterator[str]:
    for name in ("cpu", "cores", "governor", "max_mhz", "os", "kernel", "python", "numpy"):
        yield from _change(name.replace("_", " "), getattr(old.device, name), getattr(new.device, name))
    for name in sorted(old.device.packages.keys() | new.device.packages.keys()):
        yield from _change(name, old.device.packages.get(name), new.device.packages.get(name))
    yield from _change("seconds", old.seconds, new.seconds)
    if old.device.load is not None and new.device.load is not None and abs(old.device.load - new.device.load) > 0.5:
        yield f"load {old.device.load:.1f} before, {new.device.load:.1f} now"


def _change(name: str, before: object, now: object) -> Iterator[str]:
    if before != now:
        yield f"{name} {'not known' if before is None else before} before, {'not known' if now is None else now} now"


def comparison_lines(comparison: Comparison) -> list[str]:
    """The comparison for people."""
    lines = [f"compared with {comparison.old_bundle} of {comparison.old_time}; the ratio is now / before"]
    lines += [f"WARNING: {each}" for each in comparison.warnings]
    if comparison.differences:
        lines.append(f"different: {'; '.join(comparison.differences)}")
    if comparison.results:
        lines.append(
            f"{'variant':23}  {'engine':7}  {'measure':13}  {'before':>9}  {'now':>9}  {'ratio':>6}  {'may be':>15}  verdict"
        )
    for each in comparison.results:
        lines += [_row(each, name, ratio) for name, ratio in each.measures.items()]
    for where, pairs in (("now", comparison.only_new), ("before", comparison.only_old)):
        if pairs:
            lines.append(f"measured only {where}: {', '.join(pairs)}")
    if not comparison.results:
        lines.append("nothing was measured in both runs")
    return lines


def _row(compared: Compared, name: str, ratio: Ratio) -> str:
    label, below, above = MEASURES[name]
    verdict = (below if ratio.ratio < 1 else above) if ratio.differs else "no difference"
    is_known = ratio.low is not None and ratio.high is not None and ratio.high <= UNKNOWN * ratio.low
    interval = f"{ratio.low:.3g} to {ratio.high:.3g}" if is_known else "not known"
    return (
        f"{compared.variant:23}  {compared.engine:7}  {label:13}  {ratio.old:9.4g}  {ratio.new:9.4g}  {ratio.ratio:6.3f}  "
        f"{interval:>15}  {verdict}"
    )
