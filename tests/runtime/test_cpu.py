"""Which kind of CPU this is, and which board."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_runtime.cpu import KINDS, board_name, cpu_kind

PI_4 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
PI_5 = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd aes atomics fphp asimdhp asimddp\n"


@pytest.mark.parametrize(
    ("machine", "words", "cpuinfo", "expected"),
    [
        ("aarch64", 64, PI_4, "aarch64"),
        ("aarch64", 64, PI_5, "aarch64-fp16"),
        ("aarch64", 64, None, "aarch64"),
        ("aarch64", 32, PI_5, "armv7l"),  # a 32-bit Raspberry Pi OS on a 64-bit kernel
        ("armv7l", 32, "", "armv7l"),
        ("armv6l", 32, "", "armv6l"),
        ("x86_64", 64, "flags\t: asimdhp\n", "x86_64"),
        ("riscv64", 64, "", "riscv64"),
    ],
)
def test_the_kind_follows_from_the_machine_its_words_and_its_features(
    machine: str, words: int, cpuinfo: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that does not tell its features has none of them."""
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setattr(sys, "maxsize", 2 ** (words - 1) - 1)
    assert cpu_kind(str(path)) == expected


def test_this_machine_is_of_a_kind() -> None:
    """The real one, wherever the tests run."""
    assert cpu_kind() in KINDS


@pytest.mark.parametrize(
    ("model", "cpuinfo", "expected"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0\0", PI_5 + "Model\t\t: another\n", "Raspberry Pi 5 Model B Rev 1.0"),
        (None, PI_4 + "Model\t\t: Raspberry Pi 4 Model B Rev 1.1\n", "Raspberry Pi 4 Model B Rev 1.1"),
        ("", "model\t\t: 1\nmodel name\t: AMD EPYC\n\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        (None, "", "riscv64"),
        (None, None, "riscv64"),
    ],
)
def test_the_board_is_the_device_trees_model_or_the_cpu(
    model: str | None, cpuinfo: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container hides the device tree; a PC has none; a system may tell nothing."""
    for name, text in (("model", model), ("cpuinfo", cpuinfo)):
        if text is not None:
            (tmp_path / name).write_text(text)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    assert board_name(str(tmp_path / "cpuinfo"), str(tmp_path / "model")) == expected
