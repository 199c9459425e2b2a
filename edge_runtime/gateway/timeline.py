"""Times of readings whose sources have clocks of their own, which are set now and then, and wrong until they are.

A source's clock may jump by years when NTP reaches it. Taken literally, a jump back makes every later reading late until the old time
comes again, and one reading from the future does the same to all after it: an alarm would be hidden. What tells a clock that was set
from readings that are old, repeated or out of order is the pace: after a step, the readings go on from where they jumped to as fast
as they arrive; what is delivered again comes at once, and in between others are in order. So

- a reading not later than the one before is late, and passed on: what becomes of it is the bundle's policy;
- one that is far from where it should be, by the machine's last time and what elapsed since, is held back until the next one;
- if that goes on from it at the pace of arrival, the clock was set: both are passed, and the machine's remembered times are to be
  shifted by the step, so that its window and its alarm go on as if nothing had happened;
- if readings go on from a held one in the future, but not at that pace, a store-and-forward source has left out some: all are passed,
  and the detector finds a gap;
- if the next one is in order, a held one from the past was late, and is passed; one from the future was wrong, and is dropped.

"The next one" is up to three messages where readings come again or out of order at the very moment of a step.

A step of less than "far", 10 longest gaps or a minute, cannot be told from a few late readings at once; after nothing but late
readings at the pace of arrival for longer than the longest gap it is taken for one all the same, and the window restarts. A small step
forward is a gap if it is longer than the longest one. A clock set back by about as much as its source was silent does not show.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from edge_runtime.clean import NEVER

T = TypeVar("T")

LEAST_FAR = 60_000_000
"""Microseconds; nearer is late or early, but not a clock that was set."""
MOST_MESSAGES, MOST_READINGS = 4, 1_000
"""A machine's readings are held back until so many messages, or readings, have not settled what they are."""
COMES_AGAIN = 3_600e6
"""For so many microseconds after a step back, readings from before it may be delivered again."""
UNKNOWN_LAG = -float("inf")
"""Of a machine that may be behind by anything: a jump ahead is not taken for a clock that was set."""


class Timed(NamedTuple, Generic[T]):
    """What to do for one reading that came in: first shift, then hand over the readings.

    Whatever was handed over before has to be with the detector before the shift: it belongs to the time before it.
    """

    readings: tuple[tuple[int, T], ...] = ()
    """To hand to the detector now, in this order: the time of each in microseconds, and what was given with it. None while a
    reading is held back, several once it is settled."""
    shift: int = 0
    """Microseconds to move the machine's remembered times by before, because its source's clock was set."""
    dropped: int = 0
    """Readings from a future that did not come, which are forgotten now."""


class _Odd(Generic[T]):
    """Readings of one machine that are out of order, and not yet settled."""

    def __init__(self) -> None:
        self.held: list[tuple[int, T]] = []
        self.is_ahead = False
        self.messages: list[tuple[float, int, int]] = []
        """Of those held: arrival, first and newest time of what came together."""
        self.late: tuple[int, float] | None = None
        """Time and arrival of the reading since which late ones keep coming at their pace."""
        self.past = NEVER
        """The last time by a clock that was then set back: up to there readings may come again."""
        self.past_until = 0.0
        """But only until then, by the monotonic clock."""

    def hold(self, time: int, moment: float, item: T) -> None:
        """Hold a reading back."""
        self.held.append((time, item))
        if self.messages and self.messages[-1][0] == moment:
            _, first, newest = self.messages[-1]
            self.messages[-1] = moment, first, max(newest, time)
        else:
            self.messages.append((moment, time, time))

    def release(self) -> tuple[tuple[tuple[int, T], ...], int]:
        """What is held, to be passed on as late, or counted as dropped; nothing is held after it."""
        held = tuple(self.held)
        self.held.clear()
        self.messages.clear()
        return ((), len(held)) if self.is_ahead else (held, 0)


