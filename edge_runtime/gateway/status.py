"""What the gateway shows of itself: made by the gateway's thread once a second, read by the page and the metrics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MACHINE_STATES = ("normal", "alarm", "warming_up", "gap", "out_of_range", "sensor_fault", "off", "silent", "never_seen")
"""What is known of a machine now. `alarm` outlasts everything but `silent`; the others are its last verdict's status."""


class MachineStatus(NamedTuple):
    """One machine now."""

    name: str
    bundle: str
    """The bundle's name."""
    state: str
    """One of `MACHINE_STATES`."""
    since: float
    """Wall clock, seconds since 1970: since when it is in this state."""
    last_reading: float | None
    """Wall clock of the arrival of its last reading."""
    score: float | None
    """Of its last scored reading."""
    threshold: float
    alert: str | None
    """The id of the alert that is open, if one is."""
    is_acknowledged: bool
    in_maintenance: bool
    fault_channels: tuple[str, ...]
    readings: int
    """Since the gateway started."""


class BundleStatus(NamedTuple):
    """A bundle in use."""

    name: str
    file: str
    digest: str
    family: str
    engine: str
    variant: str
    machines: int
    channels: tuple[str, ...]


class AlertStatus(NamedTuple):
    """An alert, open or past."""

    id: str
    machine: str
    bundle: str
    raised: float
    """Seconds since 1970 UTC, of the reading."""
    cleared: float | None
    score: float
    threshold: float
    contributions: dict[str, float]
    is_acknowledged: bool
    in_maintenance: bool
    """It was raised during known work, and not sent."""
    is_sent: bool
    """Whether the broker acknowledged the last message about it."""


class Status(NamedTuple):
    """Everything."""

    name: str
    version: str
    now: float
    """Wall clock, seconds since 1970."""
    started: float
    is_clock_set: bool
    """False while the wall clock is before this program was made: the board has not heard the time yet."""
    machines: tuple[MachineStatus, ...]
    bundles: tuple[BundleStatus, ...]
    alerts: tuple[AlertStatus, ...]
    """The newest first, at most 50."""
    broker: str | None
    """`host:port`; None where no broker is configured."""
    is_connected: bool
    reconnects: int
    inbox: int
    """Messages waiting to be looked into."""
    outbox: int
    """Messages waiting for the broker's acknowledgement."""
    problems: tuple[str, ...]
    """What a person should know: `the disk is full: alerts are kept in memory`."""
    counters: dict[str, Any]
    """Of the metrics, by name and label: `Metrics.totals()`."""
    can_store: bool = True
    """False while alerts and states cannot be written to the database."""
    can_journal: bool = True
    """False while readings cannot be written to the journal: a crash would lose them."""


class Recent(NamedTuple):
    """Score and threshold of one machine over the last hour."""

    times: npt.NDArray[np.float64]
    """(P,), seconds since 1970 UTC."""
    scores: npt.NDArray[np.float32]
    """(P,), the largest of each interval, NaN where none was scored."""
    thresholds: npt.NDArray[np.float32]
