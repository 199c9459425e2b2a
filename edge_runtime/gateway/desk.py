"""From alarms to alerts: what is told to people, what is kept for them, and what they have said themselves.

Everything goes into `Changes`, which the store writes in one transaction before anything of it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_runtime.gateway.event import AlertEvent, alert_id
from edge_runtime.gateway.fleet import Fleet, Turn
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.store_rows import Changes, StoredAlert, StoredEvent, event_message

Evidence = Callable[[int, int, Turn], bytes | None]
"""Of a fleet's machine (its row): the readings that an alarm was raised by, packed; None where they cannot be had."""
Log = Callable[..., None]


class Desk:
    """Keeps the open alerts of all machines."""

    def __init__(self, fleets: Sequence[Fleet], files: Sequence[str], topic: str, metrics: Metrics, log: Log) -> None:
        """`files`: of the fleets' bundles; `topic`: alerts go to `TOPIC/MACHINE`."""
        self._fleets, self._files = fleets, files
        self._topic = topic
        self._metrics, self._log = metrics, log
        self.acknowledged: set[str] = set()
        """Open alerts that somebody has acknowledged, by id."""
        self.held_back: dict[str, AlertEvent] = {}
        """Open alerts that were not sent, because they were raised during known work; by machine."""

    def restore(self, alerts: Sequence[StoredAlert]) -> list[AlertEvent]:
        """Take up the open alerts of an earlier process; returns those whose machine or bundle is gone, cleared."""
        orphans = []
        for stored in alerts:
            event = AlertEvent(
                "raised", stored.id, stored.machine, stored.bundle, stored.digest, stored.raised, stored.score,
                stored.threshold, stored.contributions,
            )  # fmt: skip
            fleet = next((each for each in self._fleets if stored.machine in each.index), None)
            if fleet is None or fleet.bundle.digest != stored.digest:
                orphans.append(event._replace(kind="cleared", reason="bundle replaced" if fleet else "machine removed"))
                continue
            fleet.open[fleet.index[stored.machine]] = stored.id
            if stored.acknowledged is not None:
                self.acknowledged.add(stored.id)
            if stored.in_maintenance:
                self.held_back[stored.machine] = event
        return orphans

    def turn(self, number: int, turn: Turn, evidence: Evidence, *, at_work: bool, now: int, changes: Changes) -> AlertEvent | None:
        """An alarm of fleet `number` went up or down; `now`: wall clock, microseconds. Returns the event, if it is one."""
        fleet = self._fleets[number]
        machine, manifest = fleet.names[turn.machine], fleet.manifest
        event = AlertEvent(
            "raised" if turn.is_raised else "cleared",
            alert_id(machine, fleet.bundle.digest, turn.time),
            machine,
            manifest.name,
            fleet.bundle.digest,
            turn.time,
            turn.score,
            turn.threshold,
            turn.contributions,
        )
        if turn.is_raised:
            fleet.open[turn.machine] = event.alert
            stored = StoredEvent(
                event,
                self._files[number],
                fleet.detector.engine_name,
                fleet.detector.variant_name,
                evidence(number, turn.machine, turn),
                at_work,
            )
            if at_work:
                self.held_back[machine] = event
            self._record(stored, now, changes, is_sent=not at_work)
            return event
        alert = fleet.open.pop(turn.machine, None)
        if alert is None:  # taken again after a crash: the store has it
            return None
        event = event._replace(alert=alert, reason="normal")
        self._close(event, now, changes)
        return event

    def close_orphan(self, event: AlertEvent, now: int, changes: Changes) -> None:
        """Clear an alert whose machine or bundle is gone."""
        self._close(event, now, changes)

    def _close(self, event: AlertEvent, now: int, changes: Changes) -> None:
        self.acknowledged.discard(event.alert)
        was_held_back = self.held_back.pop(event.machine, None) is not None
        self._record(StoredEvent(event), now, changes, is_sent=not was_held_back)

    def acknowledge(self, alert: str, by: str, now: int, changes: Changes) -> bool:
        """Somebody has taken note of an open alert; returns whether there is one that nobody had."""
        for fleet in self._fleets:
            for row, open_alert in fleet.open.items():
                if open_alert == alert and alert not in self.acknowledged:
                    self.acknowledged.add(alert)
                    fleet.changed.add(row)
                    event = AlertEvent(
                        "acknowledged", alert, fleet.names[row], fleet.manifest.name, fleet.bundle.digest, now,
                        float(fleet.scores[row]), float(fleet.thresholds[row]), {}, by,
                    )  # fmt: skip
                    self._record(StoredEvent(event), now, changes, is_sent=True)
                    return True
        return False

    def work_ended(self, machines: Sequence[str], now: int, changes: Changes) -> None:
        """Known work is over: what was raised meanwhile and has not cleared is told now."""
        for machine in machines:
            event = self.held_back.pop(machine, None)
            if event is not None:
                changes.outbox.append(event_message(event, self._topic_of(machine), now))
                self._log("alert", machine=machine, alert=event.alert, kind="raised", note="raised during work that is over")

    def _record(self, stored: StoredEvent, now: int, changes: Changes, *, is_sent: bool) -> None:
        event = stored.event
        changes.events.append(stored)
        if is_sent:
            changes.outbox.append(event_message(event, self._topic_of(event.machine), now))
        self._metrics.count_alert(event.machine, event.kind)
        self._log(
            "alert", level="warning" if event.kind == "raised" else "info", kind=event.kind, machine=event.machine,
            alert=event.alert, score=event.score, threshold=event.threshold, in_maintenance=stored.in_maintenance,
        )  # fmt: skip

    def _topic_of(self, machine: str) -> str:
        return f"{self._topic}/{machine}"
