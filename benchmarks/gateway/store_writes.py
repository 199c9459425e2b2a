"""What the store writes to the card in a day, from simulated days: every commit is made, the clock is not waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.event import AlertEvent, alert_id
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes, HistoryRow, MachineState, Outgoing, StoredEvent, event_message

START = 1_760_000_000.0
DAY = 86_400


class SimulatedClock:
    """A clock that is set, not waited for."""

    def __init__(self, wall: float = START) -> None:
        self.now, self.start = 0.0, wall

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self.now

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.start + self.now

    def boot(self) -> str:
        """Always the same boot."""
        return "simulated"


class Load(NamedTuple):
    """What happens in a plant."""

    machines: int = 10
    state_bytes: int = 1200
    evidence_bytes: int = 6000
    save_every_s: float = 300.0
    alerts: int = 3
    """A day, each raised, sent, cleared, sent."""
    states_out: int = 0
    """Retained state messages that go through the outbox, a day."""


class Written(NamedTuple):
    """Of one day."""

    dirtied: float
    """Bytes that the process made the kernel write (`/proc/self/io`), in pages of the file system."""
    device: float | None
    """Bytes that the device below the folder wrote, with the file system's own; None: nobody else may be said to be idle."""
    files: int
    """Bytes that the store takes at the end."""


def written_a_day(folder: str, days: int, load: Load | None = None, device: str | None = None) -> Written:
    """Run a store in `folder`, which has to be on a real file system, for simulated days; the mean of a day.

    `device`: the name in /sys/block of the device that the folder is on, if nothing else writes to it.
    """
    clock, load = SimulatedClock(), load or Load()
    store = Store(folder, Storage(folder=folder, save_every_s=load.save_every_s), clock)
    try:
        before = _dirtied(), _on_device(device)
        for second, changes in _days(days, load):
            clock.now = second
            store.commit(changes)
            _pass_time(folder)
        dirtied, on_device = _dirtied() - before[0], _on_device(device)
        files = sum(store.sizes[name] for name in ("database", "wal", "shm"))
    finally:
        store.close()
    return Written(dirtied / days, None if on_device is None else (on_device - (before[1] or 0)) / days, files)


def _days(days: int, load: Load) -> Iterator[tuple[float, Changes]]:
    """The commits of some days, in order."""
    random = np.random.default_rng(6)
    saves = int(DAY / load.save_every_s)
    for save in range(days * saves):
        second = save * load.save_every_s
        yield second, _saved(second, load, random)
        of_day = save % saves
        if load.alerts and of_day % (saves // load.alerts) == 0:
            yield from _alert(second + 10, load, random)
        for number in range(load.states_out * of_day // saves, load.states_out * (of_day + 1) // saves):
            yield from _sent(
                Outgoing(f"{second}-{number}", f"state/{number % load.machines}", bytes(200), retain=True), second + 20
            )


def _saved(second: float, load: Load, random: np.random.Generator) -> Changes:
    changes, at = Changes(), START + second
    for machine in range(load.machines):
        state = random.bytes(load.state_bytes)
        changes.states.append(
            MachineState(f"machine-{machine:03}", "0" * 64, state, at, second, "b" * 36, int(at * 1e6), int(at * 1e6))
        )
        low, mean, high = np.sort(random.random(3)).tolist()
        counts = (int(load.save_every_s), 0, 0, 0, 0, 0, 0)
        changes.history.append(HistoryRow(f"machine-{machine:03}", int(at * 1e6), low, mean, high, 1.0, counts))
    return changes


def _alert(second: float, load: Load, random: np.random.Generator) -> Iterator[tuple[float, Changes]]:
    """An alert is raised and sent, and a minute later cleared and sent."""
    time = int((START + second) * 1e6)
    contributions = {f"channel-{number}": float(random.random()) for number in range(4)}
    raised = AlertEvent(
        "raised",
        alert_id("machine-000", "0" * 64, time),
        "machine-000",
        "pump",
        "0" * 64,
        time,
        2.0,
        1.0,
        contributions,
    )
    for event, at in ((raised, second), (raised._replace(kind="cleared", reason="normal"), second + 60)):
        changes = Changes()
        evidence = random.bytes(load.evidence_bytes) if event.kind == "raised" else None
        changes.events.append(StoredEvent(event, "/var/lib/pump.anomalite", "numpy", "float32", evidence))
        state = random.bytes(load.state_bytes)
        changes.states.append(MachineState("machine-000", "0" * 64, state, START + at, at, "b" * 36, time, time))
        yield from _sent(event_message(event, "anomalite/plant/alerts/machine-000", time), at, changes)


def _sent(message: Outgoing, second: float, changes: Changes | None = None) -> Iterator[tuple[float, Changes]]:
    """A message is queued, and deleted when the broker has it."""
    changes = changes or Changes()
    changes.outbox.append(message)
    yield second, changes
    delivered = Changes()
    delivered.delivered.append(message.id)
    yield second + 0.1, delivered


def _pass_time(folder: str) -> None:
    """Have written what the kernel writes within half a minute by itself: pages, and then, at once, when the files were changed."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name.endswith("-wal")):
        file = os.open(entry.path, os.O_RDONLY)
        try:
            if entry.name.endswith("-wal"):
                os.utime(file)  # many simulated commits fall into one tick of the kernel's clock: this one has its own
                os.fsync(file)
            else:
                os.fdatasync(file)
        finally:
            os.close(file)


def _dirtied() -> int:
    with Path("/proc/self/io").open() as file:
        return int(dict(line.split(": ") for line in file)["write_bytes"])


def _on_device(device: str | None) -> int | None:
    if device is None:
        return None
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6]) * 512
