"""Steady time on a board whose clock is set while it runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.gateway.clock import CLOCK_SET, SteadyTime, SystemClock, is_synchronised

TODAY = 1_800_000_000.0


class FakeClock:
    """Time that goes on when told to."""

    def __init__(self, wall: float = TODAY, elapsed: float = 50.0, boot: str = "one") -> None:
        self.elapsed, self.offset, self.boot_id = elapsed, wall - elapsed, boot

    def monotonic(self) -> float:
        return self.elapsed

    def wall(self) -> float:
        return self.elapsed + self.offset

    def boot(self) -> str:
        return self.boot_id


def test_the_boards_own_clock() -> None:
    """Elapsed time goes on, the wall clock is the system's, and a boot has one id."""
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first
    assert abs(clock.wall() - time.time()) < 10
    assert clock.boot() == clock.boot()
    if Path("/proc/sys/kernel/random/boot_id").exists():
        assert len(clock.boot()) == 36
    if hasattr(time, "CLOCK_BOOTTIME"):  # suspension counts
        assert abs(clock.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 10


def test_steady_time_begins_at_the_wall_clock_and_elapses_by_the_monotonic_one() -> None:
    """What the wall clock does between two looks at it does not show."""
    clock = FakeClock()
    steady = SteadyTime(clock)
    assert steady.now() == TODAY * 1e6
    clock.elapsed += 2.5
    clock.offset += 1e8
    assert steady.now() == (TODAY + 2.5) * 1e6
    assert steady.at(51.0) == (TODAY + 1) * 1e6


@pytest.mark.parametrize("seconds", [0.6, -0.6, 61, -61, 3_600, -3_600, 10 * 365 * 86_400.0, -10 * 365 * 86_400.0])
def test_a_step_is_told_once_and_taken_over(seconds: float) -> None:
    """After it, steady time is the wall clock's, and so are moments before it."""
    clock = FakeClock()
    steady = SteadyTime(clock)
    clock.elapsed += 1
    clock.offset += seconds
    assert steady.step() == seconds * 1e6
    assert steady.now() == round(clock.wall() * 1e6)
    assert steady.at(clock.elapsed - 0.25) == round((clock.wall() - 0.25) * 1e6)
    clock.elapsed += 1
    assert steady.step() == 0


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-0.2, 0.2)), min_size=1, max_size=50))
def test_small_differences_are_followed_without_running_back(looks: list[tuple[float, float]]) -> None:
    """Whatever the wall clock does within half a second, steady time runs forward, within a thousandth of the right pace."""
    clock = FakeClock()
    steady = SteadyTime(clock)
    for elapsed, change in looks:
        before, moment = steady.now(), clock.elapsed
        clock.elapsed += elapsed
        if abs(clock.offset + change - (TODAY - 50)) < 0.2:
            clock.offset += change
        assert steady.step() == 0
        passed = (clock.elapsed - moment) * 1e6
        assert abs(steady.now() - before - passed) <= passed / 1000 + 2
        assert steady.now() >= before


def test_a_small_difference_is_gone_in_the_end() -> None:
    """0.4 s take 400 s, and then nothing more is done about it."""
    clock = FakeClock()
    steady = SteadyTime(clock)
    clock.offset += 0.4
    for _ in range(390):
        clock.elapsed += 1
        assert steady.step() == 0
    assert clock.wall() * 1e6 - steady.now() == pytest.approx(10_000 + 1_000, abs=200)
    for _ in range(20):
        clock.elapsed += 1
        steady.step()
    assert steady.now() == pytest.approx(clock.wall() * 1e6, abs=2)
    clock.elapsed += 3_600  # nobody looks for an hour
    assert steady.now() == pytest.approx(clock.wall() * 1e6, abs=2)


def test_a_wait_for_the_processor_is_no_step() -> None:
    """The process may stand still for seconds between reading one clock and the other."""

    class Interrupted(FakeClock):
        pauses = 0

        def wall(self) -> float:
            if self.pauses:
                self.pauses -= 1
                self.elapsed += 3.0
            return super().wall()

    clock = Interrupted()
    steady = SteadyTime(clock)
    for pauses in (1, 4, 5, 100):
        clock.pauses = pauses
        assert steady.step() == 0


def test_a_clock_before_2025_is_not_set() -> None:
    """A board without a clock begins in 1970, or where its image was made, until it hears the time."""
    clock = FakeClock(wall=100.0)
    steady = SteadyTime(clock)
    assert not steady.is_set()
    clock.offset += TODAY
    assert not steady.is_set()  # it is, as of the next look
    steady.step()
    assert steady.is_set()
    assert FakeClock(wall=CLOCK_SET).wall() == 1_735_689_600.0


def test_how_long_ago_something_was_saved_in_this_boot() -> None:
    """The monotonic clock knows, whatever became of the wall clock."""
    clock = FakeClock(wall=100.0, elapsed=500.0)
    assert SteadyTime(clock).elapsed_since(TODAY, 480.0, "one") == 20.0
    assert SteadyTime(clock).elapsed_since(TODAY, 501.0, "one") is None  # it has not been yet


def test_how_long_ago_something_was_saved_in_another_boot() -> None:
    """The wall clock knows, if it and the saved one can be right; and it was before this boot."""
    steady = SteadyTime(FakeClock(elapsed=30.0, boot="two"))
    assert steady.elapsed_since(TODAY - 90.0, 9_999.0, "one") == 90.0
    assert steady.elapsed_since(TODAY - 20.0, 9_999.0, "one") == 30.0
    assert steady.elapsed_since(TODAY + 1.0, 9_999.0, "one") is None
    assert steady.elapsed_since(100.0, 9_999.0, "one") is None
    assert steady.elapsed_since(TODAY - 90.0, 9_999.0, "one", is_synchronised=False) is None
    assert SteadyTime(FakeClock(wall=200.0, boot="two")).elapsed_since(100.0, 0.0, "one") is None
    nowhere = SteadyTime(FakeClock(boot=""))
    assert nowhere.elapsed_since(TODAY - 90.0, 40.0, "") == 90.0  # no id: it cannot be the same boot for sure


def test_a_board_that_waits_for_the_time_is_not_synchronised(tmp_path: Path) -> None:
    """systemd-timesyncd makes a file when it has set the clock; where it does not run nothing is known."""
    folder = tmp_path / "timesync"
    assert is_synchronised(str(folder))
    folder.mkdir()
    assert not is_synchronised(str(folder))
    (folder / "synchronized").touch()
    assert is_synchronised(str(folder))
