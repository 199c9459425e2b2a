"""Counting ARM instructions: with a stand-in for the emulator everywhere, with a real root where `nox -s pi` made one."""

from __future__ import annotations

from pathlib import Path

import handmade
import pytest

from edge_runtime.errors import ExportError
from export.arm import FEW, MANY, VARIABLE, find_root, installed, instructions, marks_in


def stand_in(root: Path, script: str) -> Path:
    """A root whose `pi-count` is a shell script; `mark N COUNT` in it is what the counter prints."""
    (root / "opt" / "site" / "onnxruntime").mkdir(parents=True)
    command = root / "pi-count"
    command.write_text(f'#!/bin/bash\nmark() {{ echo "mark $1: $2" >&2; }}\n{script}\n')
    command.chmod(0o755)
    return root


def count(root: Path) -> float:
    return instructions(root, handmade.TINY, "numpy", "numpy-float32", 4)


def test_neither_the_start_nor_a_stretch_is_counted(tmp_path: Path) -> None:
    """Two stretches of one run, and their difference divided by the windows that one has more."""
    few, many = 7_000_000 + 55 + 1234 * FEW, 7_000_000 + 2 * 55 + 1234 * (FEW + MANY)
    root = stand_in(
        tmp_path, f'mark 0 7000000; echo "noise" >&2; mark 1 {few}; mark 2 {many}; echo "instructions: 9" >&2'
    )
    assert count(root) == 1234
    assert MANY > FEW


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "a bad model" >&2; echo "instructions: 5" >&2; exit 1', "exit status 1: a bad model"),
        ("exit 139", "exit status 139: no word of why"),
        ("true", "expected the marks 0 to 2, got 0: a root made before there were any?"),
        ("mark 0 1; mark 1 2", "expected the marks 0 to 2, got 2"),
    ],
)
def test_an_emulator_that_fails_is_said(tmp_path: Path, script: str, message: str) -> None:
    """On one line: which file, variant, engine and board, and its own last word."""
    with pytest.raises(ExportError) as caught:
        count(stand_in(tmp_path, script))
    assert str(caught.value).startswith("tiny.anomalite: numpy-float32 with numpy on an emulated Raspberry Pi 4: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_root(tmp_path: Path) -> None:
    """There is nothing to run in it."""
    with pytest.raises(ExportError, match="No such file"):
        count(tmp_path / "none")


def test_only_whole_lines_are_marks() -> None:
    """A program may print what looks like one."""
    assert marks_in("a mark 7: 1\nmark 0: 5\nsomething\nmark 1: 22\ninstructions: 30\n", 0, "x", 2) == (5, 22)


def test_the_variable_names_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else there is an error, not a table without the column."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ExportError, match=r"ANOMALITE_PI_ROOT: expected a folder made by pi/make-root, got "):
        find_root()
    root = stand_in(tmp_path, "")
    assert find_root() == root.resolve()
    assert installed(root) == ["onnx", "numpy"]


@pytest.mark.parametrize("engine", ["onnx", "numpy"])
def test_a_real_root_counts_the_same_twice(engine: str) -> None:
    """Within half a percent, and not nothing. (ONNX Runtime moved by 0.16 %.)"""
    root = find_root()
    if root is None or engine not in installed(root):
        pytest.skip("no ARM userland with this engine: `nox -s pi` makes one")
    variant = f"{engine}-float32"
    first, second = (instructions(root, handmade.TINY, engine, variant, 4) for _ in range(2))
    assert first == pytest.approx(second, rel=5e-3)
    assert first > 10_000


def test_a_window_of_a_batch_is_counted() -> None:
    """It costs less than one alone, and is the price of one, not of all."""
    root = find_root()
    if root is None:
        pytest.skip("no ARM userland: `nox -s pi` makes one")
    alone, together = (instructions(root, handmade.TINY, "numpy", "numpy-float32", 4, batch) for batch in (1, 4))
    assert alone / 4 < together < alone


def test_what_the_emulated_program_refuses_is_said() -> None:
    """The runtime's own message comes through."""
    root = find_root()
    if root is None:
        pytest.skip("no ARM userland: `nox -s pi` makes one")
    with pytest.raises(ExportError, match=r"no variant|expected.*variant|unknown"):
        instructions(root, handmade.TINY, "numpy", "no-such-variant", 4)
