"""The runtime's benchmark: its cases run, and its verdicts follow from the figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import handmade
import numpy as np
import pytest

from benchmarks import runtime_cost
from benchmarks.bare import model_of, open_bare, open_bare_batch, start_command
from benchmarks.in_turn import in_turn, processes_in_turn, run_process
from benchmarks.runtime import TARGETS, judged, row
from edge_runtime import load
from edge_runtime.engines import installed_engines


@pytest.mark.parametrize("engine", installed_engines())
def test_the_bare_engine_runs_the_same_model(engine: str) -> None:
    """One window and several give what our engine gives: the comparison is of the same work."""
    data, shape = model_of(handmade.TINY, engine)
    windows = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    ours = load(handmade.TINY, engine=engine).engine
    bare = open_bare(engine, data, shape)
    for window in (windows[:1], windows[1:2], windows[:1]):  # a state that is kept would show in the third
        assert np.array_equal(bare(window), ours.run(window))
    batched, sizes = open_bare_batch(engine, data, shape)
    together = windows[:1] if sizes == (1,) else windows
    np.testing.assert_allclose(batched(together), ours.run(together), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", installed_engines())
def test_the_floor_of_a_start_is_a_program(engine: str, tmp_path: Path) -> None:
    """It runs by itself, and needs nothing of ours."""
    data, _ = model_of(handmade.TINY, engine)
    program = start_command(engine, data, tmp_path / "model")
    show = "\nimport sys; print([name for name in sys.modules if name.startswith('edge_runtime')])"
    done = subprocess.run([sys.executable, "-c", program + show], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_memory_of_one_more_machine() -> None:
    """At the least its window is in it, and what is traced is what is there."""
    figures = runtime_cost.machines_cost(handmade.TINY, "numpy", quick=True)
    window = 8 * 3 * 4
    assert window < figures["traced_bytes"] < 4000
    assert window < figures["call_bytes"]


def test_a_slope_is_a_slope() -> None:
    """Least squares, whatever the fixed part."""
    assert runtime_cost._slope([(1, 1_000_100), (10, 1_001_000), (100, 1_010_000)]) == pytest.approx(100)


def test_turns_are_compared() -> None:
    """What does more takes longer, and the difference is of the same order."""
    turns = in_turn(lambda: sum(range(3000)), lambda: None, calls=3, rounds=5)
    assert turns.ours > turns.above > 0
    assert turns.bare < turns.ours


def test_processes_in_turn(tmp_path: Path) -> None:
    """Each is run once more than asked for; one that fails is an error with what it said."""
    log = tmp_path / "log"
    commands = [["sh", "-c", f"echo {name} >> {log}"] for name in "ab"]
    assert all(process.ms > 0 and process.peak_mb > 0 for process in processes_in_turn(commands, 2))
    assert log.read_text().split() == ["a", "b"] * 3
    with pytest.raises(RuntimeError, match="exit status 3: no such thing"):
        run_process(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_peak_memory_is_not_that_of_whoever_measures() -> None:
    """Linux hands a peak on to the programs that a process starts."""
    held = np.ones(100 * 2**20, np.uint8)
    peak = run_process([sys.executable, "-S", "-c", "pass"]).peak_mb
    assert held.nbytes > 2 * peak * 2**20


@pytest.mark.parametrize(
    ("measured", "limit", "is_least", "verdict"),
    [
        (15.0, 15.0, False, "met"),
        (14.0, 15.0, False, "met"),
        (16.5, 15.0, False, "MISSED by 10.0%"),
        (500.0, 500.0, True, "met"),
        (400.0, 500.0, True, "MISSED by 20.0%"),
        (float("nan"), 15.0, False, "MISSED by nan%"),
    ],
)
def test_a_target_is_met_or_missed_by_so_much(measured: float, limit: float, is_least: bool, verdict: str) -> None:
    """At the limit it is met; a figure that is none is not."""
    assert judged(measured, limit, is_least=is_least) == verdict


def test_a_row_says_every_figure_and_its_targets() -> None:
    """For people; and why there is no figure."""
    line = row({"case": "update", "engine": "onnx", "us_p50": 42.0, "above_us": 18.0})
    assert "us_p50 42, above_us 18" in line
    assert "above_us at most 15 us: MISSED by 20.0%" in line
    assert row({"case": "installed", "engine": None, "fault": "no pip"}).endswith("not measured: no pip")
    assert {target.case for target in TARGETS} <= {*runtime_cost.CASES, "installed"}
