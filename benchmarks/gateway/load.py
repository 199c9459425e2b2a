"""`python -m benchmarks gateway load`: processor time, and from a reading to its alert, under a steady load over real MQTT.

The gateway has one core for itself where there are two; broker, feeder and subscriber have the others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway import models
from benchmarks.gateway.broker import Broker, free_port
from benchmarks.gateway.child import Child
from benchmarks.gateway.exposed import Exposed, wait_until_taken
from benchmarks.gateway.plant import Part, Plant
from benchmarks.gateway.program import SERVE, Program, cpu_s, memory_bytes
from benchmarks.gateway.received import Received
from benchmarks.gateway.spikes import Spikes

LENGTH = 32
CPU_TARGET, P99_TARGET_MS = 0.5, 50.0
LOST = ("anomalite_messages_dropped_total", "anomalite_messages_refused_total", "anomalite_outbox_lost_total")
LONGEST_FILL_S = 20.0
"""Where the windows take longer to fill as it goes, they are filled before."""


def pinned(gateway: bool) -> list[str]:
    """What a command begins with so that the gateway has the last core, and everything else the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", ",".join(map(str, cores[-1:] if gateway else cores[:-1]))]


def run(options: argparse.Namespace, command: Sequence[str] = SERVE) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what misses its target."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-load-", dir=options.folder))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        broker = stack.enter_context(Broker(folder, pinned(False)))
        manifest = models.spiking(1 / options.hz, LENGTH, options.channels)
        models.bundle_for(options.engine, folder / "spiking.anomalite", manifest, Path(options.cache).resolve())
        fill = LENGTH / options.hz > LONGEST_FILL_S
        part = Part("spiking", "spiking.anomalite", options.machines, "listed" if fill else "json", options.engine)
        plant = Plant(folder, (part,), broker.port, http_port=free_port(), journal=_memory_folder(stack))
        program = Program(plant.write(), [*pinned(True), *options.profile, *command])
        stack.callback(program.close)
        consumer = stack.enter_context(
            Child(
                "consumer", str(broker.port), plant.prefix, str(folder / "consumer.jsonl"), "fast", before=pinned(False)
            )
        )
        consumer.wait_for("subscribed")
        program.start()
        program.wait_ready()
        seconds = options.seconds + (0.0 if fill else 2 * LENGTH / options.hz)
        spikes = Spikes(
            broker.port, part, options.channels, LENGTH, options.hz, seconds, options.alerts / options.seconds, fill
        )
        spikes.write(folder / "spikes.json")
        feeder = stack.enter_context(
            Child("spikes", str(folder / "spikes.json"), str(folder / "spikes.jsonl"), before=pinned(False))
        )
        feeder.wait_for("filled", 600.0)
        if fill:
            wait_until_taken(plant.http_port or 0, LENGTH * options.machines)
        feeder.say("go")
        time.sleep(seconds - options.seconds + 2.0)
        before, begin = cpu_s(program.pid), time.monotonic()
        time.sleep(options.seconds - 4.0)
        share = (cpu_s(program.pid) - before) / (time.monotonic() - begin)
        if status := feeder.wait(seconds + 120.0):
            raise RuntimeError(f"the feeder failed: exit status {status}")
        filled = LENGTH * options.machines if fill else 0
        exposed = wait_until_taken(plant.http_port or 0, filled + round(seconds * options.hz * options.machines), 60.0)
        time.sleep(2.0)
        memory = memory_bytes(program.pid)
        program.stop()
        consumer.end()
        return _result(options, folder, share, exposed, memory)


def _memory_folder(stack: ExitStack) -> Path | None:
    """Where a journal wears no card: as systemd gives it."""
    if not os.access("/dev/shm", os.W_OK):
        return None
    folder = Path(tempfile.mkdtemp(prefix="gateway-journal-", dir="/dev/shm"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _result(
    options: argparse.Namespace, folder: Path, share: float, exposed: Exposed, memory: dict[str, int]
) -> tuple[dict[str, Any], list[str]]:
    published = [json.loads(line) for line in (folder / "spikes.jsonl").read_text().splitlines()]
    arrived = {each.event.key: each.at for each in Received.read(folder / "consumer.jsonl").firsts.values()}
    keys = [(spike["machine"], spike["time"], "raised") for spike in published]
    missing = [key for key in keys if key not in arrived]
    delays = np.array(
        [arrived[key] - spike["at"] for key, spike in zip(keys, published, strict=True) if key in arrived]
    )
    p50, p99, most = (1e3 * np.quantile(delays, (0.5, 0.99, 1.0))).tolist() if len(delays) else (np.inf,) * 3
    lost = {name: exposed.total(name) for name in LOST}
    result = {
        "name": "load",
        "engine": options.engine,
        "machines": options.machines,
        "channels": options.channels,
        "hz": options.hz,
        "readings_per_s": options.machines * options.hz,
        "seconds": options.seconds,
        "cpu_share": share,
        "us_a_reading": 1e6 * share / (options.machines * options.hz),
        "alerts": len(published),
        "ms_p50": p50,
        "ms_p99": p99,
        "ms_max": most,
        "missing": len(missing),
        "lost": sum(lost.values()),
        **{f"{name}_mb": size / 1e6 for name, size in memory.items()},
    }
    found = [f"no alert: {key}" for key in missing] + [f"{name}: {count:g}" for name, count in lost.items() if count]
    if options.machines * options.hz <= 2000:  # what the targets are of
        found += [f"processor: {share:.0%} of a core, expected less than {CPU_TARGET:.0%}"] * (share >= CPU_TARGET)
        found += [f"reading to alert, p99: {p99:.1f} ms, expected below {P99_TARGET_MS:g} ms"] * (p99 >= P99_TARGET_MS)
    return result, found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `load`."""
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--hz", type=float, default=10.0, help="readings a second of each machine")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--alerts", type=int, default=400, help="about so many are raised")
    parser.add_argument("--engine", default="onnx", help="all but numpy need TensorFlow once")
    parser.add_argument(
        "--profile",
        nargs="+",
        default=[],
        metavar="WORD",
        help="what the gateway's command begins with, for a profiler",
    )


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The table for people."""
    r = result
    return [
        ("machines, channels, readings a second", f"{r['machines']:,}, {r['channels']}, {r['readings_per_s']:,.0f}"),
        ("engine", r["engine"]),
        ("share of one core", f"{r['cpu_share']:.0%} ({r['us_a_reading']:.0f} µs a reading)"),
        (
            "reading published to alert received: p50, p99, max",
            f"{r['ms_p50']:.1f}, {r['ms_p99']:.1f}, {r['ms_max']:.1f} ms of {r['alerts']} alerts",
        ),
        ("alerts that did not come; messages dropped, refused", f"{r['missing']}; {r['lost']:.0f}"),
        ("memory: resident, proportional, peak", f"{r['rss_mb']:.1f}, {r['pss_mb']:.1f}, {r['peak_mb']:.1f} MB"),
    ]
