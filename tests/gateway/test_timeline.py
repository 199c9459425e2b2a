"""Readings with times of their sources: late ones, repeated ones, and clocks that are set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.gateway.timeline import Timed, Timeline
from edge_runtime.manifest import AlarmPolicy, PercentileThreshold
from edge_runtime.state import shift

SECOND = handmade.SECOND
START = handmade.START
STEPS = [sign * seconds for seconds in (61, 3_600, 10 * 365 * 86_400) for sign in (1, -1)]
MANIFEST = handmade.manifest(
    4, 2, threshold=PercentileThreshold("percentile", 99.0, 1.0, 0.9), alarm=AlarmPolicy(k=2, n=3, cooldown_s=5.0)
)
MODEL = handmade.lstm_model(4, 2)


class Arrival(NamedTuple):
    """A reading as it comes in: the `number`th that the source took, one a second, at `time` by the source's clock."""

    number: int
    time: int
    moment: float


class Answer(NamedTuple):
    """What became of a reading."""

    status: str
    score: float | None
    alarm: str


def timeline() -> Timeline[Any]:
    return Timeline(1.0, 3.0, 1)


def arrivals(count: int, steps: dict[int, int], jitter: Sequence[float] = ()) -> list[Arrival]:
    """Readings in order, a second apart; from each number in `steps` on the source's clock is so many seconds further."""
    found, offset = [], 0
    for number in range(count):
        offset += steps.get(number, 0)
        moment = 1_000.0 + number + (jitter[number % len(jitter)] if jitter else 0.0)
        found.append(Arrival(number, START + (number + offset) * SECOND, moment))
    return found


def without_steps(some: Iterable[Arrival]) -> list[Arrival]:
    """The same from a source whose clock is right all the time."""
    return [each._replace(time=START + each.number * SECOND) for each in some]


def values_of(number: int) -> list[float]:
    """Readings that are anomalous for a while, again and again."""
    rng = np.random.default_rng(number)
    return (rng.normal(0, 0.3, 2) + (4.0 if number % 20 >= 14 else 0.0)).tolist()


def answered(some: Iterable[Arrival]) -> tuple[list[tuple[int, Answer]], Timeline[Any], int]:
    """What a detector answers behind a timeline, in the order it is given the readings; and how many were dropped."""
    detector = Detector(MANIFEST, open_engine("numpy", MODEL, MANIFEST.window_shape))
    line, answers, dropped = timeline(), [], 0
    for each in some:
        timed: Timed[int] = line.check(0, each.time, each.moment, each.number)
        if timed.shift:
            shift(detector, [0], timed.shift)
        dropped += timed.dropped
        for time, number in timed.readings:
            verdict = detector.update_many([0], [values_of(number)], np.array([time]).view("datetime64[us]"))[0]
            answers.append((number, Answer(verdict.status, verdict.score, verdict.alarm)))
    return answers, line, dropped


def test_the_readings_here_raise_and_clear_alarms() -> None:
    """What the other tests compare is not silence."""
    answers, _, _ = answered(arrivals(100, {}))
    assert {answer.alarm for _, answer in answers} == {"quiet", "raised", "active", "cleared"}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_changes_no_score_and_no_alarm(step: int) -> None:
    """Wherever in the course of an alarm the source's clock is set, every reading is answered as without it, one of them later."""
    for at in range(15, 40):
        stepped = arrivals(60, {at: step}, [0.0, 0.03, 0.1])
        plain, _, _ = answered(without_steps(stepped))
        answers, line, dropped = answered(stepped)
        assert answers == plain
        assert (line.steps, dropped) == (1, 0)


def test_a_step_to_and_back_changes_nothing_either() -> None:
    """A clock that is set wrong and right again is two steps."""
    for step in STEPS:
        stepped = arrivals(80, {30: step, 50: -step}, [0.0, 0.1])
        answers, line, _ = answered(stepped)
        assert answers == answered(without_steps(stepped))[0]
        assert line.steps == 2


