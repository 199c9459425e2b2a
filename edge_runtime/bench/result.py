"""What `anomalite bench` measured: its JSON line as frozen dataclasses.

`us` are microseconds, `ms` milliseconds, `mb` millions of bytes. Everything that a board does not tell is None.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

from edge_runtime.errors import InputError
from edge_runtime.schema import decode, encode

FORMAT = 1
"""The version of the line this module writes and reads."""
STAGES = ("clean", "scale", "window", "engine", "score", "threshold", "other")
"""What happens between reading and verdict; `other` is what is left: checks, the verdict, and what belongs to no other stage."""

ADDED = ("comparison", "choice")
"""What `--compare` and `--choose` add to the line; a run is read without it."""


@dataclass(frozen=True)
class Spread:
    """Of many times the middle one, and the one that 1 in 100 exceeds."""

    us_p50: float
    us_p99: float


@dataclass(frozen=True)
class ColdStart:
    """A fresh process, from its start to the first verdict. The parts are medians, so they add up nearly, not exactly."""

    p50: float
    """Milliseconds, the middle one of several processes."""
    worst: float
    python: float
    """Until Python runs the first line."""
    imports: float
    """numpy and the runtime."""
    load: float
    """The bundle is read and verified, the engine's package imported, the model opened."""
    first_verdict: float
    """The first window of readings taken, and the first score."""


@dataclass(frozen=True)
class Result:
    """One variant of the bundle on one engine."""

    engine: str
    variant: str
    passed_parity: bool
    """Whether the bundle holds the record that export proved it, and it answers the golden readings right on this machine."""
    readings: int
    """How many were timed: those that were scored."""
    not_scored: int
    """How many were answered without a score meanwhile, and left out."""
    warm_up: int
    """How many readings came before those, untimed."""
    us_p50: float
    """Of one `Detector.update`: a reading in, its verdict out, with a full window."""
    us_p90: float
    us_p99: float
    us_p999: float
    us_worst: float
    blocks_us: tuple[float, ...]
    """The median of each of about 20 blocks of consecutive readings."""
    stages: dict[str, Spread]
    """The same time split into `STAGES`, measured in a pass of its own."""
    shared_out: tuple[str, ...]
    """Stages that are done in one function: its time is shared out among them as it is when they are done one by one."""
    readings_per_s: float
    """One after the other, as `update` takes them."""
    best_batch: int
    """How many windows in one engine call gave the most windows a second."""
    best_batch_readings_per_s: float
    """Windows a second in calls of so many: engine and score."""
    sustained: float
    """The rate of the second half of the time against the first: below 1 the board became slower."""
    cold_start_ms: ColdStart
    peak_mb: float
    """The peak memory of a fresh process that scores with it, above bare Python's."""
    python_mb: float
    """The peak memory of bare Python."""
    installed_mb: dict[str, float]
    """What each package takes on the disk, this one, numpy and the engine's."""
    histogram_us: tuple[tuple[float, float], ...]
    """The latencies counted: each bin's upper edge, and how many are in it."""


@dataclass(frozen=True)
class Device:
    """Where it was measured, as far as the board tells."""

    board: str
    """The board's model, else the CPU's; of an emulated one it says so."""
    cpu: str
    cpu_kind: str
    """As in `cpu.py`."""
    cores: int
    governor: str | None
    """What decides on the clock frequency; `performance` keeps it at its greatest."""
    mhz: tuple[float, ...] | None
    """Each core's clock at the start."""
    max_mhz: float | None
    temperature_c: float | None
    """At the start."""
    temperature_c_end: float | None
    throttled: tuple[str, ...] | None
    """What held the board back, at the end of the run; empty: nothing; None: it does not tell."""
    emulated: bool
    """Whether an emulator ran the program: then its times are no board's."""
    os: str
    kernel: str
    python: str
    numpy: str
    packages: dict[str, str]
    """The versions of this package and of the engines' packages."""
    load: float | None
    """Processes that wanted to run, the average of the minute before the start."""


@dataclass(frozen=True)
class Bench:
    """One run of `anomalite bench`."""

    benchmark: Literal["bench"]
    format: int
    bundle: str
    """The file's name."""
    digest: str
    """The SHA-256 that the bundle ends with."""
    bundle_mb: float
    seconds: float
    """How long each engine and variant was timed for."""
    time: str
    """When, ISO 8601 UTC."""
    device: Device
    results: tuple[Result, ...]
    not_measured: tuple[str, ...]
    """What the bundle holds and this machine cannot run, and why."""


def name_of(engine: str, variant: str) -> str:
    """What people call one of the results."""
    return f"{variant} on {engine}"


def to_line(bench: Bench) -> str:
    """The line of JSON, numbers to six digits: no clock is better."""
    return json.dumps(_rounded(encode(bench)), allow_nan=False)


def read_result(path: str | PathLike[str]) -> Bench:
    """Read what `anomalite bench` printed: the last line of a file. Raises `InputError` naming it."""
    source = str(path)
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{source}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    try:
        data = json.loads(lines[-1]) if lines else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("benchmark") != "bench":
        raise InputError(f"{source}: expected a last line of JSON as `anomalite bench` writes it, got something else")
    if data.get("format") != FORMAT:
        raise InputError(f"{source}: expected a line of format {FORMAT}, got {data.get('format')!r}: measure again")
    for added in ADDED:
        data.pop(added, None)
    return decode(Bench, data, source)


def _rounded(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _rounded(item) for key, item in data.items()}
    if isinstance(data, list):
        return [_rounded(item) for item in data]
    return float(f"{data:.6g}") if isinstance(data, float) else data
