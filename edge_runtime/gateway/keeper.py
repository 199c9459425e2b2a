"""What outlasts this process: the journal of readings, the machines' states, their history; and how all of it is taken up again.

The journal outlasts kill -9 and has everything to the last reading. The store outlasts a power cut as well and has each machine's state
as of its last alert, or of the last save. So after a crash the journal counts; after another boot, whichever knows the newer reading.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import StoreError
from edge_runtime.gateway.clock import Clock, SteadyTime
from edge_runtime.gateway.config import Storage
from edge_runtime.gateway.evidence import Evidence, pack
from edge_runtime.gateway.fleet import UNSEEN, Fleet, Turn
from edge_runtime.gateway.history import Intervals
from edge_runtime.gateway.intake import Readings
from edge_runtime.gateway.journal import Journal, JournalGroup
from edge_runtime.gateway.lines import Position
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.store_rows import Changes, MachineState
from edge_runtime.readings import Verdicts
from edge_runtime.state import remember, shift

LEAST_READINGS = 16
"""From one state of a machine in the journal to the next, at least."""
SAVED_AT_ONCE = 500
"""Machines whose states are in memory, or in one transaction, together."""
PATIENCE_S = 10.0
"""Before another journal is begun though the store does not have what the old one leads to: it may be back in a moment."""
LINES = "lines "
"""The store's note of how far a file of lines was read begins so."""
BEHIND = "journal behind"
"""The store's note of whether the journal could not be written lately: then the store may know of newer readings, also after a crash."""
CLOCK = "clock"
"""The journal's note of what steady time is."""


