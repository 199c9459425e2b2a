"""From messages to readings in order: which machine, which values, at what time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.clock import SteadyTime
from edge_runtime.gateway.config import Group
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.message import Decoded, Message
from edge_runtime.gateway.payload import Decoder
from edge_runtime.gateway.timeline import Timed
from edge_runtime.gateway.topics import Topics

LEAST_SILENCE_S = 60.0
"""A machine is not called silent sooner, unless its group says so."""


class Readings(NamedTuple):
    """Readings of one fleet's machines, in the order in which they are to be taken."""

    ids: npt.NDArray[np.int64]
    """(B,), rows of the fleet."""
    values: npt.NDArray[np.float64]
    """(B, C), NaN where missing."""
    times: npt.NDArray[np.int64]
    """(B,), microseconds since 1970 UTC."""
    heard: npt.NDArray[np.float64]
    """(B,), when they arrived, by the monotonic clock."""


class Batch:
    """Readings of one fleet's machines, gathered until they are scored together."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._values: list[tuple[float, ...]] = []
        self._times: list[int] = []
        self._heard: list[float] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, machine: int, reading: Decoded, time: int, arrived: float) -> None:
        """Take one reading, in the order in which they are to be scored."""
        self._ids.append(machine)
        self._values.append(reading.values)
        self._times.append(time)
        self._heard.append(arrived)

    def clear(self) -> None:
        """Begin anew."""
        self.__init__()  # type: ignore[misc]

    def readings(self) -> Readings:
        """What was gathered."""
        return Readings(
            np.array(self._ids, np.int64),
            np.array(self._values, np.float64),
            np.array(self._times, np.int64),
            np.array(self._heard, np.float64),
        )


class Entrance:
    """A group's way in: what its messages hold, and which of its machines may appear."""

    def __init__(self, group: Group, fleet: int, fleets: Sequence[Fleet], others: frozenset[str]) -> None:
        """`fleet`: the number of the group's fleet; `others`: the machines that other groups know by name."""
        self.group, self.fleet = group, fleet
        self._others = others
        self._fleets = fleets
        self._fleet = fleets[fleet]
        manifest = self._fleet.manifest
        self.decoder = Decoder(group.payload, manifest)
        self.is_by_arrival = group.payload.time is None
        self.period = round(manifest.sampling.period_s * 1e6)
        longest = manifest.sampling.longest_gap_s
        self._silent_after_s = group.silent_after_s or max(3 * longest, LEAST_SILENCE_S)
        self._may_appear = group.appear
        self.machines: dict[str, int] = {}
        """The rows of this group's machines by name."""
        for name in group.machines:
            self.machines[name] = self._fleet.add(name, self._silent_after_s)

    def machine(self, name: str) -> int:
        """The row of a machine, which may appear here. Raises `PayloadError` for one that may not."""
        row = self.machines.get(name)
        if row is None:
            if name in self._fleet.index and name not in self._others:  # it appeared in another group that may let it
                self.machines[name] = self._fleet.index[name]
                return self.machines[name]
            if name in self._others:
                raise PayloadError("machine", f"expected readings of {excerpt(name)} from its own group only")
            if any(
                name in fleet.index for fleet in self._fleets
            ):  # states, alerts and topics are told apart by it alone
                raise PayloadError(
                    "machine",
                    f"expected readings of {excerpt(name)} from groups of one bundle, got another's: it needs a name of its own",
                )
            if self._may_appear <= 0:
                raise PayloadError(
                    "machine", f"expected at most {self.group.appear} machines to appear, got one more: {excerpt(name)}"
                )
            self._may_appear -= 1
            row = self.machines[name] = self._fleet.add(name, self._silent_after_s)
        return row


class Intake:
    """Sorts messages to the fleets, and gives each reading its time."""

    def __init__(
        self,
        groups: Sequence[Group],
        fleets: Sequence[Fleet],
        of_group: Sequence[int],
        steady: SteadyTime,
        command_topic: str | None = None,
    ) -> None:
        """`of_group`: the number of each group's fleet; `command_topic`: None where commands are not listened to."""
        self._command_topic = command_topic
        known = [frozenset(group.machines) for group in groups]
        self.entrances = [
            Entrance(group, of_group[number], fleets, frozenset().union(*known[:number], *known[number + 1 :]))
            for number, group in enumerate(groups)
        ]
        self._topics = Topics(groups)
        self.subscriptions = self._topics.subscriptions
        self._steady = steady
        self._fleets = fleets

    def is_command(self, message: Message) -> bool:
        """Whether a message is for the gateway itself."""
        return message.topic == self._command_topic

    def most_machines(self, fleet: int) -> int:
        """How many machines a fleet may come to have."""
        groups = [entrance.group for entrance in self.entrances if entrance.fleet == fleet]
        return sum(len(group.machines) + group.appear for group in groups)

    @property
    def largest(self) -> int:
        """Bytes of the largest message that a group reads."""
        return max(entrance.decoder.max_bytes for entrance in self.entrances)

    def admit(self, fleet: int, name: str) -> int | None:
        """The row of a machine that an earlier process watched, or None if the configuration has no place for it any more."""
        row = self._fleets[fleet].index.get(name)
        for entrance in self.entrances:
            if row is None and entrance.fleet == fleet:
                with contextlib.suppress(PayloadError):
                    row = entrance.machine(name)
        return row

    def by_arrival(self, fleet: int) -> set[int]:
        """The rows of the machines whose readings bring no time."""
        return {
            row
            for each in self.entrances
            if each.fleet == fleet and each.is_by_arrival
            for row in each.machines.values()
        }

    def decode(self, message: Message) -> tuple[Entrance, list[Decoded]]:
        """The readings in a message, of machines that are known or may appear. Raises `PayloadError`: nothing of it was taken."""
        number, machine = self._topics.find(message.topic)
        entrance = self.entrances[number]
        if message.is_retained and entrance.is_by_arrival:
            raise PayloadError(
                "retained", "expected readings as they are measured, got a retained message without a time"
            )
        readings = entrance.decoder.decode(message.payload, machine)
        for reading in readings:
            entrance.machine(reading.machine)
        return entrance, readings

    def timed(
        self, entrance: Entrance, readings: Sequence[Decoded], arrived: float
    ) -> Iterator[tuple[int, Timed[Decoded]]]:
        """Each reading's machine, and what is to be done for it now."""
        timeline = self._fleets[entrance.fleet].timeline
        if not entrance.is_by_arrival:
            for reading in readings:
                machine = entrance.machines[reading.machine]
                time = reading.time if reading.time is not None else self._steady.at(arrived)
                yield machine, timeline.check(machine, time, arrived, reading)
            return
        # Several readings in one message are a period apart, and the last of them was measured when it was sent.
        newest = self._steady.at(arrived)
        for position, reading in enumerate(readings, 1 - len(readings)):
            machine = entrance.machines[reading.machine]
            yield machine, timeline.stamp(machine, newest + position * entrance.period, arrived, reading)
