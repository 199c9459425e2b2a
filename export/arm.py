"""What a window costs on a Raspberry Pi: ARM instructions, counted under emulation.

Unlike a time, the number is the same whatever else this machine does, and it tells boards apart that are not here. It needs a
root, an ARM userland made by `pi/make-root` with the engines installed (`nox -s pi` makes some); without one there is no number.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import edge_runtime
from edge_runtime.engines import ENGINES
from edge_runtime.errors import ExportError

VARIABLE = "ANOMALITE_PI_ROOT"
"""Names a root that lies elsewhere."""
FEW, MANY = 50, 150
"""Windows of two runs: what differs is the price of the windows, not of the start."""
PATIENCE_S = 300
"""The longest one run may take."""

_CHECKOUT = Path(__file__).resolve().parent.parent
_RUN = """
import importlib.util, sys
folder, bundle, engine, variant, calls = sys.argv[1:]
spec = importlib.util.spec_from_file_location("edge_runtime", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["edge_runtime"] = runtime = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runtime)
import numpy as np
try:
    detector = runtime.load(bundle, engine=engine, variant=variant)
except runtime.AnomaliteError as fault:
    sys.exit(str(fault))
windows = np.random.default_rng(1).normal(size=(1, *detector.manifest.window_shape)).astype(np.float32)
for _ in range(int(calls)):
    detector.engine.run(windows)
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
        if made.read_text().startswith("arm64 ") and len(installed(made.parent)) > 2:
            return made.parent
    return None


def installed(root: Path) -> list[str]:
    """The names of the engines that a root holds."""
    site = root / "opt" / "site"
    return [name for name, info in ENGINES.items() if info.package is None or (site / info.package).is_dir()]


def instructions(root: Path, bundle: Path, engine: str, variant: str, board: int) -> float:
    """ARM instructions that the bare engine executes for one window, at batch 1.

    `root`: made by `pi/make-root`, with `engine` installed; `board`: the Raspberry Pi, 3, 4 or 5 in a root of 64 bits, 2 in one of 32.
    The runtime is this one, not one installed in the root. Raises `ExportError` when the emulated program cannot be run.
    """
    _warm_up(root, bundle, engine, variant, board)
    few, many = (_count(root, bundle, engine, variant, board, calls) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW)


@cache
def _warm_up(root: Path, bundle: Path, engine: str, variant: str, board: int) -> None:
    """The first run also compiles Python files."""
    _count(root, bundle, engine, variant, board, 1)


def _count(root: Path, bundle: Path, engine: str, variant: str, board: int, calls: int) -> int:
    runtime = str(Path(edge_runtime.__file__).resolve().parent)
    command = [str(root / "pi-count"), "-c", _RUN, runtime, str(bundle.resolve()), engine, variant, str(calls)]
    where = f"{bundle.name}: {variant} with {engine} on an emulated Raspberry Pi {board}"
    environment = {**os.environ, "PI": str(board), "PYTHONPATH": ""}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=root
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise ExportError(f"{where}: {fault}") from None
    return counted(done.stderr, done.returncode, where)


def counted(errors: str, status: int, where: str) -> int:
    """The number in what `pi-count` wrote on standard error. Raises `ExportError`, beginning with `where`, if it failed."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    numbers = [found.group(1) for line in lines if (found := re.fullmatch(r"instructions: (\d+)", line))]
    if status == 0 and numbers:
        return int(numbers[-1])
    others = [line for line in lines if not line.startswith("instructions: ")]
    why = others[-1] if others else "no word of why" if status else "expected a line 'instructions: N', got none"
    raise ExportError(f"{where}: exit status {status}: {why}")
