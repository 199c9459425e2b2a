"""What the gateway's store holds at the end: whole, the same as what was sent, and each alert computed again from its evidence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import Any, NamedTuple

from benchmarks.gateway.plant import Plant
from benchmarks.gateway.received import Arrival, Received
from edge_runtime.errors import AnomaliteError
from edge_runtime.gateway.replay import open_bundle, read_evidence, replay
from edge_runtime.gateway.store_open import NAME
from edge_runtime.gateway.store_read import Reader, open_reader
from edge_runtime.gateway.store_rows import StoredAlert

BY_COMMAND = 3
"""Alerts that `anomalite replay` is asked for as a person would; the others by its function."""


class Examined(NamedTuple):
    """Of a store."""

    violations: list[str]
    stored: int
    """Alerts."""
    replayed: int
    """Of these, computed again with the same bits."""

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {"stored": self.stored, "replayed": self.replayed}


def examine_store(plant: Plant, received: Received) -> Examined:
    """Look through the store of a gateway that has ended."""
    folder = str(plant.state)
    with closing(sqlite3.connect(plant.state / NAME)) as database:
        (answer,) = database.execute("PRAGMA integrity_check").fetchone()
    found = [] if answer == "ok" else [f"store: integrity_check: {answer}"]
    with closing(open_reader(folder)) as reader:
        alerts = {each.id: each for each in reader.alerts(-1)}
        found += _differences(reader, alerts, received.firsts.values())
    same = 0
    for number, alert in enumerate(alerts):
        fault = _by_command(folder, alert) if number < BY_COMMAND else _replayed(folder, alert)
        same += fault is None
        found += [] if fault is None else [f"replay: {alert}: {fault}"]
    return Examined(found, len(alerts), same)


def _differences(reader: Reader, alerts: dict[str, StoredAlert], arrivals: Iterable[Arrival]) -> list[str]:
    """Between what is stored and what arrived."""
    found = [f"outbox: {message.id} waits" for message in reader.waiting()]
    raised, cleared = set(), set()
    for arrival in arrivals:
        stored, event = alerts.get(arrival.alert), arrival.event
        if stored is None:
            found.append(f"not stored: {event}")
        elif event.kind == "raised":
            raised.add(stored.id)
            if (stored.machine, stored.raised, stored.score, stored.threshold) != event[:2] + event[3:]:
                found.append(f"stored otherwise: {event}, stored {stored}")
        else:
            cleared.add(stored.id)
            if stored.cleared != event.time:
                found.append(f"stored otherwise: {event}, stored {stored}")
    found += [f"stored, and did not arrive: {alerts[alert]}" for alert in alerts.keys() - raised]
    found += [f"open, and arrived as cleared: {alerts[alert]}" for alert in cleared if alerts[alert].cleared is None]
    return found


def _replayed(folder: str, alert: str) -> str | None:
    """What is wrong with computing it again."""
    try:
        evidence = read_evidence(folder, alert)
        outcome = replay(evidence, open_bundle(evidence, None))
    except AnomaliteError as fault:
        return str(fault)
    return None if outcome.is_same else f"then {evidence.score!r}, now {outcome.score!r}"


def _by_command(folder: str, alert: str) -> str | None:
    command = [sys.executable, "-m", "edge_runtime.cli", "replay", alert, "--store", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"exit status {done.returncode}: {done.stdout[-200:]}{done.stderr}"
