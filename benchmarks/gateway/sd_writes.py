"""`python -m benchmarks gateway sd_writes`: what the gateway writes to its card in a day, by the kernel's count of its process.

Ten machines at 1 Hz. The count is of whole pages given to a disk; a journal in memory is not in it. `--journal card` puts it on the disk too.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.gateway import models
from benchmarks.gateway.broker import Broker, free_port
from benchmarks.gateway.child import Child
from benchmarks.gateway.exposed import Exposed
from benchmarks.gateway.plant import Part, Plant
from benchmarks.gateway.program import SERVE, Program, written_bytes
from benchmarks.gateway.spikes import Spikes

LENGTH, CHANNELS, DAY_S, MB_A_DAY = 32, 4, 86_400.0, 20.0


def run(options: argparse.Namespace, command: Sequence[str] = SERVE) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what misses its target."""
    disk = options.folder or Path(options.cache)  # the system's temporary folder may be in memory
    disk.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="gateway-writes-", dir=disk)).resolve()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        broker = stack.enter_context(Broker(folder))
        manifest = models.spiking(1 / options.hz, LENGTH, CHANNELS)
        models.bundle_for(options.engine, folder / "spiking.anomalite", manifest, Path(options.cache).resolve())
        part = Part("spiking", "spiking.anomalite", options.machines, "json", options.engine)
        journal = None
        if options.journal == "memory":
            journal = Path(tempfile.mkdtemp(prefix="gateway-journal-", dir="/dev/shm"))
            stack.callback(shutil.rmtree, journal, ignore_errors=True)
        storage: dict[str, float | str] = {"save_every_s": options.save_every}
        plant = Plant(folder, (part,), broker.port, http_port=free_port(), storage=storage, journal=journal)
        program = Program(plant.write(), command)
        stack.callback(program.close)
        program.start()
        program.wait_ready()
        at_start = written_bytes(program.pid)
        seconds = 60.0 * options.minutes
        warm = 2 * LENGTH / options.hz
        Spikes(
            broker.port, part, CHANNELS, LENGTH, options.hz, seconds + warm + 10.0, options.alerts_a_day / DAY_S, False
        ).write(folder / "spikes.json")
        feeder = stack.enter_context(Child("spikes", str(folder / "spikes.json"), str(folder / "spikes.jsonl")))
        feeder.wait_for("filled")
        feeder.say("go")
        time.sleep(warm)
        before, begin = written_bytes(program.pid), time.monotonic()
        time.sleep(seconds)
        written, elapsed = written_bytes(program.pid) - before, time.monotonic() - begin
        alerts = Exposed.of(plant.http_port or 0).total("anomalite_alerts_total", kind="raised")
        program.stop()
    result = {
        "name": "sd_writes",
        "engine": options.engine,
        "machines": options.machines,
        "hz": options.hz,
        "journal": options.journal,
        "save_every_s": options.save_every,
        "minutes": elapsed / 60,
        "alerts": alerts,
        "start_mb": at_start / 1e6,
        "written_mb": written / 1e6,
        "mb_a_day": written * DAY_S / elapsed / 1e6,
    }
    found = []
    if options.journal == "memory" and result["mb_a_day"] > MB_A_DAY:
        found.append(f"{result['mb_a_day']:.1f} MB a day, expected at most {MB_A_DAY:g}")
    return result, found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `sd_writes`."""
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--hz", type=float, default=1.0)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="measured, after the windows are full; a multiple of the save"
    )
    parser.add_argument("--save-every", type=float, default=300.0, help="storage.save_every_s")
    parser.add_argument("--journal", choices=("memory", "card"), default="memory")
    parser.add_argument("--alerts-a-day", type=float, default=100.0, help="of all machines together")
    parser.add_argument("--engine", default="numpy")


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The table for people."""
    r = result
    return [
        ("machines, Hz", f"{r['machines']}, {r['hz']:g}"),
        ("the journal is", "in memory" if r["journal"] == "memory" else "on the card"),
        ("measured", f"{r['minutes']:.0f} minutes, {r['alerts']:.0f} alerts, a save every {r['save_every_s']:g} s"),
        ("written at the start", f"{r['start_mb']:.2f} MB"),
        ("written in that time", f"{r['written_mb']:.2f} MB"),
        ("a day", f"{r['mb_a_day']:.1f} MB"),
    ]