def journal_folder(storage: Storage) -> str:
    """Where the journal is: as configured, else where systemd keeps things in memory, else beside the database."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return storage.journal_folder or given or storage.folder


class Keeper:
    """Keeps the state of all fleets."""

    def __init__(
        self,
        storage: Storage,
        fleets: Sequence[Fleet],
        most: Sequence[int],
        clock: Clock,
        steady: SteadyTime,
        *,
        is_behind: bool,
    ) -> None:
        """`most`: machines that each fleet may come to have. Raises `StoreError` if another process has the journal."""
        self._fleets, self._clock, self._steady = fleets, clock, steady
        digests = [fleet.bundle.digest for fleet in fleets]
        groups = [
            JournalGroup(
                f"{digest}#{digests[:number].count(digest)}",
                len(fleet.manifest.channels),
                max(LEAST_READINGS, fleet.manifest.preparation.readings_needed),
                most[number],
            )
            for number, (digest, fleet) in enumerate(zip(digests, fleets, strict=True))
        ]
        self.journal = Journal(journal_folder(storage), groups)
        self._registered = [0] * len(fleets)
        """Of the machines of each fleet, the first so many have a name in the journal."""
        self._marked: dict[tuple[int, int], None] = {}
        now = steady.now()
        self._intervals = [Intervals(fleet.detector.machines, now) for fleet in fleets]
        self._saved_counts = [fleet.counts.copy() for fleet in fleets]
        self._to_save: deque[tuple[int, npt.NDArray[np.int64]]] = deque()
        self._is_behind = self._was_behind = is_behind
        self._noted_offset: int | None = None
        self._overdue_since = clock.monotonic()
        self._positions: dict[str, str] = {}
        """How far files of lines were read, as far as the store has not been told."""

    def gather(self, number: int, readings: Readings) -> None:
        """Readings that are about to be scored, once they are written."""
        fleet = self._fleets[number]
        self._register(number, fleet)
        self.journal.tick(number, readings.ids, readings.times, readings.values)

    def write(self) -> str | None:
        """Write what was gathered: all of it or nothing. Returns why it could not be written, if so."""
        try:
            self.journal.write()
        except StoreError as fault:
            self._is_behind = True
            return f"{fault}: readings since then would not outlast a crash"
        return None

    def _register(self, number: int, fleet: Fleet) -> None:
        if self._registered[number] < len(fleet.names):
            known = set(self.journal.machines(number))
            new = [machine for machine in range(len(fleet.names)) if machine not in known]
            for machine, state in zip(new, remember(fleet.detector, new), strict=True):
                self.journal.register(number, machine, fleet.names[machine], state)
            self._registered[number] = len(fleet.names)

    def note(self, number: int, verdicts: Verdicts) -> None:
        """What became of the readings."""
        intervals = self._intervals[number]
        intervals.grow(self._fleets[number].detector.machines)
        intervals.take(verdicts)

    def note_position(self, message: Message) -> None:
        """How far a file of lines was read: written with the readings, and never before them."""
        if isinstance(message.token, Position):
            self._positions[message.topic] = message.token.to_text()
            self.journal.note(message.topic, self._positions[message.topic])

    def position(self, lines: str, stored: str | None) -> Position | None:
        """How far a file of lines was read by an earlier process; `stored`: as the store has it."""
        text = self.journal.notes.get(lines, stored)
        try:
            return None if text is None else Position.from_text(text)
        except ValueError:
            return None

    def mark(self, number: int, machine: int) -> None:
        """The machine's alarm has turned: its state belongs into the transaction of the alert."""
        self._marked[number, machine] = None

    def add_marked(self, changes: Changes) -> None:
        """The states of the machines that were marked, as they are now."""
        for number, machine in self._marked:
            changes.states += self._states(number, [machine])
        if self._marked:
            self._add_positions(changes)
        self._marked.clear()
        if self._is_behind != self._was_behind:
            self._was_behind = self._is_behind
            changes.meta[BEHIND] = "1" if self._is_behind else "0"

    def _add_positions(self, changes: Changes) -> None:
        """How far files of lines were read, where that is news: it belongs to the states."""
        changes.meta.update((LINES + path, text) for path, text in self._positions.items())
        self._positions.clear()

    def after_commit(self, *, is_stored: bool) -> None:
        """What came of the readings so far is in the store, or is not: only then the journal may go on from here."""
        for number, fleet in enumerate(self._fleets):
            due = self.journal.due(number).tolist()
            if due:
                self.journal.keep(number, due, remember(fleet.detector, due), record=is_stored)

    def evidence(self, number: int, turn: Turn) -> bytes | None:
        """The readings that an alarm was raised by, packed; None where they are not known."""
        fleet = self._fleets[number]
        past = self.journal.evidence(number, turn.machine, turn.time)
        if past is None:
            return None
        detector, bundle = fleet.detector, fleet.bundle
        return pack(
            Evidence(
                fleet.names[turn.machine], os.path.abspath(bundle.source), bundle.digest, detector.engine_name,
                detector.variant_name, fleet.manifest.channel_names, turn.time, turn.score, turn.threshold,
                turn.contributions, past,
            )
        )  # fmt: skip

    def shift(self, number: int, machines: Sequence[int], step: int) -> None:
        """The clock that these machines' readings are stamped by was set by `step` microseconds."""
        shift(self._fleets[number].detector, machines, step)
        self.restart(number, machines)

    def restart(self, number: int, machines: Sequence[int]) -> None:
        """These machines' states come from elsewhere: the readings before do not lead to them."""
        fleet = self._fleets[number]
        self._register(number, fleet)
        self.journal.keep(number, machines, remember(fleet.detector, machines), restarts=True)

    def look_after(self, *, is_stored: bool) -> str | None:
        """Once a second: begin another journal file where it is time; returns what is wrong, if anything is."""
        offset = self._steady.now() - round(self._clock.monotonic() * 1e6)
        if self._noted_offset is None or abs(offset - self._noted_offset) > 50_000:
            self._noted_offset = offset
            self.journal.note(CLOCK, json.dumps([self._clock.boot(), offset]))
        now = self._clock.monotonic()
        if is_stored or not self.journal.is_overdue:
            self._overdue_since = now
        # What the store has not been told is in the old file. But a board's memory has an end, and readings are to outlast a crash.
        if self.journal.needs_rotation and (is_stored or now - self._overdue_since >= PATIENCE_S):
            for number, fleet in enumerate(self._fleets):
                self._register(number, fleet)
            try:
                self.journal.rotate([_States(fleet) for fleet in self._fleets])
                self._is_behind = False
            except StoreError as fault:
                return f"{fault}: readings since then would not outlast a crash"
        return None

    def begin_counting(self, number: int) -> None:
        """What was counted so far were readings of an earlier process: they are none of this one, but the states are to be saved."""
        counts = self._fleets[number].counts
        self._saved_counts[number] = np.where(counts > 0, -1, 0)
        counts[:] = 0

    def begin_save(self, changes: Changes) -> None:
        """The states of all machines that had readings since the last save, and the history, are to be saved."""
        self._to_save.clear()
        for number, fleet in enumerate(self._fleets):
            saved = self._saved_counts[number]
            before = np.zeros_like(fleet.counts)
            before[: len(saved)] = saved
            changed = np.nonzero(fleet.counts != before)[0]
            self._to_save += [
                (number, changed[start : start + SAVED_AT_ONCE]) for start in range(0, len(changed), SAVED_AT_ONCE)
            ]
            self._saved_counts[number] = fleet.counts.copy()
        self._add_positions(changes)

    def save_some(self, changes: Changes) -> bool:
        """Save some machines; returns whether more are to be saved: the readings of a second must not wait for ten thousand."""
        if self._to_save:
            number, machines = self._to_save.popleft()
            changes.states += self._states(number, machines.tolist())
            changes.history += self._intervals[number].rows(self._fleets[number], machines, self._steady.now())
        return bool(self._to_save)

    def _states(self, number: int, machines: Sequence[int]) -> list[MachineState]:
        fleet = self._fleets[number]
        wall, monotonic, boot = self._clock.wall(), self._clock.monotonic(), self._clock.boot()
        steady = self._steady.now()
        return [
            MachineState(
                fleet.names[machine], fleet.bundle.digest, state, wall, monotonic, boot, steady,
                None if fleet.newest[machine] == UNSEEN else int(fleet.newest[machine]),
            )
            for machine, state in zip(machines, remember(fleet.detector, machines), strict=True)
        ]  # fmt: skip

    def close(self) -> None:
        """Write no more."""
        self.write()
        self.journal.close()


class _States:
    """The states of all machines of a fleet, a few in memory at a time."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def items(self) -> Iterator[tuple[int, bytes]]:
        count = len(self._fleet.names)
        for start in range(0, count, SAVED_AT_ONCE):
            some = list(range(start, min(start + SAVED_AT_ONCE, count)))
            yield from zip(some, remember(self._fleet.detector, some), strict=True)
