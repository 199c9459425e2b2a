"""Known work on machines, and the messages that go out about machines.

During known work a machine's alarms are recorded and not sent. Its times are judged by steady time; on a board that has not heard the
time yet, work announced for a date does not begin, whatever the wrong date is: an alarm too many is better than one too few.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.clock import CLOCK_SET
from edge_runtime.gateway.command import LONGEST_WORK, MINUTE, Begin, End
from edge_runtime.gateway.config import Maintenance
from edge_runtime.gateway.event import AlertEvent, LostAlerts, Silence
from edge_runtime.gateway.status import MachineStatus
from edge_runtime.gateway.store_rows import MaintenanceRecord, Outgoing, event_message
from edge_runtime.readings import EARLIEST, LATEST, to_microseconds

MOST_WINDOWS = 1_000
"""Commanded at the same time."""
CONFIGURATION = "configuration"
"""Who announced work that the configuration names."""


class Work:
    """Known work on machines: from the configuration, and from commands (which the store keeps)."""

    def __init__(self, configured: Sequence[Maintenance], commanded: Iterable[MaintenanceRecord] = ()) -> None:
        self._configured: list[MaintenanceRecord] = []
        self._commanded = {record.id: record for record in commanded if record.by != CONFIGURATION}
        self._lasting: set[str] = set()  # of the commanded: those that end so many minutes after they began
        self._of: dict[str, list[MaintenanceRecord]] = {}
        self._at_work: set[str] = set()
        self.began: list[str] = []
        """Of the last call of `ended`: the machines that had no work on them at the one before, and have now."""
        self.configure(configured)

    def configure(self, configured: Sequence[Maintenance]) -> None:
        """Take the work of another configuration in the place of this one's."""
        self._configured = []
        for each in configured:
            start, end = to_microseconds(each.start), to_microseconds(each.end)
            identity = _identity(each.machines, start, end, CONFIGURATION)
            self._configured.append(MaintenanceRecord(identity, each.machines, start, end, each.note, CONFIGURATION))
        self._index()

    def records(self) -> list[MaintenanceRecord]:
        """All work that is known, of the configuration first."""
        return [*self._configured, *self._commanded.values()]

    def is_on(self, machine: str, now: int) -> bool:
        """Whether there is work on the machine, at `now` in steady time (microseconds)."""
        return machine in self._of and self.current(machine, now) is not None

    def current(self, machine: str, now: int) -> MaintenanceRecord | None:
        """The work on the machine, if there is any."""
        is_set = now >= CLOCK_SET * 1e6
        for record in self._of.get(machine, ()):
            # Where the time is not known, only work that was begun by a command just now, by the same wrong clock, is.
            if record.start <= now < record.end and (is_set or record.start < CLOCK_SET * 1e6):
                return record
        return None

    def begin(self, command: Begin, now: int) -> MaintenanceRecord:
        """Known work from a command, at `now` in steady time; returns the row for the store. Raises `PayloadError`."""
        self._forget(now)
        if len(self._commanded) >= MOST_WINDOWS:
            raise PayloadError("size", f"expected work at most {MOST_WINDOWS} times at once, got one more")
        start = now if command.start is None else command.start
        end = command.end
        if end is None:
            assert command.minutes is not None  # the parser took one of the two
            end = start + round(command.minutes * MINUTE)
        if not max(start, now) < end <= max(start, now) + LONGEST_WORK:
            raise PayloadError("time", "end: expected one after the start and now, by 31 days at most, got another one")
        identity = _identity(command.machines, start, end, command.by)
        record = MaintenanceRecord(identity, command.machines, start, end, command.note, command.by)
        self._commanded[identity] = record
        if command.start is None and command.minutes is not None:
            self._lasting.add(identity)
        self._index()
        return record

    def end(self, command: End, now: int) -> list[MaintenanceRecord]:
        """Work on these machines is over; returns the rows for the store that replace others.

        Other machines of the same work go on. Work that the configuration names is ended by changing the configuration.
        """
        changed = []
        for record in list(self._commanded.values()):
            over = [machine for machine in record.machines if machine in command.machines]
            if not over or record.end <= now:
                continue
            others = tuple(machine for machine in record.machines if machine not in command.machines)
            start = min(record.start, now)
            ended = record._replace(machines=tuple(over), start=start, end=now)
            if others:
                identity = _identity(others, record.start, record.end, record.by)
                self._commanded[identity] = record._replace(id=identity, machines=others)
                if record.id in self._lasting:
                    self._lasting.add(identity)
                changed.append(self._commanded[identity])
            self._lasting.discard(record.id)
            del self._commanded[record.id]
            changed.append(ended)
        self._index()
        return changed

    def ended(self, now: int) -> list[str]:
        """The machines that had work on them at the last call and have none now, in order of their names.

        An alert raised within it that is still open is to be sent then. (After a start nothing is known of the last call: whatever
        was held back, of a machine that has no work on it now, is to be sent.)
        """
        at_work = {machine for machine in self._of if self.current(machine, now) is not None}
        ended, self.began, self._at_work = sorted(self._at_work - at_work), sorted(at_work - self._at_work), at_work
        return ended

    def shift(self, step: int) -> list[MaintenanceRecord]:
        """The wall clock was set by `step` microseconds: work that lasts so many minutes from its command on moves with it.

        Returns the rows for the store that replace others.
        """
        for identity in self._lasting:
            record = self._commanded[identity]
            start, end = (max(EARLIEST, min(LATEST, moment + step)) for moment in (record.start, record.end))
            self._commanded[identity] = record._replace(start=start, end=end)
        self._index()
        return [self._commanded[identity] for identity in sorted(self._lasting)]

    def _forget(self, now: int) -> None:
        """Commanded work that is long over. Where the clock is not set nobody knows."""
        if now >= CLOCK_SET * 1e6:
            over = [identity for identity, record in self._commanded.items() if record.end < now]
            for identity in over:
                del self._commanded[identity]
                self._lasting.discard(identity)

    def _index(self) -> None:
        self._of = {}
        for record in self.records():
            for machine in record.machines:
                self._of.setdefault(machine, []).append(record)


