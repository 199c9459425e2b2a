"""Reading the journal at start: streaming, twice, with no more in memory than one record and a few numbers a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_runtime.gateway import journal_file as file
from edge_runtime.gateway.journal import Restored, Tick

if TYPE_CHECKING:
    from edge_runtime.gateway.past import Ids, Pasts

Groups = Sequence[tuple[str, int]]
"""Each one's key and number of channels."""
RowOf = Callable[[int, str], int | None]


class Found(NamedTuple):
    """What the files hold."""

    notes: dict[str, str]
    names: dict[tuple[int, int], str]
    """By group and machine, as they are numbered now."""
    entries: Iterator[Restored | Tick]
    problems: list[str]


class _Survey:
    """One file, looked through: who is in it, and where the newest states are."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.groups: list[tuple[str, int]] = []
        self.continues = False
        self.ready_at: int | None = None
        """Where the head ends; None: it is not whole."""
        self.names: dict[tuple[int, int], str] = {}
        self.states: dict[tuple[int, int], int] = {}
        """Where each machine's newest state is."""
        self.notes: dict[str, str] = {}
        self.end = 0
        """Where the last whole record begins."""
        for offset, kind, content in file.records(path):
            self.end = offset
            if kind == file.HEAD:
                try:
                    self.groups, self.continues = file.parse_head(content)
                except (ValueError, KeyError, TypeError):
                    return
            elif kind == file.NAME:
                group, _, machine, name = file.parse_machine(content)
                self.names[group, machine] = name.decode()
            elif kind == file.STATE:
                group, _, machine, _ = file.parse_machine(content)
                self.states[group, machine] = offset
            elif kind == file.NOTE:
                key, text = file.parse_note(content)
                self.notes[key] = text
            elif kind == file.READY:
                self.ready_at = offset


class _Numbers:
    """The machines of one file, as they are numbered now."""

    def __init__(self, survey: _Survey, groups: Groups, row_of: RowOf) -> None:
        now = {group: number for number, group in enumerate(groups)}
        self._groups = [now.get(group) for group in survey.groups]
        self.names: dict[tuple[int, int], str] = {}
        most = max((machine for _, machine in survey.names), default=-1) + 1
        self._rows = np.full((len(survey.groups), most), -1, np.int64)
        for (old, machine), name in survey.names.items():
            group = self._groups[old]
            row = None if group is None else row_of(group, name)
            if group is not None and row is not None:
                self._rows[old, machine] = row
                self.names[group, row] = name

    def group(self, old: int) -> int | None:
        return self._groups[old]

    def rows(self, old: int, machines: Ids) -> Ids:
        """Below zero for machines that are passed over."""
        rows: Ids = self._rows[old, machines]
        return rows


def restored(folder: str, groups: Groups, row_of: RowOf, pasts: Sequence[Pasts]) -> Found:
    """What the newest whole generation and the one before it hold. Raises `StoreError`."""
    problems: list[str] = []
    surveys: list[_Survey] = []
    for _, path in reversed(file.generations(folder)):
        survey = _Survey(path)
        if survey.ready_at is None:
            problems.append(f"{path}: not whole, or of another version: not read")
            if surveys:
                break
            continue
        surveys.append(survey)
        if len(surveys) == 2 or not survey.continues:
            break
    if not surveys:
        return Found({}, {}, iter(()), problems)
    newest = surveys[0]
    numbers = [_Numbers(newest, groups, row_of)]
    of_name = {(group, name): row for (group, row), name in numbers[0].names.items()}
    numbers += [_Numbers(older, groups, lambda *name: of_name.get(name)) for older in surveys[1:]]
    return Found(newest.notes, numbers[0].names, _entries(surveys, numbers, pasts), problems)


def _entries(surveys: list[_Survey], numbers: list[_Numbers], pasts: Sequence[Pasts]) -> Iterator[Restored | Tick]:
    newest, of_newest = surveys[0], numbers[0]
    for (old, machine), offset in newest.states.items():
        group, row = of_newest.group(old), int(of_newest.rows(old, np.array([machine]))[0])
        if group is not None and row >= 0:
            _, _, _, state = file.parse_machine(file.record_at(newest.path, offset))
            yield Restored(group, row, newest.names[old, machine], state)
    for survey, each in zip(reversed(surveys), reversed(numbers), strict=True):
        for tick in _played(survey, each, pasts):
            if survey is newest and len(tick.ids):
                yield tick


def _played(survey: _Survey, numbers: _Numbers, pasts: Sequence[Pasts]) -> Iterator[Tick]:
    """Everything once more, into `pasts`; yields the readings after each machine's newest state."""
    channels = [count for _, count in survey.groups]
    newest_state = np.zeros((len(survey.groups), 1 + max((m for _, m in survey.names), default=0)), np.int64)
    for (old, machine), offset in survey.states.items():
        newest_state[old, machine] = offset
    for offset, kind, content in file.records(survey.path):
        if offset > survey.end:
            return
        if kind == file.STATE:
            old, restarts, machine, state = file.parse_machine(content)
            group, row = numbers.group(old), int(numbers.rows(old, np.array([machine]))[0])
            is_head = offset < (survey.ready_at or 0)  # the past goes on over it, if it is known
            if group is not None and row >= 0 and (restarts or not is_head or not pasts[group].has(row)):
                (pasts[group].restart if restarts else pasts[group].keep)([row], [state])
        elif kind == file.TICK:
            old, ids, times, values = file.parse_tick(content, channels)
            group = numbers.group(old)
            if group is None:
                continue
            rows = numbers.rows(old, ids)
            taken = rows >= 0
            pasts[group].take(rows[taken], times[taken], values[taken])
            taken &= newest_state[old, ids] < offset
            yield Tick(group, rows[taken], times[taken], values[taken])
