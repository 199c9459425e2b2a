"""The machines that share a bundle: names to rows of one `Detector`, what is known of each, and who has gone silent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.clean import NEVER
from edge_runtime.detector import Detector
from edge_runtime.errors import EngineError
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.status import MACHINE_STATES
from edge_runtime.gateway.timeline import Timeline
from edge_runtime.readings import ACTIVE, CLEARED, COLLECTING, GAP, RAISED, SCORED, STATUSES, Verdicts
from edge_runtime.state import grown, recall

ROOM = 16
"""Machines that a fleet has room for at first; it doubles when they are more."""
UNSEEN = np.iinfo(np.int64).min
"""In place of the time of a machine's newest reading."""
NEVER_SEEN, SILENT, ALARM = (MACHINE_STATES.index(name) for name in ("never_seen", "silent", "alarm"))
_STATE_OF = np.array(
    [MACHINE_STATES.index("normal" if name == "scored" else name) if name != "collecting" else -1 for name in STATUSES]
)
"""Of a verdict's status; a reading that waits for its period says nothing."""


class Turn(NamedTuple):
    """An alarm went up or down."""

    is_raised: bool
    machine: int
    row: int
    """Of the readings handed over."""
    time: int
    score: float
    threshold: float
    contributions: dict[str, float]
    """Of the inputs, the largest first."""


