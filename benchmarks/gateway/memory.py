"""`python -m benchmarks gateway memory`: what the gateway holds above python, numpy, the engine and the model, by the number of machines.

Every size is a fresh gateway whose machines all have full windows, whose page was asked for and whose metrics were scraped once. A line
through the sizes gives what it takes without machines and what one more takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.bare import model_of, start_command
from benchmarks.context import ONE_THREAD
from benchmarks.gateway import models
from benchmarks.gateway.broker import Broker, free_port
from benchmarks.gateway.child import Child
from benchmarks.gateway.exposed import page, wait_until_taken
from benchmarks.gateway.plant import Part, Plant
from benchmarks.gateway.program import SERVE, Program, memory_bytes
from benchmarks.gateway.spikes import Spikes
from benchmarks.scaling.fit import line

LENGTH, CHANNELS, HZ = 32, 4, 0.1
ABOVE_FLOOR_MB, KB_A_MACHINE = 25.0, 6.0
PAGES = ("/", "/status.json", "/metrics", "/healthz")
KEYS = ("rss", "pss", "peak")


def run(options: argparse.Namespace, command: Sequence[str] = SERVE) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what misses its target."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-memory-", dir=options.folder))
    manifest = models.spiking(1 / HZ, LENGTH, CHANNELS)
    try:
        bundle = models.bundle_for(
            options.engine, folder / "spiking.anomalite", manifest, Path(options.cache).resolve()
        )
        floor = floor_of(bundle, options.engine)
        points = [
            {"machines": count, **weigh(folder / str(count), bundle, count, options.engine, command)}
            for count in options.sizes
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {"name": "memory", "engine": options.engine, "floor": _mb(floor), "points": points}
    found = []
    for key in KEYS:
        above = [point[f"{key}_mb"] - result["floor"][f"{key}_mb"] for point in points]
        slope = line(options.sizes, above)[0] if len(above) > 1 else 0.0
        result[f"{key}_above_mb"] = sum(above) / len(above) - slope * sum(options.sizes) / len(above)
        result[f"{key}_kb_a_machine"] = 1e3 * slope
    for point in points:
        most = result["floor"]["peak_mb"] + ABOVE_FLOOR_MB + point["machines"] * KB_A_MACHINE / 1e3
        if point["peak_mb"] > most:
            found.append(f"{point['machines']} machines: {point['peak_mb']:.1f} MB, expected at most {most:.1f}")
    return result, found


def floor_of(bundle: Path, engine: str) -> dict[str, int]:
    """A process with numpy and the engine imported and the model opened, and nothing else."""
    data, _ = model_of(bundle, engine)
    program = start_command(engine, data, bundle.with_suffix(".model"))
    waiting = f"{program}\nprint('opened', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        held = memory_bytes(process.pid)
        process.communicate("\n")
    return held


def _environment() -> dict[str, str]:
    return {**os.environ, **ONE_THREAD}


def weigh(folder: Path, bundle: Path, count: int, engine: str, command: Sequence[str]) -> dict[str, float]:
    """The memory of a gateway with so many machines, MB."""
    with ExitStack() as stack:
        folder.mkdir()
        broker = stack.enter_context(Broker(folder))
        shutil.copy(bundle, folder)
        part = Part("spiking", bundle.name, count, "listed", engine)
        port = free_port()
        plant = Plant(folder, (part,), broker.port, http_port=port)
        program = Program(plant.write(), command)
        stack.callback(program.close)
        program.start()
        program.wait_ready()
        seconds = max(10.0, count / 1000.0)
        Spikes(broker.port, part, CHANNELS, LENGTH, HZ, seconds, 0.2).write(folder / "spikes.json")
        feeder = stack.enter_context(Child("spikes", str(folder / "spikes.json"), str(folder / "spikes.jsonl")))
        feeder.wait_for("filled", 600.0)
        wait_until_taken(port, LENGTH * count)
        feeder.say("go")
        feeder.wait(seconds + 120.0)
        for path in PAGES:
            page(port, path)
        time.sleep(3.0)
        held = _mb(memory_bytes(program.pid))
        program.stop()
        return held


def _mb(sizes: dict[str, int]) -> dict[str, float]:
    return {f"{name}_mb": size / 1e6 for name, size in sizes.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `memory`."""
    parser.add_argument("--engine", default="onnx", help="all but numpy need TensorFlow once")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100, 1000, 10_000], help="numbers of machines")


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The table for people."""
    floor = result["floor"]
    sizes = [
        (f"{point['machines']:,} machines", f"{point['rss_mb']:.1f}, {point['pss_mb']:.1f}, {point['peak_mb']:.1f} MB")
        for point in result["points"]
    ]
    return [
        (
            f"resident, proportional, peak: python, numpy, {result['engine']} and the model",
            f"{floor['rss_mb']:.1f}, {floor['pss_mb']:.1f}, {floor['peak_mb']:.1f} MB",
        ),
        *sizes,
        ("above that, without machines", ", ".join(f"{result[f'{key}_above_mb']:.1f}" for key in KEYS) + " MB"),
        ("a machine", ", ".join(f"{result[f'{key}_kb_a_machine']:.2f}" for key in KEYS) + " kB"),
    ]
