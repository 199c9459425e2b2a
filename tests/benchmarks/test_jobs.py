"""Results are kept by what they came from, and read back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.detection import skab
from benchmarks.detection.jobs import COLUMNS, Job, run_jobs


def test_a_second_run_takes_what_was_kept_and_computes_only_what_changed(data: Path, tmp_path: Path) -> None:
    """The same numbers, in no time; other readings are another result."""
    (series,) = skab.load(data)
    job = Job("skab", series, "Hotelling T2", 1, None, settings=skab.BASELINE)
    ((_, first, seconds),) = run_jobs([job], tmp_path / "cache", workers=1)
    ((_, again, kept_seconds),) = run_jobs([job], tmp_path / "cache", workers=1)
    assert seconds > 0 == kept_seconds
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(again.verdicts[""], column), getattr(first.verdicts[""], column))
    other = replace(job, series=replace(series, values=series.values + 1e-9))
    assert other.key != job.key
    assert replace(job, seed=2).key != job.key
