"""Runs of `anomalite bench` as it could have measured them, made from random times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_runtime.bench.result import STAGES, Bench, ColdStart, Device, Result, Spread

BLOCKS, READINGS = 20, 10_000
DEVICE = Device(
    board="Raspberry Pi 5 Model B Rev 1.0",
    cpu="Cortex-A76",
    cpu_kind="aarch64-fp16",
    cores=4,
    governor="performance",
    mhz=(2400.0, 2400.0, 2400.0, 2400.0),
    max_mhz=2400.0,
    temperature_c=48.0,
    temperature_c_end=51.0,
    throttled=(),
    emulated=False,
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.12.1",
    python="3.11.2",
    numpy="2.4.6",
    packages={"anomalite": "0.1.0", "onnxruntime": "1.31.1"},
    load=0.1,
)


def blocks(
    rng: np.random.Generator,
    us: float = 50.0,
    *,
    noise: float = 0.02,
    follow: float = 0.0,
    drift: float = 0.0,
    bursts: float = 0.0,
) -> np.ndarray:
    """Medians (BLOCKS,) of consecutive blocks in microseconds.

    `noise`: the standard deviation of a block, a fraction; `follow`: the correlation of a block with the one before; `drift`: the
    standard deviation of what a run gains or loses from its first block to its last; `bursts`: the share of blocks in which something
    else ran too.
    """
    logs = np.empty(BLOCKS)
    logs[0] = rng.normal(0, noise)
    for index in range(1, BLOCKS):
        logs[index] = follow * logs[index - 1] + rng.normal(0, noise * np.sqrt(1 - follow**2))
    logs += drift * rng.normal() * np.linspace(0, 1, BLOCKS)
    logs += np.where(rng.random(BLOCKS) < bursts, rng.exponential(0.3, BLOCKS), 0)
    return us * np.exp(logs)


def result(
    engine: str = "onnx",
    variant: str = "onnx-float32",
    *,
    us: Sequence[float] | np.ndarray = (50.0,) * BLOCKS,
    seed: int = 1,
    **changes: Any,
) -> Result:
    """One variant on one engine, from the medians of its blocks: each reading is its block's median and a long tail."""
    tail = np.random.default_rng(seed).lognormal(0, 0.1, READINGS // len(us))
    times = np.outer(us, tail / np.median(tail)).ravel()
    edges = np.geomspace(times.min(), times.max() * 1.001, 60)
    counts, _ = np.histogram(times, edges)
    p50, p90, p99, p999 = np.quantile(times, [0.5, 0.9, 0.99, 0.999]).tolist()
    made = Result(
        engine=engine,
        variant=variant,
        passed_parity=True,
        readings=times.size,
        not_scored=0,
        warm_up=207,
        us_p50=p50,
        us_p90=p90,
        us_p99=p99,
        us_p999=p999,
        us_worst=float(times.max()),
        blocks_us=tuple(np.asarray(us, float).tolist()),
        stages={stage: Spread(p50 / len(STAGES), p99 / len(STAGES)) for stage in STAGES},
        shared_out=(),
        readings_per_s=1e6 / p50,
        best_batch=16,
        best_batch_readings_per_s=2e6 / p50,
        sustained=1.0,
        cold_start_ms=ColdStart(180.0, 190.0, 15.0, 100.0, 60.0, 5.0),
        peak_mb=30.0,
        python_mb=9.0,
        installed_mb={"anomalite": 0.5, "numpy": 60.0},
        histogram_us=tuple(zip(edges[1:].tolist(), counts.astype(float).tolist(), strict=True)),
    )
    return replace(made, **changes)


def bench(*results: Result, **changes: Any) -> Bench:
    """A run; fields of its device are given as `device=dict(...)`."""
    device = replace(DEVICE, **changes.pop("device", {}))
    made = Bench(
        "bench",
        1,
        "pump.anomalite",
        "d" * 64,
        0.2,
        10.0,
        "2026-01-01T00:00:00+00:00",
        device,
        results or (result(),),
        (),
    )
    return replace(made, **changes)
