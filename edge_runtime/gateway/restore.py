"""At start: every machine in the state in which an earlier process left it, and what that one had not told yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_runtime.errors import StateError
from edge_runtime.gateway.clock import Clock, SteadyTime
from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import ALARM, NEVER_SEEN, UNSEEN, Fleet
from edge_runtime.gateway.intake import Intake
from edge_runtime.gateway.journal import Restored, Tick
from edge_runtime.gateway.keeper import BEHIND, CLOCK, Keeper
from edge_runtime.gateway.log import Log
from edge_runtime.gateway.silences import KEY
from edge_runtime.gateway.status import MACHINE_STATES
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes
from edge_runtime.readings import ACTIVE

PLAUSIBLE_S = 86_400.0
"""A source whose last reading seems to be longer ago, or to come, is not trusted to have had the right time."""
GAP = MACHINE_STATES.index("gap")


Places = set[tuple[int, int]]
"""Machines, by fleet and row."""


class Restore(NamedTuple):
    """What is needed for it."""

    fleets: Sequence[Fleet]
    intake: Intake
    desk: Desk
    keeper: Keeper
    store: Store
    clock: Clock
    steady: SteadyTime
    log: Log
    is_synchronised: bool = True
    """False where the board's clock will be set, and has not been since the boot."""

    def run(self, changes: Changes) -> None:
        """Take up everything; what was not stored yet goes into `changes`. Raises `StoreError`."""
        now = self.steady.now()
        restored = self._from_journal(now, changes)
        boot, offset = self._noted_clock()
        is_same_boot = bool(boot) and boot == self.clock.boot()
        self._from_store(restored, is_same_boot and self.store.meta(BEHIND) != "1")
        self._take_up_alerts(now, changes)
        if not is_same_boot:
            self._follow_boot(restored, boot, now)
        elif offset is not None:
            self._follow_clock(restored, now - round(self.clock.monotonic() * 1e6) - offset)
        for number, fleet in enumerate(self.fleets):
            stamped = self.intake.by_arrival(number)
            for machine in range(len(fleet.names)):
                self._resume_time(fleet, machine, now, is_stamped=machine in stamped)
                self._agree(fleet, machine, now, changes)
            self.keeper.begin_counting(number)
        self.desk.resume_silences(self.store.remembered(KEY))

    def _from_journal(self, now: int, changes: Changes) -> Places:
        """Each machine's newest state and the readings after it; returns the machines, by fleet and row."""
        restored: Places = set()
        for entry in self.keeper.journal.restore(self.intake.admit):
            fleet = self.fleets[entry.group]
            if isinstance(entry, Restored):
                if self._recall(fleet, entry.machine, entry.state):
                    restored.add((entry.group, entry.machine))
            else:  # without its state, a machine's readings would raise other alerts than they did
                known = np.array([(entry.group, machine) in restored for machine in entry.ids.tolist()])
                if known.any():
                    tick = Tick(entry.group, entry.ids[known], entry.times[known], entry.values[known])
                    self._replay(fleet, tick, now, changes)
        for line in self.keeper.journal.problems:
            self.log("journal_damaged", "warning", fault=line)
        return restored

    def _take_up_alerts(self, now: int, changes: Changes) -> None:
        """The alerts that are open after the last readings; their machines, which may have appeared once, are taken in first."""
        for fleet in self.fleets:
            for machine, alert in list(fleet.open.items()):
                known = self.store.alert(alert)
                if known is not None and known.cleared is not None:  # after the end of a journal that lost some of it
                    del fleet.open[machine]
                    self.desk.held_back.pop(fleet.names[machine], None)
        alerts = self.store.open_alerts()
        for stored in alerts:
            if not any(stored.machine in fleet.index for fleet in self.fleets):
                for number, fleet in enumerate(self.fleets):
                    if fleet.bundle.digest == stored.digest and self.intake.admit(number, stored.machine) is not None:
                        break
        self.desk.restore(alerts, now, changes)

    def _replay(self, fleet: Fleet, tick: Tick, now: int, changes: Changes) -> None:
        """Readings that were scored before, most of them: what came of them is told again under the same ids, and stored once."""
        verdicts, turns, _ = fleet.take(tick.ids, tick.values, tick.times)
        for turn in turns:
            evidence = self.keeper.evidence(tick.group, turn) if turn.is_raised else None
            self.desk.turn_again(tick.group, turn, evidence, self.store, now, changes)
        fleet.note(verdicts, tick.times, np.full(len(tick.ids), -np.inf), now / 1e6)

    def _from_store(self, restored: Places, is_journal_newest: bool) -> None:
        """The machines that the journal does not know, or of which the store knows more: after a power cut."""
        for number, fleet in enumerate(self.fleets):
            for saved in self.store.machine_states(fleet.bundle.digest):
                machine = self.intake.admit(number, saved.machine)
                if machine is None:
                    continue
                newest = UNSEEN if saved.last_reading is None else saved.last_reading
                is_newer = not is_journal_newest and newest > fleet.newest[machine]
                if ((number, machine) not in restored or is_newer) and self._recall(fleet, machine, saved.state):
                    self.keeper.restart(number, [machine])
                    restored.add((number, machine))

    def _recall(self, fleet: Fleet, machine: int, state: bytes) -> bool:
        try:
            fleet.recall(machine, state)
        except StateError as fault:
            self.log("state_refused", "warning", machine=fleet.names[machine], fault=str(fault))
            return False
        return True

    def _noted_clock(self) -> tuple[str, int | None]:
        """The boot of the process before, and how far its steady time was ahead of the monotonic clock."""
        try:
            boot, offset = json.loads(self.keeper.journal.notes.get(CLOCK, "null"))
            return str(boot), int(offset)
        except (ValueError, TypeError):
            return "", None

    def _follow_clock(self, restored: Places, step: int) -> None:
        """The wall clock was set while nobody looked: the machines that are stamped by it follow."""
        for number, fleet in enumerate(self.fleets):
            machines = self._stamped(restored, number)
            if machines and step:
                fleet.newest[machines] += step
                self.keeper.shift(number, machines, step)

    def _follow_boot(self, restored: Places, boot: str, now: int) -> None:
        """The board was off: machines that are stamped by its clock go on from where they were as long ago as that was.

        Where nobody knows how long, because the clock is not set yet, it was longer than their windows outlast.
        """
        for number, fleet in enumerate(self.fleets):
            longest = round(fleet.manifest.sampling.longest_gap_s * 1e6)
            for machine in self._stamped(restored, number):
                newest = int(fleet.newest[machine])
                elapsed = self.steady.elapsed_since(newest / 1e6, 0.0, boot, is_synchronised=self.is_synchronised)
                step = now - (2 * longest if elapsed is None else round(elapsed * 1e6)) - newest
                if step:
                    fleet.newest[machine] += step
                    self.keeper.shift(number, [machine], step)

    def _stamped(self, restored: Places, number: int) -> list[int]:
        """The restored machines of a fleet whose readings bring no time, and that had one."""
        stamped, newest = self.intake.by_arrival(number), self.fleets[number].newest
        return sorted(row for fleet, row in restored if fleet == number and row in stamped and newest[row] != UNSEEN)

    def _resume_time(self, fleet: Fleet, machine: int, now: int, *, is_stamped: bool) -> None:
        """How long ago its last reading was, as far as that is known."""
        newest = int(fleet.newest[machine])
        if newest != UNSEEN:
            elapsed = (now - newest) / 1e6
            is_known = self.steady.is_set() and 0 <= elapsed < PLAUSIBLE_S
            known = elapsed if is_known else None
            fleet.timeline.restore(machine, newest, self.clock.monotonic(), known, is_stamped=is_stamped)

    def _agree(self, fleet: Fleet, machine: int, now: int, changes: Changes) -> None:
        """The detector's alarm and the store's alert are two memories of one thing; where one is lost, nothing is hidden."""
        alarm = fleet.detector.steps()["alarm"]
        is_active = alarm.state(machine) == ACTIVE
        if (
            is_active and machine not in fleet.open
        ):  # the alert is lost: the next score above the threshold raises another
            alarm.reset(machine)
            is_active = False
        elif not is_active and machine in fleet.open:  # the state is lost: likewise
            self.desk.close_lost(fleet, machine, now, changes)
        state = int(fleet.states[machine])
        if is_active:
            state = ALARM
        elif state == NEVER_SEEN and fleet.newest[machine] != UNSEEN:
            state = GAP
        if state != fleet.states[machine]:
            fleet.states[machine], fleet.since[machine] = state, now / 1e6
