"""`python -m benchmarks gateway kill`: kill -9 at random moments, under load, held against the feeder's ledger.

Five moments, in random order: any; just after a reading that raises an alert was published; while the gateway starts; twice, the
second time soon after the first; while the consumer's broker connection is busy with what waited. `power_cut` empties the journal folder too, as losing
the memory it is kept in would.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import models
from benchmarks.gateway.broker import Broker
from benchmarks.gateway.child import Child
from benchmarks.gateway.feeder import Feed
from benchmarks.gateway.plant import Part, Plant
from benchmarks.gateway.program import SERVE, Program
from benchmarks.gateway.received import (
    Ledger,
    Received,
    violations_of_faults,
    violations_of_ledger,
    violations_of_messages,
    violations_of_states,
)
from benchmarks.gateway.stored import examine_store
from benchmarks.gateway.stream import PLAIN, Habits

PATIENCE_S = 30.0
"""So long without another message, and what is missing then is lost."""
STARTING_S = 0.6
"""Kills during a start come up to so long after it."""
MOMENTS = ("any", "at_alert", "starting", "twice", "at_ready")


@dataclass
class Killed:
    """How it went."""

    kills: Counter[str] = field(default_factory=Counter)
    """By moment."""
    restarts_s: list[float] = field(default_factory=list)
    """From start to ready, of the lives that came so far."""
    cuts: list[int] = field(default_factory=list)
    """Wall clock of each kill, microseconds since 1970."""
    stop_s: float = 0.0
    """What SIGTERM took at the end."""


def plant_of(folder: Path, port: int, options: argparse.Namespace) -> Plant:
    """A third of the machines of each sort."""
    cache = Path(options.cache).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sorts = {"steady": ("json", options.engine), "following": ("csv", "numpy"), "fitting": ("array", "numpy")}
    models.bundle_for(options.engine, folder / "steady.anomalite", models.steady(options.period), cache)
    models.sealed(folder / "following.anomalite", models.following(options.period))
    models.sealed(folder / "fitting.anomalite", models.fitting(options.period))
    count = max(1, options.machines // 3)
    parts = tuple(Part(name, f"{name}.anomalite", count, payload, engine) for name, (payload, engine) in sorts.items())
    storage: dict[str, float | str] = {"save_every_s": options.save_every}
    return Plant(folder, parts, port, storage=storage)


@contextmanager
def running(
    folder: Path, options: argparse.Namespace, command: Sequence[str]
) -> Iterator[tuple[Plant, Program, Child]]:
    """Broker, gateway, consumer and feeder at work."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        plant = plant_of(folder, broker.port, options)
        program = Program(plant.write(), command)
        stack.callback(program.close)
        consumer = stack.enter_context(
            Child("consumer", str(broker.port), plant.prefix, str(folder / "consumer.jsonl"))
        )
        consumer.wait_for("subscribed")
        program.start()
        program.wait_ready()
        habits = PLAIN if options.power_cut else Habits()
        feed = Feed(str(folder), plant.parts, broker.port, options.period, options.seed, habits)
        feed.write(folder / "feed.json")
        feeder = stack.enter_context(Child("feeder", str(folder / "feed.json"), str(folder / "ledger.jsonl")))
        feeder.wait_for("started")
        yield plant, program, feeder


def kill_again_and_again(plant: Plant, program: Program, feeder: Child, options: argparse.Namespace) -> Killed:
    """Kill and start, so many times."""
    rng, killed = random.Random(options.seed), Killed()
    while (done := sum(killed.kills.values())) < options.kills:
        moment = "any" if options.power_cut else rng.choice(MOMENTS)
        if not _wait_for(moment, program, feeder, rng, options.longest):
            continue
        _kill(plant, program, killed, moment, options.power_cut)
        program.start()
        if moment == "twice":
            time.sleep(rng.uniform(0.0, STARTING_S))
            _kill(plant, program, killed, moment, options.power_cut)
            program.start()
        if moment != "starting" or rng.random() < 0.7:
            killed.restarts_s.append(program.wait_ready())
        if options.progress and done % 10 == 0:
            print(f"{done} kills", file=sys.stderr, flush=True)
    if not killed.restarts_s:
        killed.restarts_s.append(program.wait_ready())
    return killed


def _wait_for(moment: str, program: Program, feeder: Child, rng: random.Random, longest_s: float) -> bool:
    """Wait for the moment; false if it did not come."""
    if moment in ("any", "twice"):
        time.sleep(rng.uniform(0.0, longest_s))
    elif moment == "at_alert":
        feeder.heard("raising").clear()
        if not feeder.heard("raising").wait(20.0):
            return False
        time.sleep(rng.uniform(0.0, 0.04))
    elif moment == "starting":
        time.sleep(rng.uniform(0.0, STARTING_S))
    return True


