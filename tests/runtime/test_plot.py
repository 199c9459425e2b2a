"""The picture of readings, score, threshold and alarm; the command's side is in test_cli.py."""

from __future__ import annotations

from pathlib import Path

import handmade
import numpy as np
import pytest

from edge_runtime.errors import InputError, OutputError
from edge_runtime.manifest import AlarmPolicy, PercentileThreshold
from edge_runtime.plot import plot_verdicts
from edge_runtime.tables import Table

pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)")

M = handmade.manifest(5, 2, threshold=PercentileThreshold("percentile", 99.0, 1.0, 0.9), alarm=AlarmPolicy(2, 3))


def table(rows: int = 60) -> Table:
    values, times = handmade.stream(rows, 2)
    return Table("x.csv", ("c0", "c1"), times, values)


@pytest.mark.parametrize(
    ("name", "start"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF"), ("x.PNG", b"\x89PNG")]
)
def test_each_kind(tmp_path: Path, name: str, start: bytes) -> None:
    """By the file's ending, with no warning."""
    readings = table()
    verdicts = handmade.detector("numpy", M).score(readings.values, readings.datetimes)
    assert verdicts.alerts()
    plot_verdicts(tmp_path / name, M, readings, verdicts, trained_until=readings.datetimes[20])
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_readings_of_which_none_is_scored(tmp_path: Path) -> None:
    """Are drawn all the same."""
    readings = table()
    readings.values[::3] = np.nan
    m = handmade.manifest(5, 2, cleaning=type(M.cleaning)(0))
    verdicts = handmade.detector("numpy", m).score(readings.values, readings.datetimes)
    assert not verdicts.scored.any()
    plot_verdicts(tmp_path / "x.png", m, readings, verdicts)
    assert (tmp_path / "x.png").exists()


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    """Another kind, or a place that cannot be written."""
    readings = table()
    verdicts = handmade.detector("numpy", M).score(readings.values, readings.datetimes)
    with pytest.raises(InputError, match=r"x\.gif: expected a picture ending in \.png, \.svg, \.pdf, got '\.gif'"):
        plot_verdicts(tmp_path / "x.gif", M, readings, verdicts)
    with pytest.raises(OutputError, match=r"x\.png: cannot be written: No such file or directory"):
        plot_verdicts(tmp_path / "none" / "x.png", M, readings, verdicts)
    assert list(tmp_path.iterdir()) == []
