"""The context of a run: the board before and after it."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

import numpy as np

from edge_runtime.bench.board import Board
from edge_runtime.bench.result import Device
from edge_runtime.bench.sizes import OURS, versions
from edge_runtime.cpu import cpu_kind


class Moment(NamedTuple):
    """What of a board changes."""

    mhz: tuple[float, ...] | None
    temperature_c: float | None
    load: float | None


def look(board: Board) -> Moment:
    """The board now."""
    return Moment(board.mhz(), board.temperature_c(), board.load())


def describe(board: Board, at_start: Moment, packages: tuple[str, ...]) -> Device:
    """The board at the end of a run that began `at_start`; `packages`: the engines' import packages."""
    cpu, emulator = board.cpu(), board.emulator()
    name = board.model() or cpu
    return Device(
        board=name if emulator is None else f"{name}, emulated by {emulator}",
        cpu=cpu,
        cpu_kind=cpu_kind(),
        cores=os.cpu_count() or 1,
        governor=board.governor(),
        mhz=at_start.mhz,
        max_mhz=board.max_mhz(),
        temperature_c=at_start.temperature_c,
        temperature_c_end=board.temperature_c(),
        throttled=board.throttled(),
        emulated=emulator is not None,
        os=board.system(),
        kernel=platform.release(),
        python=platform.python_version(),
        numpy=np.__version__,
        packages=versions((OURS, *packages)),
        load=at_start.load,
    )
