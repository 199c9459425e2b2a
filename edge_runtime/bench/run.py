"""One run of `anomalite bench`: every engine and variant that runs here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np

from edge_runtime.bench.board import Board
from edge_runtime.bench.candidate import Candidate
from edge_runtime.bench.device import describe, look
from edge_runtime.bench.latency import WARM_UP
from edge_runtime.bench.process import PROCESSES, Case, Fresh, measure_fresh
from edge_runtime.bench.result import FORMAT, Bench, Result, name_of
from edge_runtime.bench.sizes import installed_mb
from edge_runtime.bench.usual import usual_values
from edge_runtime.bundle import Bundle
from edge_runtime.cpu import cpu_kind
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import EngineError, ExtraMissingError, InputError
from edge_runtime.manifest import Variant
from edge_runtime.opening import obstacle

TURNS = 10
"""The engines and variants take turns, so that a change of the clock frequency, or another program, meets all of them alike."""

Progress = Callable[[str], None]


def measure(
    path: str | os.PathLike[str],
    *,
    engine: str = "all",
    variant: str | None = None,
    seconds: float = 10.0,
    processes: int = PROCESSES,
    board: Board | None = None,
    progress: Progress = lambda _: None,
) -> Bench:
    """Measure a bundle on this machine.

    `engine`, `variant`: only that one; `seconds`: how long each of them is timed; `processes`: how many fresh ones tell start-up and
    memory; `board`: None: the one at hand. Raises `InputError`, `BundleError`, `EngineError`, `ExtraMissingError`.
    """
    if not 0 < seconds < np.inf:
        raise InputError(f"expected --seconds above 0, got {seconds:g}")
    bundle = Bundle.read(path)
    usable, ruled_out = runnable(bundle, engine, variant)
    values = usual_values(bundle)
    board = board or Board()
    at_start = look(board)
    measured, failed = _in_turn(bundle, usable, values, seconds, progress)
    cases = [Case(each["engine"], each["variant"], each["warm_up"] - WARM_UP) for each in measured]
    period_s, emulated = bundle.manifest.sampling.period_s, board.emulator() is not None
    python, fresh = measure_fresh(
        os.fspath(path), cases, values, period_s, emulated=emulated, processes=processes, progress=progress
    )
    results = [
        Result(**each, **_of_processes(each["engine"], python, of)) for each, of in zip(measured, fresh, strict=True)
    ]
    progress("")
    return Bench(
        benchmark="bench",
        format=FORMAT,
        bundle=os.path.basename(os.fspath(path)),
        digest=bundle.digest,
        bundle_mb=os.path.getsize(path) / 1e6,
        seconds=seconds,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        device=describe(board, at_start, _packages([each.engine for each in results])),
        results=tuple(results),
        not_measured=(*failed, *ruled_out),
    )


def _in_turn(
    bundle: Bundle,
    usable: Sequence[tuple[str, Variant]],
    values: Sequence[tuple[float, ...]],
    seconds: float,
    progress: Progress,
) -> tuple[list[dict[str, Any]], list[str]]:
    """What this process can measure of each engine and variant, as fields of `Result`, and why others could not be measured.

    Raises `EngineError` if none could.
    """
    failed: dict[str, str] = {}
    candidates: list[Candidate] = []
    measured = []
    for engine, variant in usable:
        name = name_of(engine, variant.name)
        progress(f"warming up {name}")
        with _noted(failed, name):
            candidates.append(Candidate(bundle, engine, variant, values))
    for turn in range(1, TURNS + 1):
        for each in candidates:
            progress(f"turn {turn} of {TURNS}, {each.name}")
            if each.name not in failed:
                with _noted(failed, each.name):
                    each.take(seconds / TURNS)
    for each in candidates:
        progress(f"batches, {each.name}")
        if each.name not in failed:
            with _noted(failed, each.name):
                measured.append(each.finish(seconds))
    reasons = [f"{name}: {fault}" for name, fault in failed.items()]
    if not measured:
        raise EngineError(f"{bundle.source}: nothing could be measured: {'; '.join(reasons)}")
    return measured, reasons


@contextmanager
def _noted(failed: dict[str, str], name: str) -> Iterator[None]:
    """One that cannot run the model does not hide what the others do."""
    try:
        yield
    except EngineError as fault:
        failed[name] = str(fault)


def runnable(bundle: Bundle, engine: str, variant: str | None) -> tuple[list[tuple[str, Variant]], list[str]]:
    """The engines and variants that run here, and why the others do not, for people.

    Raises `EngineError` if there is none, `ExtraMissingError` for an engine that was asked for and is not installed, `BundleError`.
    """
    if engine != "all" and engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}, known: all, {', '.join(ENGINES)}")
    if engine != "all" and not is_installed(engine):
        info = ENGINES[engine]
        raise ExtraMissingError(f"the engine {engine!r}", str(info.extra), str(info.package))
    variants = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    usable, ruled_out = [], []
    for name in ENGINES if engine == "all" else (engine,):
        for each in variants:
            if name in each.engines:
                why = obstacle(each, name, cpu_kind()) if is_installed(name) else "the engine is not installed"
                if why is None:
                    usable.append((name, each))
                else:
                    ruled_out.append(f"{name_of(name, each.name)}: {why}")
    if not usable:
        has = "; ".join(ruled_out) or ", ".join(f"{each.name} (for {' or '.join(each.engines)})" for each in variants)
        raise EngineError(f"{bundle.source}: expected a variant that runs here, got {has or 'none'}")
    return usable, ruled_out


def _of_processes(engine: str, python_bytes: float, fresh: Fresh) -> dict[str, Any]:
    """What fresh processes and the disk show of it, as fields of `Result`."""
    return {
        "cold_start_ms": fresh.cold_start,
        "peak_mb": (fresh.peak_bytes - python_bytes) / 1e6,
        "python_mb": python_bytes / 1e6,
        "installed_mb": installed_mb(("numpy", *_packages([engine]))),
    }


def _packages(engines: Sequence[str]) -> tuple[str, ...]:
    """The import packages that the engines need beside numpy, each once."""
    return tuple(dict.fromkeys(package for name in engines if (package := ENGINES[name].package) is not None))
