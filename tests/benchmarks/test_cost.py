"""The cost gate: what it counts, how it divides, and what makes it fail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.cost import command as cost
from benchmarks.cost.baseline import FILE, Baseline, Row
from benchmarks.cost.cases import BOARDS, Start, Work, jobs
from benchmarks.cost.device import MARKS_A_ROUND, PREPARE, ROUNDS, STRETCHES
from benchmarks.instructions_update import SCORES

VERSIONS = {"numpy": "2", "python": "3.11"}


class Device:
    """Stands in for the emulator: every call of every case takes 1,000 instructions, a stretch of any length 77 more."""

    price = 1000.0
    seen: Sequence[str] = ()

    def __init__(self, root: Path | None = None, cache: Path = Path()) -> None:
        pass

    def versions(self) -> dict[str, str]:
        return VERSIONS

    def bundle(self, name: str) -> Path:
        return Path(f"{name}.anomalite")

    def floor(self, name: str, variant: str, engine: str) -> tuple[Path, str]:
        return Path(variant), "import numpy"

    def run(self, board: int, arguments: Sequence[str], marks: int, where: str) -> tuple[int, ...]:
        self.seen = arguments
        if "ours" in arguments or "floor" in arguments:
            return tuple(round((mark + 1) * self.price) for mark in range(marks))
        now, found = 0.0, []
        for kind, *rest in json.loads(arguments[-1]):
            price = 10 if rest == ["empty"] else self.price
            for _ in range(ROUNDS):
                for calls in STRETCHES[kind]:
                    found += [round(now), round(now + 77 + calls * price)]
                    now += 999 + calls * price
        assert len(found) == marks
        return tuple(found)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command counts on the stand-in; the file it has just written."""
    monkeypatch.setattr(cost, "Root", Device)
    file = tmp_path / "baseline.json"
    assert cost.main(["--update", "--baseline", str(file)]) == 0
    return file


def test_the_file_names_what_is_counted() -> None:
    """No more and no less, so that a new family, variant or score is counted from its first day; sorted, a line an entry."""
    baseline = Baseline.read(FILE)
    counted = {board: sorted(name for part in jobs([board]) for name in part.names) for board in BOARDS}
    assert {board: list(counts) for board, counts in baseline.instructions.items()} == counted
    assert all(count > 1000 for counts in baseline.instructions.values() for count in counts.values())
    assert {"system", "emulator", "python", "numpy", "ai-edge-litert", "onnxruntime"} <= set(baseline.versions)
    lines = FILE.read_text().splitlines()
    assert len(lines) == sum(map(len, baseline.instructions.values())) + len(baseline.versions) + 2 + 2 * (
        1 + len(BOARDS)
    )


def test_every_kind_of_case_is_counted() -> None:
    """Windows of every engine, readings, starts, loading and reading a bundle."""
    names = [name for part in jobs() for name in part.names]
    for name in (
        "window/lstm_autoencoder/tflite-unrolled-float32/litert",
        "window/conv_autoencoder/onnx-float32/onnx",
        "window/linear_autoencoder/numpy-float32/numpy",
        "update/mae",
        "start/litert",
        "start/onnx/above",
        "load/numpy",
        "read",
    ):
        assert name in names
    assert {f"update/{score}" for score in SCORES} - set(names) == {"update/reference", "update/empty"}
    assert set(STRETCHES) == set(PREPARE)


def test_neither_a_stretch_nor_the_loop_is_counted() -> None:
    """A case is what the longer stretch has more, divided by its calls; of a reading the loop without a detector is taken off."""
    device = Device()
    work = Work(4, {"a": ("window", "all", "v", "onnx"), "update/mae": ("update", "mae"), "read": ("read", "all")})
    assert work.count(device) == {"a": 1000, "update/mae": 990, "read": 1000}
    assert ["window", "all.anomalite", "v", "onnx"] in json.loads(device.seen[-1])
    assert len(json.loads(device.seen[-1])) * ROUNDS * MARKS_A_ROUND < 1000  # as many marks as there are


