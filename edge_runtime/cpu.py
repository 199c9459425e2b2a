"""Which kind of CPU this is, as far as the choice of a variant depends on it, and which board."""

from __future__ import annotations

import os
import sys

KINDS = {
    "aarch64-fp16": "64-bit ARM with half precision (Raspberry Pi 5)",
    "aarch64": "64-bit ARM (Raspberry Pi 3, 4, Zero 2)",
    "armv7l": "32-bit ARM (32-bit Raspberry Pi OS)",
    "armv6l": "32-bit ARM without NEON (Raspberry Pi Zero, 1)",
    "x86_64": "x86-64",
}
"""Every kind by name, for people. The first two differ in `asimdhp`, the half-precision vector instructions of ARMv8.2."""


def cpu_kind(cpuinfo: str = "/proc/cpuinfo") -> str:
    """The kind of this CPU, one of `KINDS`, or what the system calls a machine that is none of them.

    A 32-bit Raspberry Pi OS runs 32-bit programs on a 64-bit kernel, which says aarch64: the program's own word size counts.
    """
    machine = os.uname().machine
    if sys.maxsize < 2**32:
        return "armv7l" if machine in ("aarch64", "armv8l") else machine
    if machine in ("arm64", "aarch64"):
        return "aarch64-fp16" if "asimdhp" in _features(cpuinfo) else "aarch64"
    return machine


def board_name(cpuinfo: str = "/proc/cpuinfo", model: str = "/proc/device-tree/model") -> str:
    """The board's model as its device tree has it ("Raspberry Pi 5 Model B Rev 1.0"), else the CPU's, else the machine's kind.

    A container may not show the device tree; a Raspberry Pi's /proc/cpuinfo has the same text.
    """
    try:
        with open(model, encoding="utf-8", errors="replace") as file:
            name = file.read(1000).strip("\0 \n")
    except OSError:
        name = ""
    return name or _first(cpuinfo, "Model") or _first(cpuinfo, "model name") or os.uname().machine


def _features(cpuinfo: str) -> list[str]:
    """The features of the first core; none where the system does not tell."""
    return _first(cpuinfo, "Features").split()


def _first(cpuinfo: str, name: str) -> str:
    """The first value of that name; empty where the system does not tell."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return ""
