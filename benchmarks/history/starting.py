"""Import, opening a bundle, and a cold start: a fresh process that answers one window and ends."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.history import subjects
from benchmarks.history.subjects import STANDARD
from benchmarks.in_turn import run_process
from benchmarks.reference_bundle import FAMILIES, Reference
from edge_runtime import load

version = subjects.VERSION


class Import:
    """Of the package in a fresh interpreter, whose own start does not count."""

    repeat = (5, 10, 5.0)

    def timeraw_edge_runtime(self) -> str:
        return "import edge_runtime"

    def timeraw_edge_runtime_after_numpy(self) -> tuple[str, str]:
        return "import edge_runtime", "import numpy"


class Opening:
    """Read, check and open a bundle; the engine's own packages have been imported."""

    params = (subjects.ENGINES, FAMILIES)
    param_names = ("engine", "family")
    repeat = (3, 10, 0.4)

    def time_load(self, engine: str, family: str) -> None:
        load(subjects.bundle_of(Reference(family=family, variants=())), engine=engine).close()


def processes_time() -> float:
    """CPU seconds of the processes that have been started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class ColdStart:
    """`anomalite score` with one window, start of the interpreter included: CPU time, and peak memory."""

    params = (subjects.ENGINES,)
    param_names = ("engine",)
    timer = staticmethod(processes_time)
    number = 1
    repeat = (5, 10, 6.0)
    timeout = 300

    def time_score(self, engine: str) -> None:
        done = subprocess.run(_command(engine), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(_command(engine))}: {done.stderr}")

    def track_peak_memory(self, engine: str) -> int:
        return round(run_process(_command(engine)).peak_mb * 2**20)

    track_peak_memory.unit = "bytes"  # type: ignore[attr-defined]


def _command(engine: str) -> list[str]:
    return [sys.executable, "-m", "edge_runtime.cli", "score", *_bundle_and_table(), "--engine", engine]


@cache
def _bundle_and_table() -> tuple[str, str]:
    """The bundle, and a table of one window, written into the process's working directory (asv gives each its own)."""
    table = Path("one-window.csv").resolve()
    rows = [f"{step},{','.join('0.1' for _ in range(STANDARD.channels))}" for step in range(STANDARD.length)]
    table.write_text("\n".join([f"time,{','.join(f'c{i}' for i in range(STANDARD.channels))}", *rows]) + "\n")
    return str(subjects.bundle_of(STANDARD).resolve()), str(table)