class Fleet:
    """The machines of one bundle."""

    def __init__(self, bundle: Bundle, detector: Detector, most: int | None = None) -> None:
        """`most`: machines that there may ever be; None: any number."""
        self.bundle, self.detector = bundle, detector
        self._most = most
        self.manifest = detector.manifest
        sampling = self.manifest.sampling
        self.timeline: Timeline[Decoded] = Timeline(sampling.period_s, sampling.longest_gap_s, detector.machines)
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        """Each machine's row by its name."""
        self.open: dict[int, str] = {}
        """The id of the alert that each machine in alarm has raised."""
        room = detector.machines
        self.states = np.full(room, NEVER_SEEN, np.int8)
        self.since = np.zeros(room)  # wall clock, seconds since 1970
        self.heard = np.full(room, -np.inf)  # when its last reading arrived, by the monotonic clock
        self.newest = np.full(room, UNSEEN)  # the time of its newest reading, microseconds
        self.scores = np.full(room, np.nan, np.float32)
        self.thresholds = np.full(room, self.manifest.threshold.value, np.float32)
        self.counts = np.zeros(room, np.int64)  # readings since the start
        self.faults: dict[int, tuple[str, ...]] = {}
        """The channels at fault, of machines with a sensor fault."""
        self._heard_again: list[int] = []
        self.changed: set[int] = set()
        """Machines whose state has changed since somebody asked."""
        self.silent_after_s = np.full(room, np.inf)

    @property
    def thresholds_move(self) -> bool:
        """Whether each machine's threshold follows its scores."""
        return "adaptive" in self.detector.steps()

    def add(self, name: str, silent_after_s: float) -> int:
        """Take a machine in; it is silent after so many seconds without readings. Returns its row."""
        machine = len(self.names)
        if machine == self.detector.machines:
            self._grow(2 * machine if self._most is None else max(min(2 * machine, self._most), machine + 1))
        self.names.append(name)
        self.silent_after_s[machine] = silent_after_s
        self.index[name] = machine
        self.changed.add(machine)
        return machine

    def _grow(self, room: int) -> None:
        self.detector = grown(self.detector, room)
        self.timeline.grow(room)
        for name, fill in (
            ("states", NEVER_SEEN), ("since", 0.0), ("heard", -np.inf), ("newest", UNSEEN),
            ("scores", np.nan), ("thresholds", self.manifest.threshold.value), ("counts", 0), ("silent_after_s", np.inf),
        ):  # fmt: skip
            old = getattr(self, name)
            new = np.full(room, fill, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def recall(self, machine: int, state: bytes) -> None:
        """Let a machine go on from a state. Raises `StateError`, and changes nothing."""
        recall(self.detector, machine, state)
        time = int(self.detector.steps()["clean"].last_time_of_one[machine])
        self.newest[machine] = UNSEEN if time == NEVER else time

    def take(
        self, ids: npt.NDArray[np.int64], values: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> tuple[Verdicts, list[Turn], str | None]:
        """Score readings in order of arrival: rows `ids` (B,), `values` (B, C), `times` (B,) in microseconds.

        Returns the verdicts, the alarms that went up or down in order, and what is wrong with the engine.
        """
        moments = times.view("datetime64[us]")
        fault = None
        try:
            verdicts = self.detector.update_many(ids, values, moments)
        except EngineError as error:
            verdicts, fault = self._without_engine(ids, moments), str(error)
        return verdicts, self._turns(verdicts, times), fault

    def _without_engine(self, ids: npt.NDArray[np.int64], moments: Any) -> Verdicts:
        """Every reading has an answer: a gap. The windows that were due hold readings nobody scored, so they begin anew."""
        steps, whose = self.detector.steps(), different(ids)
        for name in ("windows", "derive", "smooth", "alarm"):  # the alarm forgets its recent scores, and stays as it is
            if name in steps:
                steps[name].restart(whose)
        alarm, manifest = steps["alarm"], self.manifest
        is_active = alarm.state(whose) == ACTIVE
        told = np.array([machine in self.open for machine in whose.tolist()])
        for machine in whose[
            is_active & ~told
        ].tolist():  # it went up at an earlier reading of these, whose verdict is lost
            alarm.reset(machine)
        verdicts = Verdicts(len(ids), manifest.input_names, one_machine=False, sensors=manifest.channel_names)
        verdicts.machines[:], verdicts.times[:], verdicts.status_codes[:] = ids, moments, GAP
        verdicts.thresholds[:] = manifest.threshold.value
        verdicts.alarm_codes[:] = alarm.state(ids)
        for machine in whose[~is_active & told].tolist():  # likewise, and down
            verdicts.alarm_codes[np.nonzero(ids == machine)[0][-1]] = CLEARED
        return verdicts

    def _turns(self, verdicts: Verdicts, times: npt.NDArray[np.int64]) -> list[Turn]:
        codes = verdicts.alarm_codes
        turns = []
        for row in np.nonzero((codes == RAISED) | (codes == CLEARED))[0].tolist():
            shares = sorted(
                zip(verdicts.channels, verdicts.contributions[row].tolist(), strict=True), key=lambda each: -each[1]
            )
            turns.append(
                Turn(
                    bool(codes[row] == RAISED),
                    int(verdicts.machines[row]),
                    row,
                    int(times[row]),
                    float(verdicts.scores[row]),
                    float(verdicts.thresholds[row]),
                    dict(shares),
                )
            )
        return turns

    def note(
        self, verdicts: Verdicts, times: npt.NDArray[np.int64], heard: npt.NDArray[np.float64], wall: float
    ) -> None:
        """Remember what the verdicts (B,) say of their machines; `heard` (B,): when the readings arrived, monotonic."""
        ids, codes = verdicts.machines, verdicts.status_codes
        np.add.at(self.counts, ids, 1)
        is_late = (codes == GAP) & (times <= self.newest[ids])
        # One that sends late readings only, because its clock stands still, is as unwatched as one that sends none.
        np.maximum.at(self.heard, ids[~is_late], heard[~is_late])
        np.maximum.at(self.newest, ids, times)
        scored = codes == SCORED
        self.scores[ids[scored]] = verdicts.scores[scored]
        self.thresholds[ids] = verdicts.thresholds
        says = (codes != COLLECTING) & ~is_late
        whose = ids[says]
        states = _STATE_OF[codes[says]]
        active = verdicts.alarm_codes[says]
        states = np.where((active == RAISED) | (active == ACTIVE), ALARM, states)
        # Of several readings of a machine the last one counts: numpy assigns in order.
        now = self.states.copy() if len(whose) else self.states
        now[whose] = states
        faulty = verdicts.faults[says].any(axis=1)
        for row in np.nonzero(faulty)[0].tolist():
            machine, flags = int(whose[row]), verdicts.faults[says][row].tolist()
            faults = tuple(name for name, is_bad in zip(verdicts.sensors, flags, strict=True) if is_bad)
            if self.faults.get(machine) != faults:
                self.changed.add(machine)
            self.faults[machine] = faults
        self._set(different(whose), now, wall)

    def _set(self, machines: npt.NDArray[np.int64], now: npt.NDArray[np.int8], wall: float) -> None:
        turned = machines[now[machines] != self.states[machines]]
        self._heard_again += [machine for machine in turned.tolist() if self.states[machine] == SILENT]
        self.states = now
        self.since[turned] = wall
        self.changed.update(turned.tolist())

    def go_silent(self, monotonic: float, started: float, wall: float) -> list[int]:
        """The machines that have just gone silent: nothing heard for too long, or not since the gateway started."""
        count = len(self.names)
        self.since[:count][self.since[:count] == 0] = wall  # of machines that are new
        heard = np.maximum(self.heard[:count], started)
        silent = (monotonic - heard > self.silent_after_s[:count]) & (self.states[:count] != SILENT)
        machines = np.nonzero(silent)[0]
        if len(machines):
            now = self.states.copy()
            now[machines] = SILENT
            self._set(machines, now, wall)
        return [int(machine) for machine in machines]

    def stay_silent(self, machine: int, wall: float) -> None:
        """The machine has been silent since an earlier process."""
        self.states[machine], self.since[machine] = SILENT, wall
        self.changed.add(machine)

    def follow_clock(self, step: float) -> None:
        """The wall clock was set by `step` seconds: so was the time since when each machine is as it is."""
        count = len(self.names)
        self.since[:count][self.since[:count] != 0] += step
        self.changed.update(range(count))

    def take_heard(self) -> list[int]:
        """The machines that were silent and are heard again, each once."""
        heard, self._heard_again = self._heard_again, []
        return heard

    def state_name(self, machine: int) -> str:
        """One of `MACHINE_STATES`."""
        return MACHINE_STATES[self.states[machine]]


def different(machines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each machine once, in order. `np.unique` would import numpy.ma: 10 ms and 1.1 MB."""
    return np.array(sorted(set(machines.tolist())), np.int64)


def room_for(names: Iterable[str], appear: int) -> int:
    """How many machines a detector should have room for at first."""
    known = len(list(names))
    return max(known + min(appear, ROOM), 1)
