"""Times that take turns, so that a drift of the machine's speed meets both sides alike."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

# Linux begins a program's peak memory with that of the process which started it, so a small one does.
_STARTER = """
import os, sys, time
nowhere = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
start = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[nowhere])
_, status, usage = os.wait4(process, 0)
taken = time.perf_counter() - start
print(taken * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


class Turns(NamedTuple):
    """Two functions compared, microseconds a call."""

    ours: float
    bare: float
    above: float
    """The median of the differences."""


class Process(NamedTuple):
    """What a process took."""

    ms: float
    cpu_ms: float
    """User and system time: less disturbed by others than the clock on the wall."""
    peak_mb: float
    """At least that of a bare Python without site-packages, some 9."""


def in_turn(ours: Callable[[], object], bare: Callable[[], object], calls: int, rounds: int) -> Turns:
    """Short blocks of `calls` that take turns, `rounds` of each; medians. Either comes first every second time."""
    pairs = []
    for turn in range(rounds):
        first, second = (ours, bare) if turn % 2 else (bare, ours)
        a, b = block(first, calls), block(second, calls)
        pairs.append((a, b) if turn % 2 else (b, a))
    return Turns(median(a for a, _ in pairs), median(b for _, b in pairs), median(a - b for a, b in pairs))


def block(function: Callable[[], object], calls: int) -> float:
    """Microseconds of processor time a call: with one thread the time it takes, less what other processes take from it."""
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls * 1e6


def processes_in_turn(commands: Sequence[Sequence[str]], rounds: int) -> list[Process]:
    """Each command in `rounds` fresh processes, taking turns; medians. The first of each is left out: it writes the .pyc files."""
    samples = [[run_process(command) for command in commands] for _ in range(rounds + 1)][1:]
    return [Process(*(median(each) for each in zip(*column, strict=True))) for column in zip(*samples, strict=True)]


def run_process(command: Sequence[str]) -> Process:
    """One fresh process. Raises `RuntimeError` with what it said if it failed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONDONTWRITE")}
    starter = [sys.executable, "-I", "-S", "-c", _STARTER, *command]
    done = subprocess.run(starter, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr}")
    return Process(*map(float, done.stdout.split()))
