"""The emulated board of the cost gate: with scripts in the emulator's place."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.cost.root import CHECKOUT, TRIES, Root
from edge_runtime.errors import ExportError

PACKAGES = {"numpy": "2.4.6", "ai_edge_litert": "2.3.0", "onnxruntime": "1.31.1"}
SAY = """
echo "mark 0: $turn" >&2
sleep .05  # two runs are not within one tick of the clock that files are stamped with
echo '{{"compiled": ["{0}/compiled.pyc", "{0}/of a frozen module"]}}'
"""


def script(path: Path, lines: str) -> None:
    """An executable of that text."""
    path.write_text(f"#!/bin/bash\n{lines}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with three engines and no Debian; its `pi-count` says as the mark how often it was called."""
    site = tmp_path / "opt" / "site"
    for package, number in PACKAGES.items():
        (site / package).mkdir(parents=True)
        (site / f"{package}-{number}.dist-info").mkdir()
    script(tmp_path / "qemu", "echo 'qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)'")
    script(tmp_path / "pi-python", "echo 3.11.2")
    (tmp_path / ".settings").write_text(f"qemu={tmp_path / 'qemu'} python=python3.11 wheel=aarch64 board=4\n")
    (tmp_path / ".made").write_text("arm64 bookworm 0123456789abcdef\n")
    (tmp_path / "compiled.pyc").touch()
    os.utime(tmp_path / "compiled.pyc", (1e9, 1e9))
    return tmp_path


def pi_count(folder: Path, lines: str) -> Root:
    """The root, its `pi-count` with a counter of calls around those lines."""
    count = f"echo x >> {folder}/calls; turn=$(wc -l < {folder}/calls)"
    script(folder / "pi-count", f"{count}\n{lines}\n{SAY.format(folder)}")
    return Root(folder, folder / "cache")


def test_a_run_that_compiled_is_done_again(folder: Path) -> None:
    """Its count has the compiler in it. One that found everything compiled counts."""
    root = pi_count(folder, f"[ $turn = 1 ] && touch {folder}/compiled.pyc")
    assert root.run(4, [], 1, "read") == (2,)
    assert root.run(4, [], 1, "read") == (3,)


def test_a_root_that_is_being_filled_is_said(folder: Path) -> None:
    """Not counted wrongly."""
    root = pi_count(folder, f"touch {folder}/compiled.pyc")
    with pytest.raises(ExportError, match=f"^read: expected compiled files that stay, got new ones {TRIES} times"):
        root.run(4, [], 1, "read")


def test_the_surroundings_are_always_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This checkout's packages, the board, and nothing of whoever runs it."""
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("LANGUAGE", "de")
    root = pi_count(folder, f"env > {folder}/environment")
    root.run(5, [], 1, "read")
    seen = dict(line.split("=", 1) for line in (folder / "environment").read_text().splitlines())
    assert (seen["PYTHONPATH"], seen["PI"]) == (str(CHECKOUT), "5")
    assert set(seen) - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "PI", "PYTHONPATH", "PYTHONSAFEPATH", "LC_ALL"}


def test_the_versions_are_the_roots(folder: Path) -> None:
    """And the workstation's TensorFlow, which writes some of the models. Of the emulator only what may change a count."""
    assert pi_count(folder, "").versions() == {
        "system": "bookworm arm64",
        "emulator": "7.2",
        "python": "3.11.2",
        "numpy": "2.4.6",
        "ai-edge-litert": "2.3.0",
        "onnxruntime": "1.31.1",
        "tensorflow": version("tensorflow"),
    }


def test_a_root_without_an_engine_is_refused(folder: Path) -> None:
    """Its counts would be missing from the table."""
    (folder / "opt" / "site" / "onnxruntime").rmdir()
    with pytest.raises(ExportError, match="expected the engines litert, onnx, numpy, got none of onnx"):
        pi_count(folder, "")
