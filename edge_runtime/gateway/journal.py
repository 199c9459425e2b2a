"""The journal: what the detectors were given since their states were last kept, so that kill -9 loses nothing.

It is written before anything is scored, without waiting for a disk: it has to outlive the process, not the power, and mostly lies in memory
(tmpfs). After a crash each machine's newest state and its readings since give the state it was in, to the bit. And from an older state and its
readings (`past.py`) comes an alert's evidence.

A tick is `tick` for each group, `write`, then scoring, what comes of it into the store, then `keep` for the machines that are `due`: a state may be kept only
once everything that it has behind it is safe elsewhere. Where it is not, because the store is out of order, `keep(record=False)`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import StoreError
from edge_runtime.gateway import journal_file as file
from edge_runtime.gateway.past import Ids, Past, Pasts

LIMIT = 4 * 2**20
"""A file grows by so many bytes, or by what its states take twice over, before another one is begun."""


ASIDE = ".aside"
"""Files that are kept for whoever looks into what happened are named so."""
OVERDUE = 8
"""It may grow by so many times of that while another one would not do, because the store is out of order."""


class JournalGroup(NamedTuple):
    """Machines of one bundle, as far as the journal knows them."""

    key: str
    """Tells the group from others after a restart, with the bundle's digest in it: readings for another bundle are not taken up."""
    channels: int
    every: int
    """Readings of a machine from one state to the next."""
    machines: int
    """The most there will be."""


class Restored(NamedTuple):
    """A machine's newest state."""

    group: int
    machine: int
    name: str
    state: bytes


class Tick(NamedTuple):
    """Readings that came after the newest states of their machines."""

    group: int
    ids: Ids
    """(B,)."""
    times: npt.NDArray[np.int64]
    """(B,), microseconds."""
    values: npt.NDArray[np.float64]
    """(B, C)."""


class States(Protocol):
    """The states of a group's machines, by number: a dictionary, or what makes them one by one."""

    def items(self) -> Iterable[tuple[int, bytes]]:
        """Number and state of each."""
        ...


