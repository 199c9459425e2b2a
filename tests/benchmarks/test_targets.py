"""The table of targets follows from the benchmarks' lines, and says what was not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import targets
from benchmarks.runtime import TARGETS
from benchmarks.targets import last_line, table

WHY = "no ARM userland"


def line(name: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A benchmark's line."""
    return {"benchmark": name, "machine": "here", "commit": "abc", "results": list(results), **more}


LINES: dict[str, targets.Line] = {
    "cost": line(
        "cost",
        {"name": "update/mae", "board": 4, "instructions": 29_000},
        {"name": "update/mae", "board": 5, "instructions": 33_000},
        {"name": "window/onnx", "board": 4, "instructions": 500_000},
    ),
    "peers": line(
        "peers",
        {"name": "keras predict", "status": "ok", "us_p50": 50_000.0},
        {"name": "pytorch eager", "status": "its wheel is not installed"},
        {"name": "tflite, unfused", "status": "ok", "us_p50": 90.0},
        {"name": "anomalite onnx", "status": "ok", "us_p50": 40.0},
        {"name": "anomalite numpy", "status": "ok", "us_p50": 200.0},
        {"name": "bare onnx", "status": "ok", "us_p50": 30.0},
    ),
    "runtime": line(
        "runtime",
        {"case": "update", "engine": "onnx", "above_us": 9.0},
        {"case": "update", "engine": "numpy", "above_us": 18.0},
        {"case": "installed", "engine": None, "fault": "no setuptools"},
    ),
    "scaling": line("scaling", stream={"readings": 10_000_000, "bytes_a_reading": 0.02, "last_to_first": 1.0302}),
}


def by_measure(rows: list[targets.Row]) -> dict[str, targets.Row]:
    """Each row by what it measures; none is there twice."""
    assert len({row.measure for row in rows}) == len(rows)
    return {row.measure: row for row in rows}


def test_what_was_measured_is_judged() -> None:
    """By the worst board, by our fastest engine, for each engine."""
    rows = by_measure(table(LINES))
    assert rows["Detector.update above the bare engine, update/mae"][1:] == (
        "<= 30,000 ARM instructions", "33,000 ARM instructions", "MISSED by 10.0%",
    )  # fmt: skip
    assert rows["faster than keras predict (anomalite onnx)"][1:] == (">= 500 x", "1,250 x", "met")
    assert rows["faster than tflite, unfused (anomalite onnx)"].verdict == "MISSED by 25.0%"
    assert rows["faster than pytorch eager"].verdict == "not measured: its wheel is not installed"
    assert rows["Detector.update above the bare engine, onnx"][1:] == ("<= 15 us", "9 us", "met")
    assert rows["Detector.update above the bare engine, numpy"].verdict == "MISSED by 20.0%"
    assert rows["memory that grows with a stream, 10,000,000 readings"].verdict == "met"
    assert rows["time a reading, change from first to last tenth, 10,000,000 readings"].verdict.startswith(
        "MISSED by 5"
    )
    installed = [row for row in rows.values() if row.verdict == "not measured: no setuptools"]
    assert len(installed) == sum(target.case == "installed" for target in TARGETS)


def test_what_could_not_be_measured_is_a_row_that_says_why() -> None:
    """Every target has a row, whichever benchmarks there are."""
    rows = table(dict.fromkeys(LINES, WHY))
    assert len(rows) == 1 + len(targets.PEERS) + len(TARGETS) + 2
    assert {row.verdict for row in rows} == {f"not measured: {WHY}"}
    assert {row.measured for row in rows} == {""}
    rows = table({name: line(name) for name in LINES})  # lines without results
    assert all(row.verdict.startswith("not measured: no ") for row in rows)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "its last line is no JSON"),
        ("table\nnot json\n", "its last line is no JSON"),
        ('{"benchmark": "peers"}', "its last line is not of the benchmark cost"),
        ("[1]", "its last line is not of the benchmark cost"),
        ('a table\n{"benchmark": "cost"}\n', {"benchmark": "cost"}),
    ],
)
def test_a_line_is_the_last_one_and_its_own(output: str, expected: targets.Line) -> None:
    """Anything else is the reason why there is none."""
    assert last_line(output, "cost") == expected


def test_lines_that_are_there_are_not_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the table, then its own line, from the files it is given."""
    for name, each in LINES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(each))
    assert targets.main(["--lines", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "| measure | target | measured | verdict |"
    last = json.loads(printed[-1])
    assert last["benchmark"] == "targets"
    assert [tuple(row.values()) for row in last["results"]] == [tuple(row) for row in table(LINES)]


def test_a_benchmark_that_fails_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its last word, not a traceback of ours; nothing is kept of it."""
    monkeypatch.setitem(targets.SOURCES, "cost", ["runtime", "--engine", "steam"])
    line = targets._line("cost", tmp_path, quick=False)
    assert isinstance(line, str)
    assert line.startswith("exit status 2: ")
    assert "steam" in line
    assert list(tmp_path.iterdir()) == []
