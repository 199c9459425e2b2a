"""How long a reading takes: every call of `Detector.update` timed, none left out, garbage collection on as in use."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Manifest
from edge_runtime.readings import Reading

WARM_UP = 200
"""Scored readings before the first that is timed: caches fill, the clock frequency rises, lazily made parts are made."""
SETTLE = 20
"""Readings at the beginning of each turn that are not timed: another engine has had the caches meanwhile."""
LEAST = 5
"""The fewest readings of a turn that are timed, however slow they are."""
BLOCKS = 20
BINS = 60
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
LARGEST_BATCH = 256


class Latencies:
    """What was timed, in as many turns as wanted."""

    def __init__(self) -> None:
        self._ns = array("q")
        self.not_scored = 0
        """How many readings were answered without a score, and left out."""

    @property
    def us(self) -> npt.NDArray[np.float64]:
        """(N,) microseconds of each reading that was scored, in order."""
        return np.array(self._ns, np.float64) / 1000

    def take(self, detector: Detector, stream: Iterator[Reading], seconds: float) -> None:
        """Time one reading after the other for so many seconds, and at least `LEAST`. Raises `EngineError` if too few are scored."""
        clock, update = time.perf_counter_ns, detector.update
        before_turn, not_scored = len(self._ns), 0
        for _ in range(SETTLE):
            update(next(stream))
        end = clock() + round(seconds * 1e9)
        while True:
            reading = next(stream)
            before = clock()
            verdict = update(reading)
            after = clock()
            if verdict.score is None:
                not_scored += 1
            else:
                self._ns.append(after - before)
            if after >= end and (len(self._ns) - before_turn >= LEAST or not_scored > 1000 * LEAST):
                break
        self.not_scored += not_scored
        if len(self._ns) - before_turn < LEAST:
            what = f"got {not_scored} that are not, the last {verdict.status!r}"
            raise EngineError(f"expected readings that are scored, {what}")


def warm_up(detector: Detector, stream: Iterator[Reading]) -> int:
    """Feed readings until `WARM_UP` were scored after the first; returns how many came before that one. Raises `EngineError` without one."""
    patience = _longest_start(detector.manifest)
    unscored = 0
    while (verdict := detector.update(next(stream))).score is None:
        unscored += 1
        if unscored > patience:
            what = f"the last of {unscored} usual readings was answered {verdict.status!r}"
            raise EngineError(f"expected readings that are scored: {what}")
    for _ in range(WARM_UP):
        detector.update(next(stream))
    return unscored


def percentiles(us: npt.NDArray[np.float64]) -> list[float]:
    """`PERCENTILES` of the latencies (N,)."""
    values: list[float] = np.percentile(us, PERCENTILES).tolist()
    return values


def blocks(us: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The median of each of `BLOCKS` stretches of the latencies (N,), in order."""
    return tuple(float(np.median(block)) for block in np.array_split(us, min(BLOCKS, len(us))))


def sustained(us: npt.NDArray[np.float64]) -> float:
    """The rate in the second half of the time that the latencies (N,) took, against the first half."""
    passed = np.cumsum(us)
    half = int(np.searchsorted(passed, passed[-1] / 2))
    half = min(max(half, 1), len(us) - 1)
    first, second = passed[half - 1], passed[-1] - passed[half - 1]
    return float((len(us) - half) / second / (half / first))


def histogram(us: npt.NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Bins of equal width on a logarithmic scale from the least to the worst latency: upper edge, and how many are in it."""
    least, worst = max(float(us.min()), 1e-3), float(us.max())
    edges = np.geomspace(least, max(worst, least * 1.001), BINS + 1)[1:]
    places = np.minimum(np.searchsorted(edges, us), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    return tuple((float(edge), int(count)) for edge, count in zip(edges, counts, strict=True))


def best_batch(
    detector: Detector, windows: npt.NDArray[np.float32], largest: int | None, seconds: float
) -> tuple[int, float]:
    """Which of the batches 1, 2, 4, ... scores the most of `windows` (256, T, F) a second, and how many.

    `largest`: the most windows the variant takes in one call; None: any number.
    """
    sizes = [2**power for power in range(LARGEST_BATCH.bit_length()) if largest is None or 2**power <= largest]
    usual = detector.batch
    rates = []
    for size in sizes:
        detector.batch = size
        rates.append(_rate(detector, windows[:size], seconds / len(sizes)))
    detector.batch = usual
    best = int(np.argmax(rates))
    return sizes[best], rates[best]


def _rate(detector: Detector, windows: npt.NDArray[np.float32], seconds: float) -> float:
    """Windows a second, by the median call."""
    clock = time.perf_counter_ns
    detector.score_windows(windows)
    taken = []
    end = clock() + round(seconds * 1e9)
    while True:
        before = clock()
        detector.score_windows(windows)
        after = clock()
        taken.append(after - before)
        if after >= end and len(taken) >= 3:
            return len(windows) / float(np.median(taken)) * 1e9


def _longest_start(manifest: Manifest) -> int:
    """How many readings a detector may need before it scores: a full window of derived inputs, and a machine that has settled."""
    derived = max((each.warm_up for each in manifest.derived), default=0)
    settle = 0.0 if manifest.operating is None else manifest.operating.settle_s / manifest.sampling.period_s
    return min(manifest.window.length + derived + int(settle) + 100, 1_000_000)


def as_json(us: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The latencies (N,) as fields of `Result`."""
    p50, p90, p99, p999 = percentiles(us)
    return {
        "readings": len(us), "us_p50": p50, "us_p90": p90, "us_p99": p99, "us_p999": p999, "us_worst": float(us.max()),
        "blocks_us": blocks(us), "readings_per_s": float(1e6 / us.mean()), "sustained": sustained(us),
        "histogram_us": histogram(us),
    }  # fmt: skip
