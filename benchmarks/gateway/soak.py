"""`python -m benchmarks gateway soak`: as many simulated weeks as fit into some minutes; memory and files must not grow.

The gateway itself, its journal and its database are real; clock and broker are simulated. Every day has faults of machines, an hour without the broker,
machines that are silent, payloads nobody can read, machines nobody knows, and known work; every week the wall clock jumps by ten years and
back. Memory and files are taken at the end of each day, and a line is fitted through the days after what is kept has reached its age twice.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gateway import models
from benchmarks.gateway.plant import Part, Plant, encoder
from benchmarks.gateway.simulated import START, SimulatedBroker, SimulatedClock
from benchmarks.gateway.stream import Habits, Sample, samples
from benchmarks.scaling.fit import line
from benchmarks.scaling.stream import resident_bytes
from edge_runtime.gateway.message import Message

DAY, WEEK, HOUR = 86_400, 7 * 86_400, 3600
DECADE_S = 10 * 365.25 * DAY
MB_A_WEEK = 1.0
T_975 = 2.1
"""Standard errors on each side of a slope for 95 %, with twenty points or more."""
LEAST_DAYS = 14
"""A line through fewer days proves nothing."""


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what misses its target."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-soak-", dir=options.folder))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        weeks = _Weeks(folder, options)
        stack.callback(weeks.end)
        until = time.monotonic() + 60 * options.minutes
        while time.monotonic() < until and weeks.day < options.days:
            weeks.pass_day()
            if options.progress:
                print(f"day {weeks.day}: {weeks.rows[-1]}", file=sys.stderr, flush=True)
        weeks.end()
        return _result(options, weeks)


class _Weeks:
    """A gateway, and the days it has been through."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.day = 0
        self.rows: list[tuple[float, float, float]] = []
        """At the end of each day, MB: resident, of the database and its log, of the journal."""
        self.readings = self.faults = 0
        self.raised: set[str] = set()
        self._to_acknowledge: list[str] = []
        self.clock = SimulatedClock()
        self._options, self._rng = options, random.Random(options.seed)
        self._period = options.period
        models.sealed(folder / "steady.anomalite", models.steady(self._period))
        models.sealed(folder / "following.anomalite", models.following(self._period))
        half = max(1, options.machines // 2)
        parts = (
            Part("steady", "steady.anomalite", half, "json"),
            Part("following", "following.anomalite", half, "csv"),
        )
        untimed = Part("untimed", "steady.anomalite", half, "untimed")
        self._parts = (*parts, untimed)
        storage: dict[str, float | str] = {"keep_days": options.keep_days, "max_mb": 64.0}
        plant = Plant(folder, self._parts, 1883, storage=storage, mqtt={"commands": True}, http_port=1)
        self.plant = plant
        self.gateway, self.broker, self._exposition = self._assembled(plant.write())
        self.broker.alerts = self._took
        habits = Habits(
            normal=(int(0.7 * DAY / self._period), int(1.2 * DAY / self._period)),
            fault=(60, 90), missing=0.001, repeated=0.001, pause=0.0001, stuck=0.0001,
        )  # fmt: skip
        names = [(part, name) for part in self._parts for name in part.machines]
        self.streams: list[tuple[Part, str, Iterator[Sample]]] = [
            (part, name, samples(index, 3 if part.name == "following" else 4, round(START * 1e6), round(self._period * 1e6), habits))
            for index, (part, name) in enumerate(names)
        ]  # fmt: skip

    def _assembled(self, config: Path) -> tuple[Any, SimulatedBroker, Any]:
        from edge_runtime.gateway.assemble import assemble
        from edge_runtime.gateway.config_file import read_config
        from edge_runtime.gateway.exposition import Exposition
        from edge_runtime.gateway.log import Log
        from edge_runtime.gateway.seen import Seen

        seen = Seen(self.clock.monotonic, self.clock.wall)
        self._nowhere: int | None = os.open(os.devnull, os.O_WRONLY)
        log = Log(descriptor=self._nowhere, clock=self.clock)
        gateway = assemble(read_config(config), self.clock, log, seen, "soak", connect=SimulatedBroker)
        (broker,) = gateway.parts.sources
        assert isinstance(broker, SimulatedBroker)
        return gateway, broker, Exposition(gateway.parts.metrics, seen)

    def pass_day(self) -> None:
        """One day, and what is there at its end."""
        steps = int(DAY / self._period)
        plan = _Plan(self._rng, self.day, steps, len(self.streams))
        for step in range(steps):
            self._events(plan, step)
            messages = self._messages(plan, step)
            self.clock.pass_(self._period)
            self.gateway.tick(messages)
            self.gateway.tick([])
        self.day += 1
        gc.collect()
        _give_back()
        self.rows.append((resident_bytes() / 1e6, *self._files()))

    def end(self) -> None:
        """Let what is on its way arrive, and stop the gateway. Once."""
        if self._nowhere is None:
            return
        for _ in range(10):
            self.clock.pass_(1.0)
            self.gateway.tick([])
        self.gateway.stop()
        os.close(self._nowhere)
        self._nowhere = None

    def _events(self, plan: _Plan, step: int) -> None:
        if step == plan.away_from:
            self.broker.go_away()
        elif step == plan.away_until:
            self.broker.come_back()
        for at, seconds in plan.clock_steps:
            if step == at:
                self.clock.set_wall(seconds)
        if step % int(HOUR / self._period) == 0:
            self._exposition.text()

    def _messages(self, plan: _Plan, step: int) -> list[Message]:
        now = self.clock.monotonic()
        found = []
        for index, (part, name, stream) in enumerate(self.streams):
            sample = next(stream)
            if sample.fault is not None:
                self.faults += 1
            if index == plan.silent and plan.silent_from <= step < plan.silent_until:
                continue
            found.append(Message(self.broker, part.topic(name), encoder(part.payload)(sample), now, object()))
            self.readings += 1
        if self._rng.random() < 0.02:
            found += [Message(self.broker, *each, now, object()) for each in self._nonsense(step)]
        topic = f"{self.plant.prefix}/commands"
        if step == plan.work_at:
            work = _command("maintenance", machines=[self.streams[plan.silent][1]], minutes=120)
            found.append(Message(self.broker, topic, work, now, object()))
        while self._to_acknowledge:
            seen = _command("acknowledge", alert=self._to_acknowledge.pop())
            found.append(Message(self.broker, topic, seen, now, object()))
        return found

    def _nonsense(self, step: int) -> list[tuple[str, bytes]]:
        part = self._parts[0]
        stranger = f"stranger-{self.day}-{step}-{self._rng.random()}"
        return [
            (part.topic(part.machines[0]), self._rng.randbytes(50)),
            (part.topic(part.machines[0]), b'{"time": "yesterday", "c0": []}'),
            (part.topic(stranger), b'{"time": 1, "c0": 1, "c1": 1, "c2": 1, "c3": 1}'),
            (f"elsewhere/{stranger}", b"{}"),
            (f"{self.plant.prefix}/commands", _command("acknowledge", alert="nothing")),
        ]

    def _took(self, payload: bytes) -> None:
        said = json.loads(payload)
        if said["kind"] == "raised":
            self.raised.add(said["id"])
            self._to_acknowledge.append(said["alert"])

    def _files(self) -> tuple[float, float]:
        sizes = [
            sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            for folder in (self.plant.state, self.plant.journal_folder)
        ]
        return sizes[0] / 1e6, sizes[1] / 1e6


class _Plan:
    """What happens on a day, by step."""

    def __init__(self, rng: random.Random, day: int, steps: int, machines: int) -> None:
        hour = steps // 24
        self.away_from = rng.randrange(steps - 2 * hour)
        self.away_until = self.away_from + hour
        self.silent = rng.randrange(machines)
        self.silent_from = rng.randrange(steps - 3 * hour)
        self.silent_until = self.silent_from + 2 * hour
        self.work_at = rng.randrange(steps)
        at, sign = rng.randrange(steps - hour), rng.choice((-1, 1))
        self.clock_steps = [(at, sign * DECADE_S), (at + hour // 2, -sign * DECADE_S)] if day % 7 == 3 else []


def _command(name: str, **said: Any) -> bytes:
    return json.dumps({"command": name, "by": "soak", **said}).encode()


def _give_back() -> None:
    """Freed memory to the system, where the C library can: what is left is held."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return


def _result(options: argparse.Namespace, weeks: _Weeks) -> tuple[dict[str, Any], list[str]]:
    from edge_runtime.gateway.store_read import open_reader

    first = min(int(2 * options.keep_days), weeks.day // 2)
    days = np.arange(weeks.day)[first:]
    names = ("resident", "database", "journal")
    result: dict[str, Any] = {
        "name": "soak",
        "machines": len(weeks.streams),
        "period_s": options.period,
        "keep_days": options.keep_days,
        "days": weeks.day,
        "weeks": weeks.day / 7,
        "readings": weeks.readings,
        "faults": weeks.faults,
        "raised": len(weeks.raised),
        "fitted_from_day": first,
    }
    found = []
    for name, column in zip(names, np.array(weeks.rows).T, strict=True):
        slope, error = line(days, column[first:]) if len(days) > 2 else (0.0, 0.0)
        result[name] = {
            "first_mb": column[first],
            "last_mb": column[-1],
            "mb_a_week": 7 * slope,
            "error": 7 * T_975 * error,
        }
        if len(days) >= LEAST_DAYS and 7 * (slope + T_975 * error) >= MB_A_WEEK:
            found.append(f"{name}: {7 * slope:.3f} ± {7 * T_975 * error:.3f} MB a week, expected below {MB_A_WEEK:g}")
    with closing(open_reader(str(weeks.plant.state))) as reader:
        result["waiting"] = reader.waiting_count()
    result["problems"] = weeks.gateway.problems.values()
    if weeks.broker.is_connected and result["waiting"]:
        found.append(f"{result['waiting']} messages wait, and the broker is there")
    return result, found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `soak`."""
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--days", type=int, default=10_000, help="so many and no more")
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--period", type=float, default=10.0, help="seconds between a machine's readings")
    parser.add_argument("--keep-days", type=float, default=7.0, help="storage.keep_days")
    parser.add_argument("--seed", type=int, default=1)


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The table for people."""
    r = result
    slopes = [
        (
            f"{name}: on day {r['fitted_from_day']}, at the end; a week",
            f"{r[name]['first_mb']:.2f}, {r[name]['last_mb']:.2f} MB; {r[name]['mb_a_week']:+.3f} ± {r[name]['error']:.3f} MB",
        )
        for name in ("resident", "database", "journal")
    ]
    return [
        ("simulated weeks", f"{r['weeks']:.1f} (what is kept is {r['keep_days']:g} days old at most)"),
        ("machines, readings", f"{r['machines']}, {r['readings']:,}"),
        ("faults, alerts sent", f"{r['faults']}, {r['raised']}"),
        *slopes,
    ]
