"""Irregular readings onto the grid: which row is complete when, and what is in it; test_oracle.py has the rest."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import Reading
from edge_runtime.commands.inspect import describe
from edge_runtime.commands.score import main as score
from edge_runtime.grid import GridRows
from edge_runtime.manifest import Cleaning, Grid, Manifest, Sampling
from edge_runtime.prepare import Preparation
from edge_runtime.readings import STATUSES

NAN = math.nan


def rows(grid: Grid, readings: list[tuple[float, Any]], *, hold_limit: int = 2, longest_gap: float = 5.0) -> list[Any]:
    """For each reading (seconds, values) of a grid of one second the rows it completes, or None if it was dropped."""
    collected = GridRows(grid, Sampling(1.0, longest_gap, grid), Cleaning(hold_limit), np.size(readings[0][1]), 1)
    answers: list[Any] = []
    for seconds, values in readings:
        got = collected.step(0, np.atleast_1d(values).tolist(), round(seconds * handmade.SECOND))
        answers.append(None if got is None else [(row.time / handmade.SECOND, *row.values) for row in got])
    return answers


def test_a_period_is_complete_when_a_reading_comes_after_it() -> None:
    """The row is stamped with its end, which belongs to the next period."""
    assert rows(Grid(), [(0.0, 1.0), (0.4, 2.0), (0.999999, 3.0), (1.0, 4.0), (2.5, 5.0)]) == [
        [], [], [], [(1.0, 3.0)], [(2.0, 4.0)],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "duplicate", "expected"),
    [
        ("last", "first", 4.0), ("last", "last", 6.0), ("last", "mean", 5.0),
        ("mean", "first", (1 + 4 + 9) / 3), ("mean", "last", (1 + 6 + 9) / 3), ("mean", "mean", (1 + 4 + 6 + 9) / 4),
    ],
)  # fmt: skip
def test_what_several_readings_become(value: Any, duplicate: Any, expected: float) -> None:
    """The newest by its own time or the mean; two at one time as the policy says; one that came late counts in the mean."""
    readings = [(0.2, 1.0), (0.6, 4.0), (0.6, 6.0), (0.4, 9.0), (1.0, 0.0)]
    assert rows(Grid(value, 0.0, duplicate), readings)[-1] == [(1.0, expected)]


def test_channels_may_come_one_at_a_time() -> None:
    """A missing value takes nothing from the others, at the same time or another."""
    readings = [(0.1, (1.0, NAN)), (0.1, (NAN, 2.0)), (0.5, (3.0, NAN)), (1.0, (NAN, NAN)), (2.0, (NAN, NAN))]
    first, second = rows(Grid(), readings)[-2:]
    assert first == [(1.0, 3.0, 2.0)]
    assert np.isnan(second[0][1:]).all()


def test_the_delay_waits_for_late_readings() -> None:
    """Until a reading arrives that is that much later than the period's end; then late ones are dropped."""
    readings = [(0.5, 1.0), (1.2, 2.0), (0.9, 3.0), (1.3, 4.0), (0.95, 5.0), (2.3, 6.0), (1.9, 7.0), (2.0, 8.0)]
    assert rows(Grid("last", 0.3), readings) == [[], [], [], [(1.0, 3.0)], None, [(2.0, 4.0)], None, []]
    assert rows(Grid("last", 0.0), readings) == [[], [(1.0, 1.0)], None, [], None, [(2.0, 4.0)], None, []]
    at_most = [(0.5, 1.0), (1.99, 2.0), (0.1, 3.0), (2.0, 4.0), (0.9, 5.0), (1.0, 6.0)]
    assert rows(Grid("mean", 1.0), at_most) == [[], [], [], [(1.0, 2.0)], None, []]


def test_one_reading_may_complete_two_rows() -> None:
    """With a delay two periods wait."""
    assert rows(Grid("last", 0.5), [(0.5, 1.0), (1.4, 2.0), (4.6, 3.0)])[-1] == [(1.0, 1.0), (2.0, 2.0)]


def test_periods_without_readings_are_missing() -> None:
    """They come with the next row, no more than make a difference; a gap is left to those who know what a gap is."""
    readings = [(0.5, 1.0), (3.5, 2.0), (4.5, 3.0)]
    times = [[time for time, _ in each] for each in rows(Grid(), readings)]
    assert times == [[], [1.0], [2.0, 3.0, 4.0]]
    assert [math.isnan(value) for _, value in rows(Grid(), readings)[-1]] == [True, True, False]
    times = [[time for time, _ in each] for each in rows(Grid(), readings, hold_limit=0)]
    assert times == [[], [1.0], [3.0, 4.0]]
    times = [[time for time, _ in each] for each in rows(Grid(), readings, longest_gap=2.5)]
    assert times == [[], [1.0], [4.0]]


def test_infinities_never_cancel() -> None:
    """What is impossible stays impossible."""
    readings = [(0.1, math.inf), (0.2, -math.inf), (0.3, 1.0), (0.3, 1e308), (0.4, 1e308), (1.0, 0.0)]
    assert rows(Grid("mean"), readings)[-1] == [(1.0, math.inf)]
    assert rows(Grid("mean"), [(0.1, 1e308), (0.2, 1e308), (1.0, 0.0)])[-1] == [(1.0, math.inf)]


