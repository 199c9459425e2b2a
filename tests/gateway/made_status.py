"""A plant made up for the web server's tests: the same one every time, with machines in every state."""

from __future__ import annotations

import math

import numpy as np

from edge_runtime.gateway.recent import INTERVAL_S, INTERVALS, RecentScores
from edge_runtime.gateway.status import MACHINE_STATES, AlertStatus, BundleStatus, MachineStatus, Status

NOW = 1_790_000_000.0
HOSTILE = (
    "<img src=x onerror=\"window.hacked = 'machine'\">",
    "\"'><script>window.hacked = 'script'</script>",
    "שלום ‮gnp.exe",
    "&lt;b&gt; {{7*7}} ${7*7} %3Cb%3E #?/..",
    "W" * 100,
    "mill 7" + " long name" * 9,
    "__proto__",
)
"""What somebody may call a machine, a channel or a bundle."""
DIGEST = "3f9d1c" + "0" * 58


def machine(name: str, state: str = "normal", **changes: object) -> MachineStatus:
    """One machine, of which anything may be changed."""
    made = MachineStatus(
        name=name,
        bundle="pump",
        state=state,
        since=NOW - 5000.0,
        last_reading=None if state == "never_seen" else NOW - (600.0 if state == "silent" else 0.4),
        score=None if state in ("never_seen", "warming_up", "off") else 0.21,
        threshold=0.5,
        alert=f"alert-{name}"[:16] if state == "alarm" else None,
        is_acknowledged=False,
        in_maintenance=False,
        fault_channels=("b2", "b4") if state == "sensor_fault" else (),
        readings=0 if state == "never_seen" else 41_234,
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def alert(number: int, name: str, **changes: object) -> AlertStatus:
    """One alert of the machine, of which anything may be changed."""
    made = AlertStatus(
        id=f"{number:016x}",
        machine=name,
        bundle="pump",
        raised=NOW - 300.0 * (number + 1),
        cleared=None,
        score=1.31,
        threshold=0.5,
        contributions={"b4": 0.9, "b1": 0.25, "b2": 0.1, "b3": 0.04, "temperature": 0.02},
        is_acknowledged=False,
        in_maintenance=False,
        is_sent=True,
    )
    return made._replace(**changes)  # type: ignore[arg-type]


def plant(machines: int = 24, now: float = NOW) -> Status:
    """A gateway whose machines are in every state; those beyond the tenth are normal."""
    special = [
        machine("press 3", "alarm", score=1.31, since=NOW - 300.0),
        machine("press 12", "alarm", score=0.74, since=NOW - 4000.0, is_acknowledged=True),
        machine("conveyor 1", "alarm", score=66.0, since=NOW - 900.0, in_maintenance=True),
        *(
            machine(f"mixer {number}", state)
            for number, state in enumerate(MACHINE_STATES)
            if state not in ("alarm", "normal")
        ),
    ]
    usual = [machine(f"pump {number}", score=round(0.1 + 0.3 * (number % 7) / 7, 3)) for number in range(machines)]
    every = (*usual, *special)[-machines:]
    return Status(
        name="hall 2",
        version="0.1.0",
        now=now,
        started=NOW - 400_000.0,
        is_clock_set=True,
        machines=every,
        bundles=(
            BundleStatus(
                "pump",
                "pump.anomalite",
                DIGEST,
                "lstm_autoencoder",
                "numpy",
                "numpy",
                machines,
                ("b1", "b2", "b3", "b4"),
            ),
        ),
        alerts=(
            alert(0, "press 3"),
            alert(1, "conveyor 1", score=66.0, in_maintenance=True, is_sent=False),
            alert(12, "press 12", score=0.74, is_acknowledged=True),
            alert(40, "press 9", cleared=NOW - 3_000.0, in_maintenance=True),
            alert(90, "pump 4", cleared=NOW - 26_000.0, is_sent=False, contributions={"b1": 0.7, "b2": 0.04}),
        ),
        broker="broker.plant:8883",
        is_connected=True,
        reconnects=2,
        inbox=0,
        outbox=1,
        problems=(),
        counters={
            "messages": 1_203_400,
            "refused": {"json": 12},
            "storage_bytes": {"database": 8_123_456, "journal": 3_000_000, "limit": 2**28},
        },
    )


def hostile_plant() -> Status:
    """Whatever has a name has a hostile one."""
    made = plant(12)
    contributions = {name: 1.0 / (place + 1) for place, name in enumerate(HOSTILE)}
    machines = [
        machine(name, "alarm" if place < 3 else "sensor_fault", bundle=name, fault_channels=HOSTILE[:3])
        for place, name in enumerate(HOSTILE)
    ]
    bundles = [BundleStatus(name, name, DIGEST, name, name, name, 1, HOSTILE) for name in HOSTILE]
    alerts = [alert(place, name, bundle=name, contributions=contributions) for place, name in enumerate(HOSTILE)]
    return made._replace(
        name=HOSTILE[0],
        machines=tuple(machines),
        bundles=tuple(bundles),
        alerts=tuple(alerts),
        broker=HOSTILE[1],
        problems=HOSTILE,
        counters={"refused": dict.fromkeys(HOSTILE, 1), "storage_bytes": dict.fromkeys(HOSTILE, 10**6)},
    )


def filled(status: Status, monotonic: float) -> RecentScores:
    """An hour of scores that ends now with those of the status; alarms were below the threshold until a while ago."""
    recent = RecentScores(len(status.machines))
    rows = np.arange(len(status.machines))
    ends = np.array([np.nan if each.score is None else each.score for each in status.machines])
    thresholds = np.array([each.threshold for each in status.machines])
    is_alarm = np.array([each.state == "alarm" for each in status.machines])
    began = np.array([(NOW - each.since) / INTERVAL_S for each in status.machines])
    for back in range(INTERVALS - 1, -1, -1):
        wave = 1 + 0.15 * np.sin(back / 5 + rows) + 0.06 * math.sin(back * 1.7)
        base = np.where(is_alarm & (back > began), 0.25 * thresholds, ends)
        scores = np.where((rows % 5 == 4) & (back > 30) & (back < 42), np.nan, base * wave)
        recent.update(rows, scores, thresholds, monotonic - back * INTERVAL_S)
    return recent
