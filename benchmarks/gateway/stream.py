"""What machines measure: the same readings from the same seed, normal about zero, with faults now and then and back to normal."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np

BLOCK = 64
"""Normal readings drawn together."""


class Sample(NamedTuple):
    """One reading as a machine gives it."""

    time: int
    """Microseconds since 1970."""
    values: tuple[float, ...]
    """In the bundle's order; NaN where missing."""
    fault: int | None = None
    """Set on the first reading of a fault of the machine: the time of its last one."""


@dataclass(frozen=True)
class Habits:
    """How often a machine does what. Lengths are in readings, both ends included."""

    normal: tuple[int, int] = (60, 200)
    """Between two faults."""
    fault: tuple[int, int] = (50, 90)
    """Long enough for every alarm to be raised."""
    missing: float = 0.004
    """Share of readings in which a channel is missing."""
    repeated: float = 0.004
    """Share of readings that are sent twice."""
    pause: float = 0.0005
    """Share of readings after which the machine is silent for longer than the longest gap."""
    stuck: float = 0.0005
    """Share of readings from which on a sensor says the same for a while."""


PLAIN = Habits(missing=0.0, repeated=0.0, pause=0.0, stuck=0.0)
"""Faults of the machine alone."""


def samples(seed: int, channels: int, start: int, period: int, habits: Habits = Habits()) -> Iterator[Sample]:
    """One machine's readings from `start` on, one in `period` microseconds. Endless."""
    rng = np.random.default_rng(seed)
    time, until_fault, in_fault, offset = start, int(rng.integers(*habits.normal, endpoint=True)), 0, np.zeros(channels)
    stuck_for, held = 0, 0.0
    while True:
        noise, dice = rng.normal(0.0, 0.8, (BLOCK, channels)), rng.random((BLOCK, 5))
        for normal, (missing, repeated, pause, stuck, which) in zip(noise, dice.tolist(), strict=True):
            fault = None
            if in_fault == 0 and until_fault == 0:
                in_fault = int(rng.integers(*habits.fault, endpoint=True))
                offset = rng.uniform(6.0, 9.0, channels) * rng.choice((-1, 1), channels)
                fault = time + (in_fault - 1) * period
            values = np.round(normal + (offset if in_fault else 0.0), 4).tolist()
            if stuck_for == 0 and stuck < habits.stuck and not in_fault:
                stuck_for, held = 20, values[0]
            if stuck_for:
                values[0], stuck_for = held, stuck_for - 1
            if missing < habits.missing:
                values[int(which * channels)] = nan
            yield Sample(time, tuple(values), fault)
            if repeated < habits.repeated:
                yield Sample(time, tuple(values))
            time += period
            if in_fault:
                in_fault -= 1
                until_fault = int(rng.integers(*habits.normal, endpoint=True)) if in_fault == 0 else 0
            else:
                until_fault -= 1
                if pause < habits.pause:
                    time += 12 * period


def merged(streams: list[Iterator[Sample]]) -> Iterator[tuple[int, Sample]]:
    """The readings of several machines in order of time, each with its machine's position."""
    heap = [(sample.time, index, sample) for index, sample in enumerate(map(next, streams))]
    heapq.heapify(heap)
    while True:
        _, index, sample = heap[0]
        yield index, sample
        following = next(streams[index])
        heapq.heapreplace(heap, (following.time, index, following))