@given(
    seconds=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 2.5, 7.0, -0.2, -0.9, -3.0]), max_size=40),
    delay=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_rows_rise_and_lose_no_reading(seconds: list[float], delay: float) -> None:
    """Row times rise; every reading that was not dropped is in a row that comes after it, or still waits."""
    times = np.cumsum([round(step * 1e6) for step in seconds], dtype=np.int64).tolist()
    grid = Grid("mean", delay)
    collected = GridRows(grid, Sampling(1.0, 4.0, grid), Cleaning(1), 1, 1)
    waiting: set[int] = set()
    last = newest = -(10**12)
    for time in times:
        got = collected.step(0, [1.0], time)
        assert (got is None) == (time // 10**6 * 10**6 + 10**6 + delay * 1e6 <= newest)
        newest = max(newest, time)
        for row in got or ():
            assert row.time > last
            last = row.time
            if row.values == [1.0]:
                assert last in waiting
                waiting.remove(last)
                assert last + delay * 1e6 <= time
        assert not got or got[-1].values == [1.0]
        if got is not None:
            waiting.add(time // 10**6 * 10**6 + 10**6)
    assert len(waiting) <= 2


def gridded(grid: Grid, length: int = 2, **changes: Any) -> Manifest:
    return handmade.manifest(length, 2, sampling=Sampling(1.0, 3.0, grid), **changes)


def statuses(m: Manifest, readings: list[tuple[float, float]]) -> list[str]:
    prepare = Preparation(m.preparation)
    return [STATUSES[prepare.step(0, [value, 1.0], round(at * handmade.SECOND))[0]] for at, value in readings]


def test_every_reading_is_answered() -> None:
    """With the row it completes, else `collecting`; dropped is `gap`, and so is a row before which the window restarted."""
    readings = [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.1, 1.0), (1.9, 1.0), (2.2, 1.0), (3.0, 1.0)]
    assert statuses(gridded(Grid()), readings) == [
        "collecting", "collecting", "warming_up", "scored", "gap", "collecting", "scored",
    ]  # fmt: skip
    after_holes = [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (5.0, 1.0), (6.0, 1.0)]
    held = ["collecting", "warming_up", "scored", "scored", "scored", "scored"]
    assert statuses(gridded(Grid(), cleaning=Cleaning(1)), after_holes) == held
    assert statuses(gridded(Grid(), cleaning=Cleaning(0)), after_holes) == [*held[:4], "gap", "scored"]
    after_gap = [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (9.0, 1.0), (10.0, 1.0), (11.0, 1.0)]
    assert statuses(gridded(Grid()), after_gap) == [*held[:4], "gap", "scored"]


def test_the_windows_are_those_of_the_rows() -> None:
    """A gridded stream makes the windows that its rows make without a grid."""
    rng = np.random.default_rng(1)
    times = handmade.START + np.cumsum(rng.integers(100_000, 900_000, 200))
    values = rng.normal(size=(200, 2))
    grid = Grid("mean")
    windows, ends, _ = Preparation(gridded(grid, 4).preparation).windows_of(values, times)
    collected = GridRows(grid, Sampling(1.0, 3.0, grid), Cleaning(), 2, 1)
    rows = [row for each in zip(values.tolist(), times.tolist(), strict=True) for row in collected.step(0, *each) or ()]
    plain = Preparation(handmade.manifest(4, 2).preparation)
    expected, _, _ = plain.windows_of(np.array([row.values for row in rows]), np.array([row.time for row in rows]))
    assert windows.tobytes() == expected.tobytes()
    assert len(ends) > 60


def test_reset_forgets_what_was_collected() -> None:
    """Of one machine; an earlier time is then fine."""
    grid = Grid()
    collected = GridRows(grid, Sampling(1.0, 5.0, grid), Cleaning(), 1, 3)
    for machine in range(3):
        assert collected.step(machine, [1.0], 10_500_000) == []
    collected.reset(1)
    assert collected.step(1, [2.0], 500_000) == []
    assert collected.step(0, [2.0], 500_000) is None
    collected.reset(slice(None))
    assert [collected.step(machine, [2.0], 0) for machine in range(3)] == [[], [], []]


def test_late_readings_reach_the_detector_and_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a grid a table may repeat times and go back; without one it may not."""
    lines = ["time,c0,c1", *(f"{time},{time},1.0" for time in (0.5, 1.2, 0.9, 1.2, 2.5, 2.4, 3.1, 4.0))]
    table = tmp_path / "readings.csv"
    table.write_text("\n".join(lines) + "\n")
    bundle = handmade.sealed(tmp_path / "pump.anomalite", gridded(Grid("mean", 0.3), 4), golden=False)
    assert score([str(bundle), str(table), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["status"] for answer in answers] == ["collecting"] * 4 + [
        "warming_up",
        "collecting",
        "collecting",
        "warming_up",
    ]
    detector = handmade.Detector(
        gridded(Grid("mean", 0.3), 4), handmade.open_engine("numpy", handmade.lstm_model(4, 2), (4, 2))
    )
    got = [
        detector.update(Reading(answer, (answer, 1.0))).status for answer in (0.5, 1.2, 0.9, 1.2, 2.5, 2.4, 3.1, 4.0)
    ]
    assert got == [answer["status"] for answer in answers]


def test_inspect_describes_the_grid() -> None:
    """Or says that there is none."""
    assert "grid             none: readings as they come, late ones left out" in describe(handmade.manifest())
    text = "mean value of each period, late ones for 0.3 s, of duplicates the first"
    assert f"grid             {text}" in describe(gridded(Grid("mean", 0.3, "first")))