def test_a_single_reading_from_the_future_is_dropped() -> None:
    """It is held back, and forgotten when the next one is in order: all others are answered as without it."""
    some = arrivals(60, {})
    wrong = Arrival(99, START + 10 * 365 * 86_400 * SECOND, 1_030.5)
    answers, line, dropped = answered([*some[:31], wrong, *some[31:]])
    assert answers == answered(some)[0]
    assert (line.steps, dropped) == (0, 1)


def test_readings_from_different_futures_are_dropped() -> None:
    """Wrong times that do not go on from each other confirm nothing."""
    some = arrivals(60, {})
    years = (10, 3, 20, 30, 5, 40, 50)
    wrong = [Arrival(99, START + each * 365 * 86_400 * SECOND, 1_030.2 + n / 100) for n, each in enumerate(years)]
    answers, _, dropped = answered([*some[:31], *wrong, *some[31:]])
    assert answers == answered(some)[0]
    assert dropped == 7


def test_readings_that_come_again_are_late_and_no_step() -> None:
    """After a reconnect the last hundred come again at once, in order: they change nothing."""
    some = arrivals(200, {})
    again = [each._replace(number=1_000 + each.number, moment=1_150.1 + each.number / 1e4) for each in some[50:150]]
    answers, line, dropped = answered([*some[:151], *again, *some[151:]])
    assert [each for each in answers if each[0] < 1_000] == answered(some)[0]
    assert {answer.status for number, answer in answers if number >= 1_000} == {"gap"}
    assert len(answers) == 300
    assert (line.steps, dropped) == (0, 0)


def test_readings_from_before_a_step_back_that_come_again_are_dropped() -> None:
    """They are from the future of the new clock, and do not set it forward."""
    some = arrivals(120, {60: -3_600})
    again = [each._replace(number=1_000 + each.number, moment=1_080.1 + each.number / 1e4) for each in some[40:60]]
    answers, line, dropped = answered([*some[:81], *again, *some[81:]])
    assert answers == answered(without_steps(some))[0]
    assert (line.steps, dropped) == (1, 20)


def test_a_backlog_passes_as_it_is() -> None:
    """An hour that was stored and is delivered in a second, in order, is an hour of readings."""
    live = arrivals(30, {})
    stored = [Arrival(n, START + n * SECOND, 1_000 + 3_630 + n / 3_600) for n in range(30, 3_630)]
    after = [Arrival(n, START + n * SECOND, 1_001.0 + n) for n in range(3_630, 3_660)]
    some = [*live, *stored, *after]
    line = timeline()
    assert [line.check(0, each.time, each.moment, each) for each in some] == [
        Timed(((each.time, each),)) for each in some
    ]


def test_a_backlog_with_a_hole_in_it_has_a_gap() -> None:
    """What a store-and-forward source has lost is a gap of the machine, not a clock that was set."""
    live = arrivals(30, {})
    numbers = [*range(30, 1_000), *range(3_000, 3_630)]
    stored = [Arrival(n, START + n * SECOND, 1_000 + 3_630 + n / 3_600) for n in numbers]
    after = [Arrival(n, START + n * SECOND, 1_001.0 + n) for n in range(3_630, 3_660)]
    answers, line, dropped = answered([*live, *stored, *after])
    assert [number for number, _ in answers] == [*range(30), *numbers, *range(3_630, 3_660)]
    assert (line.steps, dropped) == (0, 0)
    assert [number for number, answer in answers if answer.status == "gap"] == [3_000]


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("hole", [50, 95, 98])
def test_a_file_with_a_hole_in_it_is_read_to_its_end(chunk: int, hole: int) -> None:
    """Its lines come at once, many at a time, and then a second apart; what is after the hole is not lost and not a step."""
    for live in (0, 20):
        some = [
            Arrival(
                n, START + (n if n < hole else n + 3_600) * SECOND, 1_000 + n // chunk / 50 if n < 100 else 905.0 + n
            )
            for n in range(100 + live)
        ]
        line, passed = timeline(), []
        for each in some:
            timed = line.check(0, each.time, each.moment, each.number)
            assert (timed.shift, timed.dropped) == (0, 0)
            passed += timed.readings
        for _, timed in line.settle(None):
            passed += timed.readings
        assert passed == [(each.time, each.number) for each in some]
        assert line.settle(None) == []


