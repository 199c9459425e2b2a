"""The gateway as it is now, for the page and the metrics: a `Status`, made in the gateway's thread and never changed after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

from edge_runtime.errors import StoreError
from edge_runtime.gateway.config import GatewayConfig
from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.lines import Lines
from edge_runtime.gateway.recent import RecentScores
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.status import MACHINE_STATES, AlertStatus, BundleStatus, MachineStatus, Status
from edge_runtime.gateway.store_read import Reader

if TYPE_CHECKING:
    from edge_runtime.gateway.assemble import Broker
    from edge_runtime.gateway.gateway import Gateway
    from edge_runtime.gateway.parts import Parts


def machine_status(fleet: Fleet, machine: int, desk: Desk, wall: float, monotonic: float) -> MachineStatus:
    """One machine, by its row; `wall` and `monotonic` are the same moment, seconds."""
    return next(machine_statuses(fleet, desk, wall, monotonic, machine, machine + 1))


def machine_statuses(
    fleet: Fleet, desk: Desk, wall: float, monotonic: float, first: int = 0, end: int | None = None
) -> Iterator[MachineStatus]:
    """All machines of a fleet, or the rows from `first` to `end`. Ten thousand in 15 ms: a column is turned into numbers at once."""
    end = len(fleet.names) if end is None else end
    columns = (fleet.states, fleet.since, fleet.heard, fleet.scores, fleet.thresholds, fleet.counts)
    rows = zip(*(column[first:end].tolist() for column in columns), strict=True)
    bundle, moment = fleet.manifest.name, round(wall * 1e6)
    acknowledged, is_at_work, alerts = desk.acknowledged, desk.work.is_on, fleet.open
    for machine, (code, since, heard, score, threshold, readings) in enumerate(rows, first):
        name, alert, state = fleet.names[machine], alerts.get(machine), MACHINE_STATES[code]
        yield MachineStatus(
            name,
            bundle,
            state,
            since,
            wall - (monotonic - heard) if heard > -inf else None,
            score if score == score else None,
            threshold,
            alert,
            alert in acknowledged,
            is_at_work(name, moment),
            fleet.faults.get(machine, ()) if state == "sensor_fault" else (),
            readings,
        )


def bundle_statuses(fleets: Sequence[Fleet], files: Sequence[str]) -> tuple[BundleStatus, ...]:
    """The bundles in use, and the files they are from."""
    return tuple(
        BundleStatus(
            fleet.manifest.name,
            file,
            fleet.bundle.digest,
            fleet.manifest.family,
            fleet.detector.engine_name,
            fleet.detector.variant_name,
            len(fleet.names),
            fleet.manifest.channel_names,
        )
        for fleet, file in zip(fleets, files, strict=True)
    )


def alert_statuses(store: Reader, desk: Desk, most: int = 50) -> tuple[AlertStatus, ...]:
    """The newest alerts, open or past. Raises `StoreError`."""
    return tuple(
        AlertStatus(
            each.id,
            each.machine,
            each.bundle,
            each.raised / 1e6,
            None if each.cleared is None else each.cleared / 1e6,
            each.score,
            each.threshold,
            each.contributions,
            each.acknowledged is not None,
            each.in_maintenance,
            each.is_sent,
        )
        for each in store.alerts(most)
    )


class Show:
    """Publishes the gateway's status once a second."""

    def __init__(self, seen: Seen, config: GatewayConfig, version: str, client: Broker | None) -> None:
        self._seen, self._config, self._version, self._client = seen, config, version, client
        self._placed: list[int] = []
        self._oversized = 0
        self._alerts: tuple[AlertStatus, ...] = ()
        self._started: float | None = None

    def __call__(self, gateway: Gateway) -> None:
        """Show it as it is now."""
        p, client, config = gateway.parts, self._client, self._config
        wall, monotonic = p.steady.now() / 1e6, p.clock.monotonic()
        self._place(p.fleets, p.recent)
        p.metrics.dropped = p.inbox.dropped
        self._count_oversized(p)
        problems = [*gateway.problems.values()]
        try:
            self._alerts = alert_statuses(p.store, p.desk)
            waiting = p.store.waiting_count()
            problems += p.store.problems()
            p.metrics.storage_bytes = p.store.sizes
        except StoreError:
            waiting = gateway.unstored
        p.metrics.outbox_lost = p.store.lost_total
        if client is not None:
            problems += client.problems
        problems += [source.problem for source in p.sources if isinstance(source, Lines) and source.problem is not None]
        status = Status(
            config.name,
            self._version,
            wall,
            wall - (monotonic - gateway.started),
            p.steady.is_set(),
            tuple(each for fleet in p.fleets for each in machine_statuses(fleet, p.desk, wall, monotonic)),
            bundle_statuses(p.fleets, p.files),
            self._alerts,
            None if config.mqtt is None else f"{config.mqtt.host}:{config.mqtt.broker_port}",
            client is not None and client.is_connected,
            0 if client is None else client.reconnects,
            len(p.inbox),
            waiting,
            tuple(problems),
            p.metrics.totals(),
            gateway.is_stored,
            "journal" not in gateway.problems,
        )
        self._seen.publish(status)

    def _count_oversized(self, parts: Parts) -> None:
        """What the sources refused themselves, because it was too large to be looked into."""
        count = sum(getattr(source, name, 0) for source in parts.sources for name in ("oversized", "refused"))
        for _ in range(self._oversized, count):
            parts.metrics.refuse("size")
        self._oversized = count

    def _place(self, fleets: Sequence[Fleet], recent: Sequence[RecentScores]) -> None:
        """Say where the recent scores of new machines are."""
        self._placed += [0] * (len(fleets) - len(self._placed))
        for number, fleet in enumerate(fleets):
            for machine in range(self._placed[number], len(fleet.names)):
                self._seen.place(fleet.names[machine], recent[number], machine)
            self._placed[number] = len(fleet.names)
