"""What a window costs on a Raspberry Pi: ARM instructions, counted under emulation.

Unlike a time, the number is the same whatever else this machine does, and it tells boards apart that are not here. It needs a
root, an ARM userland made by `pi/make-root` with the engines installed (`nox -s pi` makes some); without one there is no number.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import edge_runtime
from edge_runtime.engines import ENGINES
from edge_runtime.errors import ExportError

VARIABLE = "ANOMALITE_PI_ROOT"
"""Names a root that lies elsewhere."""
FEW, MANY = 10, 30
"""Windows of two stretches of one run: what differs is the price of the windows, not of the start or of a stretch."""
FIRST_MARK = -7001000
"""A program asks whether this file is a terminal, and `pi-count` prints how many instructions there were so far (pi/instructions.c)."""
PATIENCE_S = 300
"""The longest one run may take."""

_COUNTER = "instructions.c"
_CHECKOUT = Path(__file__).resolve().parent.parent
_RUN = """
import importlib.util, os, sys
folder, bundle, engine, variant, batch, first, *stretches = sys.argv[1:]
spec = importlib.util.spec_from_file_location("edge_runtime", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["edge_runtime"] = runtime = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runtime)
import numpy as np
try:
    detector = runtime.load(bundle, engine=engine, variant=variant)
except runtime.AnomaliteError as fault:
    sys.exit(str(fault))
windows = np.random.default_rng(1).normal(size=(int(batch), *detector.manifest.window_shape)).astype(np.float32)
for mark, calls in enumerate(map(int, stretches)):
    for _ in range(calls):
        detector.engine.run(windows)
    os.isatty(int(first) - mark)
"""


def find_root() -> Path | None:
    """The root named by ANOMALITE_PI_ROOT, else one with 64 bits that `nox -s pi` made in this checkout, else None.

    Raises `ExportError` if the variable names something else.
    """
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(named).resolve()
        if not (root / "pi-count").exists():
            raise ExportError(f"{VARIABLE}: expected a folder made by pi/make-root, got {named!r}")
        return root
    for made in sorted((_CHECKOUT / ".nox" / "pi").glob("*/.made")):
        if made.read_text().startswith("arm64 ") and len(installed(made.parent)) > 2 and _sets_marks(made.parent):
            return made.parent
    return None


def _sets_marks(root: Path) -> bool:
    """Whether its counter is this checkout's: a root is only made again when `nox` needs it."""
    return (root / _COUNTER).read_bytes() == (_CHECKOUT / "pi" / _COUNTER).read_bytes()


def installed(root: Path) -> list[str]:
    """The names of the engines that a root holds."""
    site = root / "opt" / "site"
    return [name for name, info in ENGINES.items() if info.package is None or (site / info.package).is_dir()]


def instructions(root: Path, bundle: Path, engine: str, variant: str, board: int, batch: int = 1) -> float:
    """ARM instructions that the bare engine executes for one window of a batch of so many.

    `root`: made by `pi/make-root`, with `engine` installed; `board`: the Raspberry Pi, 3, 4 or 5 in a root of 64 bits, 2 in one of 32.
    The runtime is this one, not one installed in the root. Raises `ExportError` when the emulated program cannot be run.
    """
    runtime = str(Path(edge_runtime.__file__).resolve().parent)
    stretches = map(str, (FEW, FEW, MANY))  # the first is left out: caches fill
    arguments = ("-c", _RUN, runtime, str(bundle.resolve()), engine, variant, str(batch), str(FIRST_MARK), *stretches)
    where = f"{bundle.name}: {variant} with {engine} on an emulated Raspberry Pi {board}"
    ready, few, many = count_marks(root, arguments, board, where, 3, {**os.environ, "PYTHONPATH": ""}).marks
    return ((many - few) - (few - ready)) / (MANY - FEW) / batch


class Counted(NamedTuple):
    """What a program under `pi-count` said."""

    marks: tuple[int, ...]
    """The instructions since its start at each of its marks."""
    output: str
    """Its standard output."""


def count_marks(
    root: Path, arguments: Sequence[str], board: int, where: str, marks: int, environment: Mapping[str, str]
) -> Counted:
    """Run the root's Python with `arguments` on the board; the counts at its `marks` marks.

    `where` begins the message of the `ExportError` that is raised when it cannot be run, fails, or sets another number of marks.
    """
    command = [str(root / "pi-count"), *arguments]
    try:
        done = subprocess.run(
            command,
            env={**environment, "PI": str(board)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            cwd=root,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise ExportError(f"{where}: {fault}") from None
    return Counted(marks_in(done.stderr, done.returncode, where, marks), done.stdout)


def marks_in(errors: str, status: int, where: str, expected: int) -> tuple[int, ...]:
    """The counts in what `pi-count` wrote on standard error. Raises `ExportError`, beginning with `where`, if it failed."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    found = [match for line in lines if (match := re.fullmatch(r"mark (\d+): (\d+)", line))]
    if status == 0 and [int(match[1]) for match in found] == list(range(expected)):
        return tuple(int(match[2]) for match in found)
    if status == 0:
        raise ExportError(
            f"{where}: expected the marks 0 to {expected - 1}, got {len(found)}: a root made before there were any? (pi/make-root)"
        )
    others = [line for line in lines if not line.startswith(("instructions: ", "mark "))]
    raise ExportError(f"{where}: exit status {status}: {others[-1] if others else 'no word of why'}")
