"""From alarms to alerts: what is told to people, what is kept for them, and what they have said themselves.

Everything goes into `Changes`, which the store writes in one transaction before anything of it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.alerts import Work, to_outgoing
from edge_runtime.gateway.command import Acknowledge, Begin, parse_command
from edge_runtime.gateway.event import AlertEvent, Silence, alert_id
from edge_runtime.gateway.fleet import Fleet, Turn
from edge_runtime.gateway.log import Log
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.silences import KEY, Silences
from edge_runtime.gateway.store_read import Reader
from edge_runtime.gateway.store_rows import Changes, StoredAlert, StoredEvent


class Desk:
    """Keeps the open alerts of all machines."""

    def __init__(
        self,
        fleets: Sequence[Fleet],
        files: Sequence[str],
        work: Work,
        names: tuple[str, str] | None,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`files`: of the fleets' bundles; `names`: the prefix of the topics and the gateway's name; None: no broker."""
        self._fleets, self._files, self.work = fleets, files, work
        self._names = names
        self._metrics, self._log = metrics, log
        self.acknowledged: set[str] = set()
        """Open alerts that somebody has acknowledged, by id."""
        self.held_back: dict[str, AlertEvent] = {}
        """Open alerts that were not sent, because they were raised during known work; by machine."""
        self.silences = Silences()

    def restore(self, alerts: Sequence[StoredAlert], now: int, changes: Changes) -> None:
        """Take up the open alerts of an earlier process, after its last readings were taken again (which went into `changes`).

        Those whose machine or bundle is gone are cleared.
        """
        cleared = {stored.event.alert for stored in changes.events if stored.event.kind == "cleared"}
        for stored in alerts:
            fleet = next((each for each in self._fleets if stored.machine in each.index), None)
            event = AlertEvent(
                "raised", stored.id, stored.machine, stored.bundle, stored.digest, stored.raised, stored.score,
                stored.threshold, stored.contributions,
            )  # fmt: skip
            if stored.id in cleared:
                continue
            if fleet is None or fleet.bundle.digest != stored.digest:
                reason = "bundle replaced" if fleet else "machine removed"
                self._close(event._replace(kind="cleared", time=now, reason=reason), now, changes)
                continue
            if fleet.open.setdefault(fleet.index[stored.machine], stored.id) != stored.id:
                continue
            if stored.acknowledged is not None:
                self.acknowledged.add(stored.id)
            if stored.in_maintenance and not stored.is_queued:
                self.held_back[stored.machine] = event
            else:
                self.held_back.pop(stored.machine, None)

    def turn(
        self,
        number: int,
        turn: Turn,
        evidence: bytes | None,
        now: int,
        changes: Changes,
        *,
        is_known: Callable[[str], bool] = lambda alert: False,
        is_news: bool = True,
    ) -> AlertEvent | None:
        """An alarm of fleet `number` went up or down, at `now` in steady time (microseconds). Returns the event, if it is one.

        `evidence`: the readings that an alarm was raised by, packed; None where they cannot be had. `is_known`: whether an id is taken:
        a machine whose clock begins anew whenever it is switched on has the same times again. One that is no news is neither logged
        nor counted.
        """
        fleet = self._fleets[number]
        machine, manifest, digest = fleet.names[turn.machine], fleet.manifest, fleet.bundle.digest
        alert, times = alert_id(machine, digest, turn.time), 1
        while turn.is_raised and is_known(alert):
            times += 1
            alert = alert_id(machine, f"{digest} {times}", turn.time)
        event = AlertEvent(
            "raised" if turn.is_raised else "cleared",
            alert,
            machine,
            manifest.name,
            digest,
            turn.time,
            turn.score,
            turn.threshold,
            turn.contributions,
        )
        fleet.changed.add(turn.machine)
        if turn.is_raised:
            fleet.open[turn.machine] = event.alert
            at_work = self.work.is_on(machine, now)
            engine, variant = fleet.detector.engine_name, fleet.detector.variant_name
            stored = StoredEvent(event, self._files[number], engine, variant, evidence, at_work)
            if at_work:
                self.held_back[machine] = event
            self._record(stored, now, changes, is_sent=not at_work, is_news=is_news)
            return event
        opened = fleet.open.pop(turn.machine, None)
        if opened is None:
            return None
        event = event._replace(alert=opened, reason="normal")
        self._close(event, now, changes, is_news=is_news)
        return event

    def turn_again(
        self, number: int, turn: Turn, evidence: bytes | None, store: Reader, now: int, changes: Changes
    ) -> None:
        """The same of readings that are taken again after a crash: it may be in the store already, and then changes nothing.

        Which alert a machine had at the first of them only the store knows: its last one before. Raises `StoreError`.
        """
        fleet = self._fleets[number]
        if not turn.is_raised and turn.machine not in fleet.open:
            before = store.last_alert(fleet.names[turn.machine], turn.time)
            if before is None:
                return
            fleet.open[turn.machine] = before.id
            if before.in_maintenance and not before.is_queued:
                self.held_back[before.machine] = AlertEvent(
                    "raised", before.id, before.machine, before.bundle, before.digest, before.raised, before.score,
                    before.threshold, before.contributions,
                )  # fmt: skip
        alert = (
            alert_id(fleet.names[turn.machine], fleet.bundle.digest, turn.time)
            if turn.is_raised
            else fleet.open[turn.machine]
        )
        known = store.alert(alert)
        is_news = known is None or (known.cleared is None and not turn.is_raised)
        self.turn(number, turn, evidence, now, changes, is_news=is_news)

    def close_lost(self, fleet: Fleet, machine: int, now: int, changes: Changes) -> None:
        """Clear an alert whose machine's state was lost: if it is still anomalous, it will raise another one."""
        alert = fleet.open.pop(machine)
        threshold = float(fleet.thresholds[machine])
        event = AlertEvent(
            "cleared", alert, fleet.names[machine], fleet.manifest.name, fleet.bundle.digest, now, 0.0, threshold, {},
            "state lost",
        )  # fmt: skip
        self._close(event, now, changes)

    def _close(self, event: AlertEvent, now: int, changes: Changes, *, is_news: bool = True) -> None:
        self.acknowledged.discard(event.alert)
        was_held_back = self.held_back.pop(event.machine, None) is not None
        self._record(StoredEvent(event), now, changes, is_sent=not was_held_back, is_news=is_news)

    def obey(self, message: Message, now: int, changes: Changes) -> str:
        """Do what somebody commands; returns what was done. Raises `PayloadError`."""
        command = parse_command(message.payload, is_retained=message.is_retained)
        if isinstance(command, Acknowledge):
            if not self._acknowledge(command, now, changes):
                raise PayloadError(
                    "command", f"expected an open alert that nobody has acknowledged, got {command.alert}"
                )
            return f"acknowledged {command.alert}"
        known = {name for fleet in self._fleets for name in fleet.index}
        unknown = [machine for machine in command.machines if machine not in known]
        if unknown:
            raise PayloadError("machine", f"expected machines that are known, got {len(unknown)} that are not")
        if isinstance(command, Begin):
            changes.maintenance.append(self.work.begin(command, now))
            done = "work begins on"
        else:
            changes.maintenance += self.work.end(command, now)
            done = "work is over on"
        self._mark_changed(command.machines)
        return f"{done} {', '.join(command.machines[:5])}{' ...' if len(command.machines) > 5 else ''}"

    def _mark_changed(self, machines: Sequence[str]) -> None:
        for fleet in self._fleets:
            fleet.changed.update(fleet.index[machine] for machine in machines if machine in fleet.index)

    def _acknowledge(self, command: Acknowledge, now: int, changes: Changes) -> bool:
        """Somebody has taken note of an open alert; returns whether there is one that nobody had."""
        for fleet in self._fleets:
            for row, alert in fleet.open.items():
                if alert == command.alert and alert not in self.acknowledged:
                    self.acknowledged.add(alert)
                    fleet.changed.add(row)
                    event = AlertEvent(
                        "acknowledged", alert, fleet.names[row], fleet.manifest.name, fleet.bundle.digest, now,
                        float(fleet.scores[row]), float(fleet.thresholds[row]), {}, command.by,
                    )  # fmt: skip
                    self._record(StoredEvent(event), now, changes, is_sent=True)
                    return True
        return False

    def follow_work(self, now: int, changes: Changes) -> None:
        """Where known work is over, what was raised meanwhile and has not cleared, and who went silent and still is, is told now."""
        ended = self.work.ended(now)
        self._mark_changed([*ended, *self.work.began])
        for machine in [name for name in self.held_back if not self.work.is_on(name, now)]:
            event = self.held_back.pop(machine)
            self._queue(event, now, changes)
            self._log(
                "alert_raised", "warning", machine=machine, alert=event.alert, note="raised during work that is over"
            )
        for machine in [name for name in self.silences.untold if not self.work.is_on(name, now)]:
            self._queue(self.silences.tell(machine), now, changes)
            changes.meta[KEY + machine] = self.silences.text(machine)

    def silence(self, fleet: Fleet, machine: int, now: int, changes: Changes, *, is_heard: bool) -> None:
        """A machine has gone silent, or is heard again."""
        name, newest = fleet.names[machine], int(fleet.newest[machine])
        event = Silence(
            "silent", name, fleet.manifest.name, fleet.bundle.digest, newest if newest > 0 else None, now,
        )  # fmt: skip
        if is_heard:
            began, is_told = self.silences.end(name)
            event = (began or event)._replace(kind="heard", time=now)
        else:
            is_told = not self.work.is_on(name, now)
            self.silences.begin(event, is_told=is_told)
        self._log(f"machine_{event.kind}", "info" if is_heard else "warning", machine=name)
        self._metrics.count_alert(name, event.kind)
        if is_told:
            self._queue(event, now, changes)
        changes.meta[KEY + name] = self.silences.text(name)

    def resume_silences(self, texts: Iterable[str]) -> None:
        """Machines that were silent for an earlier process are, until they are heard."""
        for silence in self.silences.restore(texts):
            fleet = next((each for each in self._fleets if silence.machine in each.index), None)
            if fleet is None:
                self.silences.end(silence.machine)
            else:
                fleet.stay_silent(fleet.index[silence.machine], silence.time / 1e6)

    def _queue(self, event: AlertEvent | Silence, now: int, changes: Changes) -> None:
        if self._names is not None:
            changes.outbox.append(to_outgoing(event, *self._names, now))

    def _record(self, stored: StoredEvent, now: int, changes: Changes, *, is_sent: bool, is_news: bool = True) -> None:
        event = stored.event
        changes.events.append(stored)
        if is_sent:
            self._queue(event, now, changes)
        if not is_news:
            return
        self._metrics.count_alert(event.machine, event.kind)
        self._log(
            f"alert_{event.kind}", "warning" if event.kind == "raised" else "info", machine=event.machine,
            alert=event.alert, score=event.score, threshold=event.threshold, in_maintenance=stored.in_maintenance,
        )  # fmt: skip