def _kill(plant: Plant, program: Program, killed: Killed, moment: str, power_cut: bool) -> None:
    program.kill()
    killed.kills[moment] += 1
    killed.cuts.append(time.time_ns() // 1000)
    if power_cut:
        for file in plant.journal_folder.iterdir():
            file.unlink()


def finish(plant: Plant, program: Program, feeder: Child, killed: Killed) -> None:
    """Let the feeder end, wait for what is still on its way, and stop the gateway."""
    if not program.is_running:
        raise RuntimeError(f"the gateway ended by itself:\n{program.log_end()}")
    if status := feeder.end():
        raise RuntimeError(f"the feeder failed: exit status {status}")
    expected = {event.key for event in Ledger.read(plant.folder / "ledger.jsonl").events}
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < PATIENCE_S:
        arrived = {each.event.key for each in Received.read(plant.folder / "consumer.jsonl").firsts.values()}
        if expected <= arrived:
            break
        if len(arrived) != seen:
            seen, since = len(arrived), time.monotonic()
        time.sleep(0.5)
    killed.stop_s, status = program.stop()
    if status:
        raise RuntimeError(f"SIGTERM: expected the exit status 0, got {status}:\n{program.log_end()}")


def examine(plant: Plant, killed: Killed, options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is wrong."""
    received, ledger = Received.read(plant.folder / "consumer.jsonl"), Ledger.read(plant.folder / "ledger.jsonl")
    digests = {machine: plant.digests[part.name] for part in plant.parts for machine in part.machines}
    found = violations_of_messages(received, digests)
    if options.power_cut:
        manifests = {part.name: models.manifest_of(plant.folder / part.bundle) for part in plant.parts}
        needed = {}
        for part in plant.parts:
            m = manifests[part.name]
            needed.update(
                dict.fromkeys(
                    part.machines, round((2 * m.preparation.readings_needed + 2 * m.alarm.n) * options.period * 1e6)
                )
            )
        found += violations_of_faults(received, ledger, killed.cuts, needed)
    else:
        found += violations_of_ledger(received, ledger) + violations_of_states(received, ledger)
    stored = examine_store(plant, received)
    found += stored.violations
    firsts = received.firsts
    expected = {event.key: event for event in ledger.events}
    exact = sum(expected.get(each.event.key) == each.event for each in firsts.values())
    state_mb = (
        sum(file.stat().st_size for folder in (plant.state, plant.journal_folder) for file in folder.iterdir()) / 1e6
    )
    result = {
        "name": "power_cut" if options.power_cut else "kill",
        "engine": options.engine,
        "machines": sum(part.count for part in plant.parts),
        "kills": sum(killed.kills.values()),
        "kills_by_moment": dict(killed.kills),
        "readings": ledger.end.get("readings"),
        "seconds": ledger.end.get("seconds"),
        "ledger_alerts": len(ledger.events),
        "alerts": len(firsts),
        "identical_to_the_oracle": exact,
        "repeats": len(received.alerts) - len(firsts),
        "restart_ms_p50": 1e3 * median(killed.restarts_s),
        "restart_ms_max": 1e3 * max(killed.restarts_s),
        "stop_s": killed.stop_s,
        "state_mb": state_mb,
        **stored.to_json(),
        "violations": len(found),
    }
    return result, found


def run(options: argparse.Namespace, command: Sequence[str] = SERVE) -> tuple[dict[str, Any], list[str]]:
    """All of it, in a folder of its own, which is kept where something is wrong."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-kill-", dir=options.folder))
    with running(folder, options, command) as (plant, program, feeder):
        killed = kill_again_and_again(plant, program, feeder, options)
        finish(plant, program, feeder, killed)
    result, found = examine(plant, killed, options)
    if found:
        print(f"kept: {folder}", file=sys.stderr)
        (folder / "violations.txt").write_text("\n".join(found) + "\n")
        (folder / "cuts.json").write_text(json.dumps(killed.cuts))
    else:
        shutil.rmtree(folder)
    return result, found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `kill` and `power_cut`."""
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--machines", type=int, default=30, help="a third of each sort")
    parser.add_argument("--period", type=float, default=models.PERIOD_S, help="seconds between a machine's readings")
    parser.add_argument(
        "--engine", default="numpy", help="of a third of the machines; all but numpy need TensorFlow once"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds between two kills at random, at most")
    parser.add_argument("--save-every", type=float, default=5.0, help="storage.save_every_s")


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The table for people."""
    return [
        (
            "kills",
            f"{result['kills']} ({', '.join(f'{count} {moment}' for moment, count in result['kills_by_moment'].items())})",
        ),
        ("machines, readings", f"{result['machines']}, {result['readings']:,} in {result['seconds']:.0f} s"),
        ("alerts in the ledger, arrived", f"{result['ledger_alerts']}, {result['alerts']}"),
        ("of these the same to the last bit as the oracle's", str(result["identical_to_the_oracle"])),
        ("arrived more than once, under the same id", str(result["repeats"])),
        ("replayed from the store, the same bits", f"{result['replayed']} of {result['stored']}"),
        ("restart: p50, max", f"{result['restart_ms_p50']:.0f} ms, {result['restart_ms_max']:.0f} ms"),
        ("SIGTERM", f"{result['stop_s']:.2f} s"),
        ("state and journal at the end", f"{result['state_mb']:.2f} MB"),
        ("violations", str(result["violations"])),
    ]
