"""The picture of readings, score, threshold and alarm; the command's side is in test_cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime.errors import InputError, OutputError
from edge_runtime.manifest import AlarmPolicy, Channel, Grid, Operating, PercentileThreshold, Sampling
from edge_runtime.plot import plot_verdicts
from edge_runtime.tables import Table

rc_context = pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)").rc_context

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


def test_statuses_without_a_score_are_shaded(tmp_path: Path) -> None:
    """With their names, where there are any: the machine was off, a sensor at fault."""
    readings = table()
    readings.values[20:30, 0] = -9.0
    readings.values[40:44, 1] = 1.0
    channels = (Channel("c0"), Channel("c1", stuck_after=2))
    m = handmade.manifest(5, 2, operating=Operating("c0 > -8"), channels=channels)
    for manifest, expected in ((m, (True, True)), (M, (False, False))):
        verdicts = handmade.detector("numpy", manifest).score(readings.values, readings.datetimes)
        with rc_context({"svg.fonttype": "none"}):
            plot_verdicts(tmp_path / "x.svg", manifest, readings, verdicts)
        text = (tmp_path / "x.svg").read_text()
        assert (">off<" in text, ">sensor fault<" in text) == expected


def test_the_score_of_a_grid_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Readings that complete no row of the grid do not break it."""
    lines: list[np.ndarray] = []
    axes = pytest.importorskip("matplotlib.axes").Axes
    plot = axes.plot

    def spy(self: Any, times: Any, values: Any, **options: Any) -> Any:
        if options.get("label") == "score":
            lines.append(values)
        return plot(self, times, values, **options)

    monkeypatch.setattr(axes, "plot", spy)
    readings = table()
    readings.times[:] = readings.times[0] + np.arange(60) * handmade.SECOND // 3
    m = handmade.manifest(5, 2, sampling=Sampling(1.0, 3.0, Grid()))
    verdicts = handmade.detector("numpy", m).score(readings.values, readings.datetimes)
    plot_verdicts(tmp_path / "x.png", m, readings, verdicts)
    assert np.isnan(lines[0]).tolist() == [True] * 4 + [False] * 15


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    """Another kind, or a place that cannot be written."""
    readings = table()
    verdicts = handmade.detector("numpy", M).score(readings.values, readings.datetimes)
    with pytest.raises(InputError, match=r"x\.gif: expected a picture ending in \.png, \.svg, \.pdf, got '\.gif'"):
        plot_verdicts(tmp_path / "x.gif", M, readings, verdicts)
    with pytest.raises(OutputError, match=r"x\.png: cannot be written: No such file or directory"):
        plot_verdicts(tmp_path / "none" / "x.png", M, readings, verdicts)
    assert list(tmp_path.iterdir()) == []
