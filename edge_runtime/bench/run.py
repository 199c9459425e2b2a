"""One run of `anomalite bench`: every engine and variant that runs here, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bench import latency, stages
from edge_runtime.bench.board import Board
from edge_runtime.bench.device import describe, look
from edge_runtime.bench.process import PROCESSES, Case, Fresh, measure_fresh
from edge_runtime.bench.result import FORMAT, Bench, Result
from edge_runtime.bench.sizes import installed_mb
from edge_runtime.bench.usual import readings, usual_values
from edge_runtime.bundle import Bundle
from edge_runtime.cpu import cpu_kind
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import EngineError, ExtraMissingError, InputError
from edge_runtime.golden import check_golden, read_golden
from edge_runtime.manifest import Manifest, Variant
from edge_runtime.opening import obstacle, open_variant
from edge_runtime.prepare import Preparation
from edge_runtime.readings import to_microseconds

STAGES_SHARE, BATCHES_SHARE = 0.3, 0.2
"""Of the seconds: how much longer the pass for the stages takes, and the one for the batches."""

Values = Sequence[tuple[float, ...]]
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
    values = usual_values(bundle)
    board = board or Board()
    at_start = look(board)
    measured, not_measured = [], []
    usable, ruled_out = runnable(bundle, engine, variant)
    for name, each in usable:
        progress(f"{each.name} on {name}")
        try:
            measured.append((name, each, _measure_one(bundle, name, each, values, seconds)))
        except EngineError as fault:
            not_measured.append(f"{each.name} on {name}: {fault}")
    if not measured:
        raise EngineError(f"{bundle.source}: nothing could be measured: {'; '.join(not_measured)}")
    cases = [Case(name, each.name, fields["warm_up"] - latency.WARM_UP) for name, each, fields in measured]
    period_s = bundle.manifest.sampling.period_s
    python, fresh = measure_fresh(
        os.fspath(path),
        cases,
        values,
        period_s,
        emulated=board.emulator() is not None,
        processes=processes,
        progress=progress,
    )
    progress("")
    results = [
        Result(engine=name, variant=each.name, **fields, **_of_processes(name, python, shown))
        for (name, each, fields), shown in zip(measured, fresh, strict=True)
    ]
    return Bench(
        benchmark="bench",
        format=FORMAT,
        bundle=os.path.basename(os.fspath(path)),
        digest=_digest(path),
        bundle_mb=os.path.getsize(path) / 1e6,
        seconds=seconds,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        device=describe(board, at_start, _packages([name for name, _, _ in measured])),
        results=tuple(results),
        not_measured=(*not_measured, *ruled_out),
    )


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
                    ruled_out.append(f"{each.name} on {name}: {why}")
    if not usable:
        has = "; ".join(ruled_out) or ", ".join(f"{each.name} (for {' or '.join(each.engines)})" for each in variants)
        raise EngineError(f"{bundle.source}: expected a variant that runs here, got {has or 'none'}")
    return usable, ruled_out


def _measure_one(bundle: Bundle, engine: str, variant: Variant, values: Values, seconds: float) -> dict[str, Any]:
    """What one process can measure of one variant, as fields of `Result`."""
    detector = open_variant(bundle, engine, variant)
    period_s = bundle.manifest.sampling.period_s
    stream = readings(values, period_s)
    unscored = latency.warm_up(detector, stream)
    timed = latency.time_updates(detector, stream, seconds)
    warm_up = unscored + latency.WARM_UP
    split = stages.split(detector, readings(values, period_s), warm_up, STAGES_SHARE * seconds)
    windows = _windows(bundle.manifest, values, unscored)
    batch, rate = latency.best_batch(detector, windows, variant.largest_batch, BATCHES_SHARE * seconds)
    detector.close()
    return {
        **latency.as_json(timed.us),
        "passed_parity": _passed(bundle, engine, variant),
        "not_scored": timed.not_scored,
        "warm_up": warm_up,
        "stages": split.spread,
        "shared_out": split.shared_out,
        "best_batch": batch,
        "best_batch_readings_per_s": rate,
    }


def _windows(manifest: Manifest, values: Values, unscored: int) -> npt.NDArray[np.float32]:
    """The first `LARGEST_BATCH` windows (B, T, F) of the usual readings, the same ones again if there are too few."""
    rows = list(islice(readings(values, manifest.sampling.period_s), unscored + latency.LARGEST_BATCH))
    times = np.array([to_microseconds(row.time) for row in rows], np.int64)
    found, _, _ = Preparation(manifest.preparation).windows_of(np.array([row.values for row in rows]), times)
    return np.resize(found, (latency.LARGEST_BATCH, *found.shape[1:]))


def _passed(bundle: Bundle, engine: str, variant: Variant) -> bool:
    """Whether export proved the variant, and it answers the golden readings right here."""
    if not variant.parity or bundle.manifest.golden is None:
        return bool(variant.parity)
    return check_golden(bundle, read_golden(bundle), variant, engine).passed


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


def _digest(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return file.read()[-64:].decode("ascii")