def test_what_is_held_back_is_settled_when_nothing_more_comes() -> None:
    """Late readings, and some that go on from each other; a single one from the future waits, and is dropped in the end."""
    day = 86_400 * SECOND
    for times, readings in (((-day,), 1), ((day, day + SECOND), 2), ((day,), 0)):
        line = timeline()
        line.check(0, START, 1.0, "first")
        held = [(START + time, str(time)) for time in times]
        for time, item in held:
            assert line.check(0, time, 2.0, item) == Timed()
        assert line.settle(3.0) == []
        assert line.settle(20.0) == ([(0, Timed(tuple(held)))] if readings else [])
        assert line.settle(None) == ([] if readings else [(0, Timed((), 0, 1))])


def test_a_source_that_was_behind_and_catches_up_has_a_gap() -> None:
    """One that delivers an hour late at the pace of now, and then leaves it out, has lost readings, and its clock was right."""
    live = arrivals(30, {})
    late = [Arrival(n, START + n * SECOND, 1_000 + 3_600 + n) for n in range(30, 60)]
    after = [Arrival(n, START + n * SECOND, 1_000.0 + n) for n in range(3_660, 3_690)]
    answers, line, _ = answered([*live, *late, *after])
    assert line.steps == 0
    assert [number for number, answer in answers if answer.status == "gap"] == [3_660]
    assert len(answers) == 90


@pytest.mark.parametrize("step", [-10, -30, -59])
def test_a_small_step_back_is_found_after_the_longest_gap(step: int) -> None:
    """A few late readings at once are just that; when only late ones come for longer than the gap, the clock was set."""
    some = arrivals(120, {60: step})
    answers, line, _ = answered(some)
    assert line.steps == 1
    late = [number for number, answer in answers if answer.status == "gap"]
    assert late == list(range(60, 65))
    assert all(answer.score is not None for number, answer in answers if number > 70)


def test_two_copies_of_each_reading_are_no_step() -> None:
    """The second, by a way that takes 20 s longer, is late every time, and the first goes on."""
    some = arrivals(200, {})
    copies = [each._replace(number=1_000 + each.number, moment=each.moment + 20.2) for each in some]
    both = sorted([*some, *copies], key=lambda each: each.moment)[:200]
    answers, line, _ = answered(both)
    first = [each for each in answers if each[0] < 1_000]
    assert first == answered(some)[0][: len(first)]
    assert line.steps == 0