class Journal:
    """Of all groups. Used from one thread."""

    def __init__(self, folder: str, groups: Sequence[JournalGroup], limit: int = LIMIT) -> None:
        """Makes the folder if need be. Raises `StoreError`, also if another process has it."""
        self.notes: dict[str, str] = {}
        """What `note` said last; after `restore`, what it said before."""
        self.problems: list[str] = []
        """What was found wrong with the files, for the log."""
        self._folder, self._groups, self._limit = folder, list(groups), limit
        self.pasts = [Pasts(group.machines, group.channels, group.every) for group in groups]
        self._names: list[dict[int, str]] = [{} for _ in groups]
        self._pending: list[bytes] = []
        self._appending: file.Appending | None = None
        self._head_size = 0
        self._has_gap = True  # the file before does not lead to what is written next
        self._lock = _lock(folder)

    @property
    def needs_rotation(self) -> bool:
        """Whether `rotate` is to be called: the file is large enough, or there is none since one could not be written."""
        now = self._appending
        return now is None or now.size - self._head_size > max(self._limit, 2 * self._head_size)

    @property
    def is_overdue(self) -> bool:
        """Whether it cannot be put off any longer: the file is many times as large, or there is none."""
        now = self._appending
        return now is None or now.size - self._head_size > OVERDUE * max(self._limit, 2 * self._head_size)

    @property
    def size(self) -> int:
        """Bytes of the file in use."""
        return 0 if self._appending is None else self._appending.size

    def machines(self, group: int) -> list[int]:
        """Those that have a name."""
        return list(self._names[group])

    def register(self, group: int, machine: int, name: str, state: bytes) -> None:
        """A machine appears, in this state."""
        self._names[group][machine] = name
        self.pasts[group].restart([machine], [state])
        self._pending += file.name(group, machine, name), file.state(group, machine, state, restarts=True)

    def tick(self, group: int, ids: Ids, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        """Readings (B, C) of registered machines (B,) at times (B,), as the detector will be given them."""
        self.pasts[group].take(ids, times, values)
        self._pending.append(file.tick(group, ids, times, values))

    def note(self, key: str, text: str) -> None:
        """Something to be known after a restart: how far a file was read, what a clock said."""
        self.notes[key] = text
        self._pending.append(file.note(key, text))

    def due(self, group: int) -> Ids:
        """The machines whose states are to be kept, once what came of their readings is safe."""
        return self.pasts[group].due()

    def keep(
        self, group: int, ids: Sequence[int], states: Sequence[bytes], *, restarts: bool = False, record: bool = True
    ) -> None:
        """Machines' states now; written with the next `write`.

        `restarts`: the readings before do not lead to them, because they were shifted or reset. `record` false: for evidence only.
        """
        pasts = self.pasts[group]
        (pasts.restart if restarts else pasts.keep)(ids, states)
        if record:
            pairs = zip(ids, states, strict=True)
            self._pending += [file.state(group, machine, state, restarts=restarts) for machine, state in pairs]

    def write(self) -> None:
        """Everything since the last call, at once. Raises `StoreError`: it is lost, and so is all until `rotate` succeeds."""
        if not self._pending and self._appending is not None:
            return
        content = file.frame(file.BATCH, *self._pending)
        self._pending.clear()
        if self._appending is None:
            raise StoreError(f"{self._folder}: the journal could not be written before, and no new file has been begun")
        try:
            self._appending.write(content)
        except OSError as fault:
            self._close_file()
            self._has_gap = True
            raise StoreError(f"{self._folder}: the journal cannot be written: {fault.strerror}") from None

    def rotate(self, states: Sequence[States], *, restarts: bool = False) -> None:
        """Begin another file with the states of all machines of each group as they are now; the one before the last is deleted.

        `restarts` as in `keep`, for all machines. Raises `StoreError`: then the file in use stays so, if there is one.
        """
        if self._appending is not None and self._pending:
            self.write()
        self._pending.clear()
        older = file.generations(self._folder)
        number = older[-1][0] + 1 if older else 1
        path = os.path.join(self._folder, f"journal-{number}")
        try:
            new = self._begin(path, states, continues=not (restarts or self._has_gap))
        except OSError as fault:
            with contextlib.suppress(OSError):
                os.unlink(f"{path}.part")
            raise StoreError(f"{self._folder}: the journal cannot be written: {fault.strerror}") from None
        self._close_file()
        self._appending, self._head_size, self._has_gap = new, new.size, False
        if restarts:
            for pasts, each in zip(self.pasts, states, strict=True):
                pasts.restart(*map(list, zip(*each.items(), strict=True)))
        for _, old in older[:-1]:
            with contextlib.suppress(OSError):
                os.unlink(old)

    def evidence(self, group: int, machine: int, until: int | None = None) -> Past | None:
        """A state of the machine and its readings since, to the one at the time `until`; None if more came at once than are kept."""
        return self.pasts[group].of(machine, until)

    def restore(self, row_of: Callable[[int, str], int | None]) -> Iterator[Restored | Tick]:
        """Each machine's newest state, then the readings after them in order, once, before anything is written.

        `row_of(group, name)`: the machine's number from now on, or None: its readings are passed over. `evidence` is as of the
        readings given so far. Raises `StoreError`.
        """
        from edge_runtime.gateway.journal_restore import restored  # a gateway needs it once

        found = restored(self._folder, [(group.key, group.channels) for group in self._groups], row_of, self.pasts)
        self.notes.update(found.notes)
        self.problems += found.problems
        for (group, machine), name in found.names.items():
            self._names[group][machine] = name
        yield from found.entries
        self._has_gap = self._has_gap and not found.names

    def set_aside(self) -> None:
        """Keep the files, under other names, from being read again: what was in them ended a process. Those set aside before are deleted."""
        with contextlib.suppress(OSError, StoreError):
            for name in os.listdir(self._folder):
                if name.startswith("journal-") and name.endswith(ASIDE):
                    os.unlink(os.path.join(self._folder, name))
            for _, path in file.generations(self._folder):
                os.rename(path, path + ASIDE)

    def close(self) -> None:
        """Write no more; the files stay."""
        self._close_file()
        os.close(self._lock)

    def _begin(self, path: str, states: Sequence[States], *, continues: bool) -> file.Appending:
        """A file with its head, in place. Raises `OSError`."""
        new = file.Appending(f"{path}.part")
        try:
            new.write(file.head([(group.key, group.channels) for group in self._groups], continues=continues))
            for group, (names, each) in enumerate(zip(self._names, states, strict=True)):
                for machine, state in each.items():
                    restarts = not continues or self.pasts[group].is_new(machine)
                    new.write(
                        file.name(group, machine, names[machine]) + file.state(group, machine, state, restarts=restarts)
                    )
            new.write(b"".join(file.note(*each) for each in self.notes.items()) + file.frame(file.READY))
            os.rename(f"{path}.part", path)
        except OSError:
            new.close()
            raise
        return new

    def _close_file(self) -> None:
        if self._appending is not None:
            self._appending.close()
            self._appending = None


def _lock(folder: str) -> int:
    path = os.path.join(folder, "journal.lock")
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as fault:
        raise StoreError(f"{path}: cannot be opened: {fault.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreError(f"{folder}: another gateway keeps its journal here: give each its own folder") from None
    return descriptor