def _identity(machines: Sequence[str], start: int, end: int, by: str) -> str:
    """The same work has the same id, however often it is announced."""
    text = json.dumps([sorted(machines), start, end, by])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def topic_of(prefix: str, name: str, *levels: str) -> str:
    """A topic under `PREFIX/NAME/`. What a topic cannot hold of a level (a machine's name) is written `%2F`, as in an address."""
    return "/".join((prefix, name, *(_UNSAFE.sub(_escaped, level) for level in levels)))


_UNSAFE = re.compile(r"[/+#%\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def to_outgoing(event: AlertEvent | LostAlerts | Silence, prefix: str, name: str, created: int) -> Outgoing:
    """The message of an event, on `PREFIX/NAME/alerts/MACHINE` (`PREFIX/NAME/alerts` if it is about no machine).

    `created`: steady time, microseconds.
    """
    machine = () if isinstance(event, LostAlerts) else (event.machine,)
    return event_message(event, topic_of(prefix, name, "alerts", *machine), created)


def state_message(machine: MachineStatus, prefix: str, name: str, created: int) -> Outgoing:
    """The retained message of a machine's state, on `PREFIX/NAME/machines/MACHINE`; `created`: steady time, microseconds."""
    content = {
        "machine": machine.name,
        "state": machine.state,
        "since": datetime.fromtimestamp(machine.since, UTC).isoformat(),
        "score": machine.score if machine.score is not None and abs(machine.score) < float("inf") else None,
        "threshold": machine.threshold if abs(machine.threshold) < float("inf") else None,
        "alert": machine.alert,
        "acknowledged": machine.is_acknowledged,
        "maintenance": machine.in_maintenance,
        "bundle": machine.bundle,
        "fault_channels": list(machine.fault_channels),
    }
    payload = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    identity = hashlib.sha256(f"{machine.name}\n{created}".encode("utf-8", "backslashreplace") + payload).hexdigest()[
        :16
    ]
    return Outgoing(
        f"state-{identity}", topic_of(prefix, name, "machines", machine.name), payload, True, created=created
    )