class Timeline(Generic[T]):
    """The times of M machines' readings. Each takes about a microsecond while it is in order."""

    def __init__(self, period_s: float, longest_gap_s: float, machines: int) -> None:
        self._period = period_s * 1e6
        self._longest_gap = longest_gap_s * 1e6
        self._far = max(10 * self._longest_gap, LEAST_FAR)
        self._last: list[int] = []
        self._arrived: list[float] = []  # in microseconds, by the monotonic clock
        self._lag: list[float] = []  # microseconds between a reading and its arrival, at the first and after each step
        self._is_stamped = bytearray()  # by its arrival
        self._odd: dict[int, _Odd[T]] = {}
        self.steps = 0
        """How often a source's clock was set."""
        self.grow(machines)

    def grow(self, machines: int) -> None:
        """Make room for so many machines."""
        more = machines - len(self._last)
        self._last += [NEVER] * more
        self._arrived += [0.0] * more
        self._lag += [0.0] * more
        self._is_stamped += bytes(more)

    def forget(self, machine: int) -> None:
        """The machine's next reading is its first."""
        self._last[machine] = NEVER
        self._is_stamped[machine] = False
        self._odd.pop(machine, None)

    def restore(
        self, machine: int, last: int, moment: float, elapsed: float | None, *, is_stamped: bool = False
    ) -> None:
        """A machine's last reading, taken by an earlier process: its time in microseconds, `elapsed` seconds before `moment`.

        `moment` is now, by the monotonic clock; `elapsed` None: nobody knows how long ago. `is_stamped`: at its arrival.
        """
        self._is_stamped[machine] = is_stamped
        self._last[machine] = last
        self._arrived[machine] = (moment - (elapsed or 0.0)) * 1e6
        self._lag[machine] = UNKNOWN_LAG if elapsed is None else self._arrived[machine] - last

    def last(self, machine: int) -> int | None:
        """The time of the machine's last reading in order, microseconds; None: there was none."""
        return None if self._last[machine] == NEVER else self._last[machine]

    def heard(self, machine: int) -> float | None:
        """When that reading arrived, seconds by the monotonic clock: from here on the machine is silent.

        One whose clock stands still sends late readings only, and is as silent as one that sends none.
        """
        return None if self._last[machine] == NEVER else self._arrived[machine] / 1e6

    def moved(self, step: int) -> list[int]:
        """The gateway's own clock was set by `step` microseconds: the machines whose remembered times are to be shifted by it.

        They are those whose last reading was stamped at its arrival. Their last times here are shifted already.
        """
        machines = [machine for machine, is_stamped in enumerate(self._is_stamped) if is_stamped]
        for machine in machines:
            self._last[machine] += step
        return machines

    def stamp(self, machine: int, time: int, arrived: float, item: T) -> Timed[T]:
        """A reading without a time: `time` is that of its arrival by `SteadyTime.at`, or else just after the one before.

        Two messages, or two readings in one, may arrive within a microsecond, and are not duplicates.
        """
        last, shift = self._last[machine], 0
        if last >= time:
            if last - time < 1e6:
                time = last + 1
            else:  # steady time does not run back: it was restored from before a time that is not known
                shift = time - 2 * round(self._longest_gap) - last
        self._last[machine], self._arrived[machine], self._is_stamped[machine] = time, arrived * 1e6, True
        return Timed(((time, item),), shift)

    def check(self, machine: int, time: int, arrived: float, item: T) -> Timed[T]:
        """A reading with the time of its source, in microseconds, which arrived at `arrived` seconds by the monotonic clock.

        `item` is handed back with it, or with a later one, or not at all.
        """
        moment = arrived * 1e6
        elapsed = time - self._last[machine]
        if elapsed > 0 and machine not in self._odd and elapsed - moment + self._arrived[machine] <= self._far:
            self._last[machine], self._arrived[machine] = time, moment
            return Timed(((time, item),))
        return self._unusual(machine, time, moment, item)

    def settle(self, moment: float | None) -> list[tuple[int, Timed[T]]]:
        """What is to be done for machines whose readings are held back, and of which nothing has come for too long.

        To be called once a second with `moment`, now by the monotonic clock, and with None at the end: nothing will come any more.
        Readings that go on from each other in the future come after a gap; a single one waits for the next, or the end.
        """
        settled = []
        for machine, odd in list(self._odd.items()):
            if not odd.held:
                continue
            arrived, (first, *_), newest = odd.messages[-1][0], odd.held[0], max(each[2] for each in odd.messages)
            patience = newest - first + self._period + self._longest_gap
            if moment is not None and moment * 1e6 - arrived <= patience:
                continue
            if odd.is_ahead and newest > max(first, odd.past):
                settled.append((machine, self._after_gap(machine, tuple(odd.held), newest, arrived)))
            elif moment is None or not odd.is_ahead:
                readings, dropped = odd.release()
                settled.append((machine, Timed(readings, 0, dropped)))
        return settled

    def _unusual(self, machine: int, time: int, moment: float, item: T) -> Timed[T]:
        last = self._last[machine]
        if last == NEVER:
            self._lag[machine] = moment - time
            self._is_stamped[machine] = False
            return self._in_order(machine, time, moment, item)
        ahead = time - last - (moment - self._arrived[machine])
        odd = self._odd.setdefault(machine, _Odd())
        if time > last and ahead <= (self._far if time > odd.past else self._longest_gap):
            return self._in_order(machine, time, moment, item)
        if ahead >= -self._far and time <= last:
            return self._late(machine, odd, time, moment, ((time, item),))
        return self._far_off(machine, odd, time, moment, item)

    def _in_order(self, machine: int, time: int, moment: float, item: T) -> Timed[T]:
        """Pass it, and what was held from the past before it: that was late. What was held from the future is dropped."""
        self._last[machine], self._arrived[machine] = time, moment
        odd = self._odd.get(machine)
        if odd is None:
            return Timed(((time, item),))
        released, dropped = odd.release()
        odd.late = None
        if time > odd.past or moment > odd.past_until:
            del self._odd[machine]
        return Timed((*released, (time, item)), 0, dropped)

    def _late(
        self,
        machine: int,
        odd: _Odd[T],
        time: int,
        moment: float,
        readings: tuple[tuple[int, T], ...],
        dropped: int = 0,
    ) -> Timed[T]:
        """Pass late readings, the newest at `time`, unless nothing but late ones has come at their pace for too long: a step."""
        if odd.late is None:
            odd.late = time, moment
            return Timed(readings, 0, dropped)
        waited, went_on = moment - odd.late[1], time - odd.late[0]
        if went_on < 0 or abs(waited - went_on) > max(self._period / 2, waited / 10, 1e5):
            odd.late = time, moment
        elif waited > max(self._longest_gap, 1e6):
            elapsed = moment - self._arrived[machine]
            return self._stepped(machine, readings, time - round(elapsed) - self._last[machine], time, moment, dropped)
        return Timed(readings, 0, dropped)

    def _far_off(self, machine: int, odd: _Odd[T], time: int, moment: float, item: T) -> Timed[T]:
        """Hold it back, or settle what it and those held back are."""
        is_ahead = time > self._last[machine]
        released: tuple[tuple[int, T], ...] = ()
        dropped = 0
        if odd.messages:
            arrived, _, newest = odd.messages[-1]
            if is_ahead != odd.is_ahead or abs(time - newest) > self._far + moment - arrived:
                released, dropped = odd.release()  # it has nothing to do with those
        odd.is_ahead = is_ahead
        for message in odd.messages:
            if self._is_at_pace(message, time, moment):
                return self._at_pace(machine, odd, message, time, moment, item)
        odd.hold(time, moment, item)
        if len(odd.messages) < MOST_MESSAGES and len(odd.held) < MOST_READINGS:
            return Timed(released, 0, dropped)
        # From the past they are late. From the future they come after a gap; but after a step back, what comes at once from
        # before it has come again.
        newest = max(message[2] for message in odd.messages)
        if is_ahead and newest > odd.past:
            return self._after_gap(machine, tuple(odd.held), newest, moment)
        more, lost = odd.release()
        return self._late(machine, odd, time, moment, released + more, dropped + lost)

    def _is_at_pace(self, message: tuple[float, int, int], time: int, moment: float) -> bool:
        """Whether a reading goes on from a message's as fast as it arrived after them.

        Of readings that come many at a time each message's last one is as old as its arrival, so the time between two lies
        between that from the first and that from the newest of the earlier one.
        """
        arrived, first, newest = message
        tolerance = self._period / 2
        return (
            time > newest
            and moment > arrived
            and time - newest - tolerance <= moment - arrived <= time - first + tolerance
        )

    def _at_pace(
        self, machine: int, odd: _Odd[T], message: tuple[float, int, int], time: int, moment: float, item: T
    ) -> Timed[T]:
        """A reading goes on from one of the messages held back at the pace of arrival: the source's clock was set."""
        last, arrived = self._last[machine], self._arrived[machine]
        readings = (*odd.held, (time, item))
        first = odd.messages[0][1]
        # From the last reading in order to the first of those held; whole periods, where that is what it nearly is.
        elapsed = message[0] - arrived - (message[2] - first)
        behind = arrived - last - self._lag[machine]
        is_catching_up = elapsed < self._period / 2 or not -self._far <= behind < (first - last) / 2
        if odd.is_ahead and is_catching_up:
            # Readings that come at once, came faster than they were measured, or were behind by so much: some are lost.
            return self._after_gap(machine, readings, time, moment)
        periods = max(1, round(elapsed / self._period))
        if elapsed < self._period / 4 or abs(elapsed - periods * self._period) <= self._period / 4:
            elapsed = periods * self._period
        return self._stepped(machine, readings, first - round(elapsed) - last, time, moment, 0)

    def _stepped(
        self, machine: int, readings: tuple[tuple[int, T], ...], step: int, time: int, moment: float, dropped: int
    ) -> Timed[T]:
        del self._odd[machine]
        if step < 0:
            self._odd[machine] = odd = _Odd[T]()
            odd.past, odd.past_until = self._last[machine], moment + COMES_AGAIN
        self._last[machine], self._arrived[machine], self._lag[machine] = time, moment, moment - time
        self.steps += 1
        return Timed(readings, step, dropped)

    def _after_gap(self, machine: int, readings: tuple[tuple[int, T], ...], time: int, moment: float) -> Timed[T]:
        del self._odd[machine]
        self._last[machine], self._arrived[machine] = time, moment
        return Timed(readings)