@pytest.mark.parametrize("step", [step for step in STEPS if abs(step) > 61])
@pytest.mark.parametrize("inside", [0, 3])
def test_many_readings_in_a_message(step: int, inside: int) -> None:
    """Ten readings arrive together each ten seconds; the clock is set between two messages, or within one."""
    at = 40 + inside
    some = [each._replace(moment=1_000.0 + each.number // 10 * 10 + 9.02) for each in arrivals(100, {at: step})]
    answers, line, dropped = answered(some)
    if inside and step > 0:  # as in a backlog with a hole: the window restarts
        assert [number for number, answer in answers if answer.status == "gap"] == [at]
        assert (len(answers), line.steps, dropped) == (100, 0, 0)
    else:
        assert answers == answered(without_steps(some))[0]
        assert (line.steps, dropped) == (1, 0)


@pytest.mark.parametrize("step", [step for step in STEPS if step != -3_600])
def test_a_step_during_a_silence_leaves_the_gap(step: int) -> None:
    """A source that was away for an hour and comes back with another clock was away for an hour."""
    after = arrivals(60, {30: step + 3_600})[30:]
    some = [*arrivals(30, {}), *(each._replace(moment=each.moment + 3_600) for each in after)]
    answers, line, _ = answered(some)
    assert [number for number, answer in answers if answer.status == "gap"] == [30]
    assert len(answers) == 60
    assert line.steps == (0 if step == -61 else 1)  # its readings are in order


def test_a_machine_goes_on_after_a_restart() -> None:
    """The last reading of an earlier process and when it was are enough to tell a step, or a gap, from the first reading on."""
    before = arrivals(10, {})[-1]
    for step in STEPS:
        line = timeline()
        line.restore(0, before.time, 5.0, 2.0)  # another boot: 2 s ago
        some = [Arrival(n, START + (n + step) * SECOND, 5.0 + n - 11) for n in range(11, 15)]
        found = [line.check(0, each.time, each.moment, each.number) for each in some]
        assert [timed.shift for timed in found] == [0, step * SECOND, 0, 0]
    line = timeline()
    line.restore(0, before.time, 5.0, None)
    some = [Arrival(n, START + (n + 86_400) * SECOND, 5.0 + n - 11) for n in range(11, 15)]
    found = [line.check(0, each.time, each.moment, each.number) for each in some]
    assert [len(timed.readings) for timed in found] == [0, 2, 1, 1]
    assert not any(timed.shift for timed in found)  # nobody knows: it may well have been a day


def test_arrivals_at_the_same_moment_are_no_duplicates() -> None:
    """Readings without times get increasing ones, and move with the gateway's own clock."""
    line = timeline()
    line.grow(3)
    assert line.stamp(0, START, 7.0, "a") == Timed(((START, "a"),))
    assert line.stamp(0, START, 7.0, "b") == Timed(((START + 1, "b"),))
    line.check(1, START, 7.0, "c")
    assert line.moved(-3_600 * SECOND) == [0]
    assert (line.last(0), line.last(1), line.last(2)) == (START + 1 - 3_600 * SECOND, START, None)
    assert line.stamp(0, START - 3_599 * SECOND, 8.0, "d") == Timed(((START - 3_599 * SECOND, "d"),))


def test_a_state_from_the_future_is_moved_to_the_past() -> None:
    """A board that does not know the time, with a state from when it did: its machine's window restarts, and goes on."""
    line = timeline()
    line.restore(0, START + 86_400 * SECOND, 3.0, None)
    timed = line.stamp(0, START, 4.0, "a")
    assert timed.readings == ((START, "a"),)
    assert START - (START + 86_400 * SECOND + timed.shift) > 3 * SECOND
    assert line.stamp(0, START + SECOND, 5.0, "b").shift == 0


def test_a_machine_with_a_clock_that_stands_still_is_not_heard() -> None:
    """Its readings are late, all of them, and change nothing."""
    line = timeline()
    assert line.heard(0) is None
    line.check(0, START, 1.0, "a")
    passed = []
    for n in range(2, 200):
        timed = line.check(0, START, float(n), n)
        assert timed.shift == 0
        passed += timed.readings
    assert passed == [(START, n) for n in range(2, 2 + len(passed))]
    assert len(passed) > 190
    assert (line.heard(0), line.last(0), line.steps) == (1.0, START, 0)


def test_a_forgotten_machine_begins_anew() -> None:
    """Whatever its time is then."""
    line = timeline()
    line.check(0, START, 1.0, "a")
    line.check(0, START - 86_400 * SECOND, 2.0, "b")
    line.forget(0)
    assert line.check(0, START - 86_400 * SECOND, 3.0, "c").readings == ((START - 86_400 * SECOND, "c"),)


class Delivery(NamedTuple):
    """What happens to a stream between the source and the gateway."""

    step: int
    at: int
    jitter: list[float]
    repeats: list[tuple[int, int, int]]  # (after which reading, the number of the oldest, how many) come again at once
    swaps: list[int]  # the positions of neighbours that change places


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    repeats = []
    for _ in range(draw(st.integers(0, 3))):
        after = draw(st.integers(5, 99))
        oldest = draw(st.integers(max(0, after - 30), after))
        repeats.append((after, oldest, draw(st.integers(1, after - oldest + 1))))
    return Delivery(
        draw(st.sampled_from([70, -70, *STEPS[2:]])),
        draw(st.integers(10, 80)),
        draw(st.lists(st.floats(0, 0.2), min_size=1, max_size=7)),
        repeats,
        draw(st.lists(st.integers(5, 97), max_size=3, unique=True)),
    )


def delivered(delivery: Delivery, step: int) -> list[Arrival]:
    """The stream as it arrives."""
    some = arrivals(100, {delivery.at: step}, delivery.jitter)
    for position in delivery.swaps:
        one, other = some[position], some[position + 1]
        some[position], some[position + 1] = other._replace(moment=one.moment), one._replace(moment=other.moment)
    found: list[Arrival] = []
    for each in some:
        found.append(each)
        for after, oldest, count in delivery.repeats:
            if each.number == after:
                again = [one for one in some if oldest <= one.number < oldest + count]
                found += [one._replace(moment=each.moment + 0.001 + n / 1e4) for n, one in enumerate(again)]
    return found


@settings(max_examples=examples(100), deadline=None)
@given(deliveries())
@example(Delivery(-70, 10, [0.0], [(11, 0, 1)], []))  # the one that comes again is just ahead of the new clock
def test_a_step_among_repeated_and_reordered_readings_neither_raises_nor_hides_an_alarm(delivery: Delivery) -> None:
    """The alarms are those of a source whose clock was right: each is raised by the same reading, or by one close to it."""
    plain, _, _ = answered(delivered(delivery, 0))
    answers, line, _ = answered(delivered(delivery, delivery.step))
    assert line.steps == 1

    def first_of(some: list[tuple[int, Answer]]) -> dict[int, Answer]:
        found: dict[int, Answer] = {}
        for number, answer in some:
            if number not in found or answer.status == "scored":
                found[number] = answer
        return found

    expected, got = first_of(plain), first_of(answers)
    near = range(delivery.at - 3, delivery.at + 9)
    assert {n: a for n, a in got.items() if n not in near} == {n: a for n, a in expected.items() if n not in near}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_where_each_reading_comes_twice(step: int) -> None:
    """A broker that delivers at least once may do so, at the step as well."""
    some = arrivals(60, {30: step})
    twice = [
        copy for each in some for copy in (each, each._replace(number=1_000 + each.number, moment=each.moment + 0.01))
    ]
    answers, line, dropped = answered(twice)
    assert [each for each in answers if each[0] < 1_000] == answered(without_steps(some))[0]
    assert (line.steps, dropped) == (1, 0)
    assert len(answers) == 120


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from([0.01, 0.1, 1.0, 60.0]),
    st.sampled_from([3_600 * 24, -3_600 * 24, 10 * 365 * 86_400, -10 * 365 * 86_400]),
    st.lists(st.floats(0, 1), min_size=1, max_size=11),
    st.floats(0, 3),
)
def test_after_a_step_all_readings_are_in_order_again(
    period: float, step: int, jitter: list[float], periods: float
) -> None:
    """Whatever the period, and however unevenly readings arrive: at most three longest gaps, or 3 s, are lost."""
    line: Timeline[int] = Timeline(period, 3 * period, 1)
    count = 150 + round(9 / period) if period < 1 else 150
    at, moment = count // 2, 0.0
    passed = []
    last, in_order = START - 1, []
    for number in range(count):
        moment = max(moment, 1_000 + period * (number + periods * jitter[number % len(jitter)]))
        time = START + round((number * period + (step if number >= at else 0)) * SECOND)
        timed = line.check(0, time, moment, number)
        last += timed.shift
        for when, each in timed.readings:
            passed.append(each)
            if when > last:
                last = when
                in_order.append(each)
    assert passed == list(range(len(passed)))
    assert in_order[:at] == list(range(at))
    settled = at + 5 + round(max(3.0, 9 * period) / period)
    assert in_order[-(count - settled) :] == list(range(settled, count))