def test_a_start_is_counted_whole_and_above_the_floor() -> None:
    """Until the last mark of each."""
    assert Start(4, "onnx").count(Device()) == {"start/onnx": 4000, "start/onnx/above": 2000}


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        (1000, 1030, None),
        (1000, 970, None),
        (1000, 1031, "expected 1,000 instructions within 3%, got 1,031: 3.1% more"),
        (1000, 969, "expected 1,000 instructions within 3%, got 969: 3.1% fewer"),
        (None, 5000, "expected an entry in baseline.json, got none (counted: 5,000)"),
        (5000, None, "expected 5,000 instructions, got none: it is not counted any more"),
    ],
)
def test_a_count_may_not_move_by_more_than_the_limit(
    expected: int | None, got: int | None, message: str | None
) -> None:
    """Up or down, appear or go away, unless somebody says so."""
    fault = Row("window/x", 4, expected, got).fault
    assert fault == (message and f"window/x on a Pi 4: {message}")


def test_the_same_counts_pass(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line is the benchmark's, and the file is as it was."""
    before = gate.read_text()
    assert cost.main(["--baseline", str(gate)]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["benchmark"] == "cost"
    assert {"name": "read", "board": 4, "instructions": 1000} in line["results"]
    assert gate.read_text() == before


def test_one_that_moved_fails_and_says_what_to_do(
    gate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, expected, got, and the command; which then makes it pass."""
    monkeypatch.setattr(Device, "price", 1040.0)
    capsys.readouterr()
    assert cost.main(["--baseline", str(gate), "--only", "window/*/onnx-int8", "--only", "read"]) == 1
    fault, *others, advice = [line for line in capsys.readouterr().err.splitlines() if "counted" not in line]
    assert fault == "read on a Pi 4: expected 1,000 instructions within 3%, got 1,040: 4.0% more"
    assert [line.split(":")[0] for line in others] == [
        f"window/lstm_autoencoder/onnx-int8/onnx on a Pi {board}" for board in BOARDS
    ]
    assert "`python -m benchmarks cost --update`" in advice
    assert cost.main(["--baseline", str(gate), "--update"]) == 0
    assert cost.main(["--baseline", str(gate)]) == 0


def test_a_part_is_written_without_the_rest(gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not counted stays."""
    monkeypatch.setattr(Device, "price", 2000.0)
    assert cost.main(["--baseline", str(gate), "--update", "--only", "read", "--board", "4"]) == 0
    pi4, pi5 = (Baseline.read(gate).instructions[board] for board in BOARDS)
    assert (pi4["read"], pi4["update/mae"]) == (2000, 990)
    assert set(pi5.values()) == {1000}


def test_an_entry_of_something_that_is_gone_fails_and_is_removed(gate: Path) -> None:
    """By the whole gate; a part of it says nothing of other parts."""
    content = json.loads(gate.read_text())
    content["Pi 4"]["window/gone"] = 5
    gate.write_text(json.dumps(content))
    assert cost.main(["--baseline", str(gate), "--only", "update"]) == 0
    assert cost.main(["--baseline", str(gate)]) == 1
    assert cost.main(["--baseline", str(gate), "--update"]) == 0
    assert "window/gone" not in gate.read_text()


def test_what_hardly_moved_stays_in_the_file() -> None:
    """Small differences do not make large diffs, nor do they add up unseen: the gate's limit is from what stands there."""
    baseline = Baseline(VERSIONS, {4: {"a": 1000, "b": 1000}})
    rows = baseline.compare({4: {"a": 1009, "b": 1011}}, lambda name: True)
    assert baseline.updated(rows, VERSIONS).instructions == {4: {"a": 1000, "b": 1011}}
    assert baseline.updated(rows, {**VERSIONS, "numpy": "3"}).instructions == {4: {"a": 1009, "b": 1011}}


def test_other_versions_are_not_compared(
    gate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run fails and says which; only a whole new file is written with them."""
    monkeypatch.setattr(Device, "versions", lambda self: {"numpy": "3", "python": "3.11"})
    monkeypatch.setattr(Device, "run", None)
    for more in ([], ["--update", "--only", "read"], ["--update", "--board", "4"]):
        capsys.readouterr()
        assert cost.main(["--baseline", str(gate), *more]) == 1
        assert capsys.readouterr().err.startswith(
            "numpy: 2 in baseline.json, 3 here\nCounts with other versions cannot"
        )


def test_a_pattern_of_nothing_is_refused(gate: Path) -> None:
    """Rather than pass because nothing moved."""
    with pytest.raises(SystemExit, match="expected --only to be the beginning or pattern of a case's name, got wndow"):
        cost.main(["--baseline", str(gate), "--only", "wndow"])
