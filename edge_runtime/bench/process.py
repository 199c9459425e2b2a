"""Start-up and memory, which only a fresh process has: a few of them for each engine and variant, in turn with bare Python.

The system keeps files it has read in memory: it is the start after another one, not the first after the board was switched on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from statistics import median
from typing import NamedTuple

import edge_runtime
from edge_runtime.bench import memory
from edge_runtime.bench.result import ColdStart
from edge_runtime.bench.usual import readings
from edge_runtime.errors import EngineError

PROCESSES = 5
"""Of each kind; one more before them is not counted, because it compiles the Python files."""
AFTERWARDS = 20
"""Readings that are scored after the first one, before the memory is read."""
PATIENCE_S = 600

_FIRST = "import time; begun = time.monotonic_ns()\n"
_SCORE = """import sys, numpy, edge_runtime
imported = time.monotonic_ns()
_, bundle, engine, variant = sys.argv[1:]
detector = edge_runtime.load(bundle, engine=engine, variant=variant)
loaded, scored = time.monotonic_ns(), None
for line in sys.stdin:
    moment, *values = map(float, line.split())
    score = detector.update(edge_runtime.Reading(moment, values)).score
    if scored is None and score is not None:
        scored = time.monotonic_ns()
print(begun, imported, loaded, scored, end=" ")
"""
_LAST = """import sys
memory = {"__name__": "memory"}
with open(sys.argv[1], encoding="utf-8") as file:
    exec(file.read(), memory)
print(memory[%r]())
"""


class Fresh(NamedTuple):
    """What the fresh processes of one engine and variant showed."""

    cold_start: ColdStart
    peak_bytes: float


class Case(NamedTuple):
    """One engine and variant."""

    engine: str
    variant: str
    before: int
    """How many readings come before the first that is scored."""


class _Start(NamedTuple):
    """Milliseconds of one process by part, and its memory."""

    python: float
    imports: float
    load: float
    first_verdict: float
    peak_bytes: int


def measure_fresh(
    bundle: str,
    cases: Sequence[Case],
    values: Sequence[tuple[float, ...]],
    period_s: float,
    *,
    emulated: bool = False,
    processes: int = PROCESSES,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[float, list[Fresh]]:
    """Start fresh processes in turn: bare Python, then one for each case, and again.

    Returns the bytes of bare Python and what each case showed. `emulated`: leave out the emulator's memory. Raises `EngineError` if
    a process fails.
    """
    last = _LAST % ("emulated_bytes" if emulated else "peak_bytes")
    bare: list[int] = []
    starts: list[list[_Start]] = [[] for _ in cases]
    for turn in range(processes + 1):
        progress(f"fresh processes, round {turn + 1} of {processes + 1}")
        bare.append(int(_run(last, [], "")[1][-1]))
        for case, found in zip(cases, starts, strict=True):
            lines = islice(readings(values, period_s), case.before + 1 + AFTERWARDS)
            text = "".join(f"{row.time!r} {' '.join(map(repr, row.values))}\n" for row in lines)
            found.append(_start(bundle, case, last, text))
    return median(bare[1:]), [_fresh(found[1:]) for found in starts]


def _start(bundle: str, case: Case, last: str, text: str) -> _Start:
    started, answer = _run(_FIRST + _SCORE + last, [bundle, case.engine, case.variant], text)
    *moments, peak = (int(each) for each in answer[-5:])
    python, imports, load, first = ((after - before) / 1e6 for before, after in pairwise([started, *moments]))
    return _Start(python, imports, load, first, peak)


def _fresh(starts: list[_Start]) -> Fresh:
    python, imports, load, first_verdict, peak = (median(column) for column in zip(*starts, strict=True))
    wholes = [sum(each[:4]) for each in starts]
    cold = ColdStart(median(wholes), max(wholes), python, imports, load, first_verdict)
    return Fresh(cold, peak)


def _run(code: str, arguments: list[str], text: str) -> tuple[int, list[str]]:
    """When the process was started, by the clock that all processes share, and the words it answers with."""
    command = [sys.executable, "-P", "-c", code, memory.__file__, *arguments]
    started = time.monotonic_ns()
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise EngineError(f"a fresh process of {sys.executable}: {fault}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise EngineError(
            f"a fresh process ended with status {done.returncode}: {lines[-1] if lines else 'no word of why'}"
        )
    return started, done.stdout.split()


def _environment() -> dict[str, str]:
    """This process's, such that a child may write compiled files, and finds the same package where it is not installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    folder = os.path.dirname(os.path.dirname(os.path.abspath(edge_runtime.__file__)))
    if os.path.basename(folder) not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, environment.get("PYTHONPATH"))))
    return environment
