"""Golden readings: a recorded stretch with the verdicts it must produce, sealed into the bundle.

They start from raw readings, so preparation, engine and score are all proven at once on the machine at hand.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.adapt import levels_of
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.manifest import Variant
from edge_runtime.opening import open_variant


@dataclass(frozen=True)
class GoldenReadings:
    """What `golden.npz` holds."""

    values: npt.NDArray[np.float64]
    """(N, C) raw readings, NaN where missing."""
    times: npt.NDArray[np.int64]
    """(N,) microseconds since 1970 UTC."""
    status_codes: npt.NDArray[np.uint8]
    """(N,) the statuses expected, positions in `readings.STATUSES`."""
    scores: Mapping[str, npt.NDArray[np.float64]]
    """(N,) the scores expected of each variant, NaN where not scored."""


@dataclass(frozen=True)
class GoldenResult:
    """How a variant did on one engine."""

    variant: str
    engine: str
    scored: int
    """How many readings were scored."""
    difference: float
    """The largest relative difference of a score."""
    tolerance: float
    """The largest that is accepted."""
    flipped: int
    """How many readings were decided differently."""
    passed: bool
    fault: str | None = None
    """Why the engine could not be asked."""


def write_golden(golden: GoldenReadings) -> bytes:
    """The bytes of `golden.npz`."""
    buffer = io.BytesIO()
    scores = {f"scores.{variant}": scores for variant, scores in golden.scores.items()}
    columns: dict[str, Any] = {
        "values": golden.values,
        "times": golden.times,
        "status_codes": golden.status_codes,
        **scores,
    }
    np.savez(buffer, **columns)  # no allow_pickle: numpy 1.26 would store it as one more column
    return buffer.getvalue()


def read_golden(bundle: Bundle) -> GoldenReadings:
    """The bundle's golden readings. Raises `BundleError` if it has none or their form is wrong."""
    entry = bundle.manifest.golden
    if entry is None:
        raise BundleError(f"{bundle.source}: expected golden readings to verify with, found none")
    try:
        with np.load(io.BytesIO(bundle.members[entry.file]), allow_pickle=False) as archive:
            columns: dict[str, npt.NDArray[Any]] = {name: np.asarray(archive[name]) for name in archive.files}
        variants = [variant.name for variant in bundle.manifest.variants]
        scores = {name: columns[f"scores.{name}"].astype(np.float64) for name in variants}
        golden = GoldenReadings(columns["values"].astype(np.float64), columns["times"], columns["status_codes"], scores)
    except Exception as fault:  # noqa: BLE001 - what numpy and zipfile raise for a damaged file has no common base below Exception
        raise BundleError(f"{bundle.source}: {entry.file}: the golden readings are malformed: {fault}") from None
    rows = (golden.times.size, len(bundle.manifest.channels))
    by_row: list[npt.NDArray[Any]] = [golden.times, golden.status_codes, *scores.values()]
    columns_fit = all(column.shape == rows[:1] for column in by_row)
    if golden.values.shape != rows or not columns_fit or golden.times.dtype != np.int64:
        raise BundleError(f"{bundle.source}: {entry.file}: expected {rows} golden values, got {golden.values.shape}")
    return golden


def check_golden(bundle: Bundle, golden: GoldenReadings, variant: Variant, engine: str) -> GoldenResult:
    """Score the golden readings with one variant on one engine and compare. Raises `EngineError`."""
    detector = open_variant(bundle, engine, variant)
    verdicts = detector.score(golden.values, golden.times.view("datetime64[us]"))
    detector.close()

    expected = golden.scores[variant.name]
    scored = ~np.isnan(expected)
    difference = np.abs(verdicts.scores[scored] - expected[scored]) / np.maximum(expected[scored], sys.float_info.min)
    largest = float(difference.max()) if scored.any() else np.inf
    threshold = levels_of(detector.manifest.threshold, expected)
    # A threshold that adapts may learn a little else from scores that differ a little: within that, too, nothing is flipped.
    unclear = variant.tolerance * threshold + np.abs(verdicts.thresholds - threshold)
    is_clear = scored & (np.abs(expected - threshold) > unclear)
    flipped = int(((expected > threshold) != verdicts.anomalous)[is_clear].sum())
    same_status = np.array_equal(verdicts.status_codes, golden.status_codes)
    passed = same_status and flipped == 0 and largest <= variant.tolerance
    return GoldenResult(variant.name, engine, int(scored.sum()), largest, variant.tolerance, flipped, passed)
