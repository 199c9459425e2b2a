"""The loop: messages -> readings -> one `update_many` for each bundle -> alerts -> store -> out.

One thread does all of it, so nothing here is locked. What makes it safe is the order within a tick: readings are in the journal before
they are scored, alerts are in the store before they are sent, and a message is acknowledged only when both are done. Killed anywhere
in between, the next process takes the journal's readings again, comes to the same alerts under the same ids, and the broker sends
again what was not acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edge_runtime.errors import AnomaliteError, PayloadError, StoreError
from edge_runtime.gateway.deliveries import Deliveries
from edge_runtime.gateway.intake import Batch, Readings
from edge_runtime.gateway.keeper import LINES
from edge_runtime.gateway.lines import Lines, Position
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.parts import Parts
from edge_runtime.gateway.problems import Problems
from edge_runtime.gateway.publisher import Publisher
from edge_runtime.gateway.restore import Restore
from edge_runtime.gateway.store_rows import Changes

MOST_MESSAGES = 500
"""Taken in one tick. Where more wait, after an outage or under overload, alerts go out and messages are acknowledged in between."""
LONGEST_STOP_S = 1.5
"""For the messages that wait when the gateway is told to stop."""
SECOND = 1.0
"""What need not be done at every tick is done this often."""


class Gateway:
    """Runs until it is told to stop."""

    def __init__(self, parts: Parts, show: Callable[[Gateway], None], *, tick_s: float, save_every_s: float) -> None:
        """`show` is called once a second."""
        self.parts = parts
        self._show, self._tick_s, self._save_every_s = show, tick_s, save_every_s
        self.problems = Problems(parts.log)
        self.started = parts.clock.monotonic()
        self._second = self._saved = self.started
        self._changes = Changes()
        """What could not be stored yet."""
        self._deliveries = Deliveries(parts.metrics)

    @property
    def unstored(self) -> int:
        """Messages that wait in memory, because they cannot be stored."""
        return len(self._changes.outbox)

    @property
    def is_stored(self) -> bool:
        """Whether everything that happened so far is in the store."""
        return "store" not in self.problems

    @property
    def is_finished(self) -> bool:
        """Whether no source will ever give anything again, as where standard input has ended and all of it is taken."""
        return all(getattr(source, "is_finished", False) for source in self.parts.sources) and not len(self.parts.inbox)

    def restore(self, restore: Restore) -> None:
        """Take up what an earlier process left, and begin the journal's next file. Raises `StoreError` if it cannot be read."""
        try:
            restore.run(self._changes)
        except AnomaliteError:
            raise
        except Exception:  # of whatever kind, it would come again at every start: the next one does without the journal
            self.parts.keeper.journal.set_aside()
            raise
        self._commit()
        self.problems.set("journal", self.parts.keeper.look_after(is_stored=self.is_stored))

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Work until `goes_on`, asked at every tick and once a second at least, says no; then save everything."""
        for source in self.parts.sources:
            if isinstance(source, Lines):
                source.start(self.position(source.path))
            else:
                source.start()
        self._show(self)
        while goes_on():
            self.tick(self.parts.inbox.take(SECOND, self._tick_s, MOST_MESSAGES))
        # Not after an error that nobody thought of: what it left half done is not saved, but done again, as after kill -9.
        self.stop()

    def position(self, lines: str) -> Position | None:
        """How far a file of lines was read: by the journal, or where that is gone with the power, by the store. Raises `StoreError`."""
        return self.parts.keeper.position(lines, self.parts.store.meta(LINES + lines))

    def tick(self, messages: Sequence[Message]) -> None:
        """Take messages in the order they came, to the end of what they cause."""
        p = self.parts
        now = p.clock.monotonic()
        is_second = now - self._second >= SECOND
        if is_second:
            self._second = now
            self._follow_clock()
        self._take(messages)
        if is_second:
            self._settle(now)
            self._look_around(now)
        if p.publisher is not None:
            self._publish(p.publisher)
        self._commit()
        p.keeper.after_commit(is_stored=self.is_stored)
        _acknowledge(messages)
        if p.publisher is not None:
            self._publish(p.publisher)
        if p.announcer is not None:
            p.announcer.pump(p.fleets, p.desk)
        if is_second:
            self._show(self)

    def stop(self) -> None:
        """Receive no more, and save everything: the next process goes on from here."""
        p = self.parts
        until = p.clock.monotonic() + LONGEST_STOP_S
        for source in p.sources:
            source.pause()
        self.tick(p.inbox.take(0.0, 0.0, MOST_MESSAGES))
        while len(p.inbox) and p.clock.monotonic() < until:  # what is left then, a broker gives again
            self.tick(p.inbox.take(0.0, 0.0, MOST_MESSAGES))
        self._settle(None)
        p.keeper.begin_save(self._changes)
        while p.keeper.save_some(self._changes):
            pass
        self._commit(at_once=True)
        for source in p.sources:
            source.stop()  # what was just acknowledged and published is sent
        if p.publisher is not None:
            self._publish(p.publisher)
            self._commit(at_once=True)
        p.keeper.close()
        p.store.close()

    def _take(self, messages: Sequence[Message]) -> None:
        """Decode messages and score what is in them."""
        p = self.parts
        started = p.clock.monotonic()
        batches = [Batch() for _ in p.fleets]
        lines: dict[str, Message] = {}
        for message in messages:
            p.metrics.messages += 1
            if p.intake.is_command(message):
                self._command(message)
                continue
            try:
                entrance, readings = p.intake.decode(message)
            except PayloadError as fault:
                p.metrics.refuse(fault.reason)
                p.log("message_refused", "warning", reason=fault.reason, topic=message.topic, fault=str(fault))
                continue
            except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as fault:
                # Nobody thought of it; but nothing of it was taken, and one message must not end the watch over all machines.
                p.metrics.refuse("internal")
                p.log("message_refused", "error", reason="internal", topic=message.topic, fault=repr(fault))
                continue
            batch = batches[entrance.fleet]
            for machine, timed in p.intake.timed(entrance, readings, message.arrived):
                if timed.shift:  # the readings before the step are scored before it, and what came of them is safe
                    self._score({entrance.fleet: batch})
                    self._commit()
                    batch.clear()
                    p.metrics.clock_steps += 1
                    self._shift(entrance.fleet, [machine], timed.shift)
                p.metrics.late += timed.dropped
                for time, reading in timed.readings:
                    batch.add(machine, reading, time, message.arrived)
            lines[message.topic] = message
        if messages:
            p.metrics.stages["decode"].observe(p.clock.monotonic() - started)
        self._score(dict(enumerate(batches)), lines.values())

    def _settle(self, now: float | None) -> None:
        """Score what was held back because of its time, where what would tell more does not come."""
        for number, fleet in enumerate(self.parts.fleets):
            batch = Batch()
            for machine, timed in fleet.timeline.settle(now):
                self.parts.metrics.late += timed.dropped
                for time, reading in timed.readings:
                    batch.add(machine, reading, time, self._second)
            self._score({number: batch})

    def _score(self, batches: Mapping[int, Batch], lines: Iterable[Message] = ()) -> None:
        """Readings by the number of their fleet: all of them into the journal at once, and how far `lines` were read; then scored."""
        given = {number: batch.readings() for number, batch in batches.items() if len(batch)}
        started = self.parts.clock.monotonic()
        for number, readings in given.items():
            self.parts.keeper.gather(number, readings)
        for message in lines:
            self.parts.keeper.note_position(message)
        if given:
            self.problems.set("journal", self.parts.keeper.write())
        for number, readings in given.items():
            self._score_fleet(number, readings, started)
            started = self.parts.clock.monotonic()

    def _score_fleet(self, number: int, readings: Readings, started: float) -> None:
        """One `update_many`, and what follows from it."""
        p = self.parts
        fleet = p.fleets[number]
        verdicts, turns, fault = fleet.take(readings.ids, readings.values, readings.times)
        self.problems.set(f"engine of {fleet.manifest.name}", fault)
        if fault is not None:  # windows began anew, which the readings alone would not do
            p.keeper.restart(number, sorted(set(readings.ids.tolist())))
        wall = p.steady.now()
        for turn in turns:
            evidence = p.keeper.evidence(number, turn) if turn.is_raised else None
            event = p.desk.turn(number, turn, evidence, wall, self._changes, is_known=self._is_known)
            if event is not None:
                self._deliveries.caused(event.id, float(readings.heard[turn.row]))
                p.keeper.mark(number, turn.machine)  # its state goes into the same transaction
        fleet.note(verdicts, readings.times, readings.heard, wall / 1e6)
        recent = p.recent[number]
        recent.grow(len(fleet.states))
        recent.update(readings.ids, verdicts.scores, verdicts.thresholds, started)
        p.keeper.note(number, verdicts)
        p.metrics.count_verdicts(fleet.manifest.name, verdicts.status_codes)
        p.metrics.stages["score"].observe(p.clock.monotonic() - started)

    def _is_known(self, alert: str) -> bool:
        """Whether there was an alert of this id."""
        try:
            known = self.parts.store.alert(alert) is not None
        except StoreError:
            known = False
        return known or any(stored.event.alert == alert for stored in self._changes.events)

    def _command(self, message: Message) -> None:
        p = self.parts
        try:
            said = p.desk.obey(message, p.steady.now(), self._changes)
        except PayloadError as fault:
            p.metrics.refuse(fault.reason)
            p.log("message_refused", "warning", reason=fault.reason, topic=message.topic, fault=str(fault))
        else:
            p.log("command", done=said)

    def _follow_clock(self) -> None:
        """The wall clock was set, or was not."""
        p = self.parts
        step = p.steady.step()
        if not step:
            return
        p.metrics.clock_steps += 1
        p.log("clock_stepped", "warning", seconds=step / 1e6)
        self._changes.maintenance += p.desk.work.shift(step)
        for number, fleet in enumerate(p.fleets):
            self._shift(number, fleet.timeline.moved(step), step)
            fleet.follow_clock(step / 1e6)

    def _shift(self, number: int, machines: Sequence[int], step: int) -> None:
        """The clock that some machines' readings are stamped by was set: their windows and alarms go on."""
        if machines:
            self.parts.fleets[number].newest[list(machines)] += step
            self.parts.keeper.shift(number, machines, step)

    def _look_around(self, now: float) -> None:
        """Who has gone silent, what work is over, whether it is time to save."""
        p = self.parts
        wall = p.steady.now()
        for fleet in p.fleets:
            for machine in fleet.take_heard():
                p.desk.silence(fleet, machine, wall, self._changes, is_heard=True)
            for machine in fleet.go_silent(now, self.started, wall / 1e6):
                p.desk.silence(fleet, machine, wall, self._changes, is_heard=False)
        p.desk.follow_work(wall, self._changes)
        if now - self._saved >= self._save_every_s:
            self._saved = now
            p.keeper.begin_save(self._changes)
        p.keeper.save_some(self._changes)
        fault = p.keeper.look_after(is_stored=self.is_stored)
        if fault is not None or p.keeper.journal.size:  # there is a file again, though nothing may come to be written
            self.problems.set("journal", fault)
        for line in p.store.notices():
            p.log("store_notice", "error", notice=line)

    def _commit(self, *, at_once: bool = False) -> None:
        """Store what has happened; what cannot be stored is sent from memory, and stored later."""
        p = self.parts
        started = p.clock.monotonic()
        p.keeper.add_marked(self._changes)
        if not self._changes:
            return
        try:
            p.store.commit(self._changes, at_once=at_once)
        except StoreError as fault:
            self.problems.set("store", f"{fault}: alerts are kept in memory")
            left = Changes()
            left.add(self._changes)
            self._changes = left
        else:
            self.problems.set("store", None)
            self._deliveries.stored(self._changes.outbox, p.clock.monotonic())
            self._changes = Changes()
            p.metrics.stages["store"].observe(p.clock.monotonic() - started)
        if p.publisher is not None:
            p.publisher.hold(self._changes.outbox)

    def _publish(self, publisher: Publisher) -> None:
        """Send what waits; what the broker has by now need not wait any more."""
        delivered = publisher.pump()
        self._changes.delivered += delivered
        self._deliveries.delivered(delivered, self.parts.clock.monotonic())


def _acknowledge(messages: Iterable[Message]) -> None:
    """Tell each source which of its messages are safe."""
    by_source: dict[int, list[Message]] = {}
    for message in messages:
        by_source.setdefault(id(message.source), []).append(message)
    for group in by_source.values():
        group[0].source.acknowledge(group)
