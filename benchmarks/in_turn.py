"""Times that take turns, so that a drift of the machine's speed meets both sides alike."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple


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
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - start) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        again = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}: {again.stderr}")
    return Process(taken, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024)
