"""Time on a board that has no clock of its own: it boots with a wrong one, and the right one arrives later, as a jump.

What elapses is measured by the monotonic clock alone. What a person is told is the wall clock's time, by way of `SteadyTime`: the wall
clock's time at the start plus what elapsed since. It never reads the wall clock but in `step`, which says by how far that one was
set; so nothing moves between two calls, and whoever remembers times moves them by the same step.
"""

from __future__ import annotations

import os
import time
from typing import Protocol

CLOCK_SET = 1_735_689_600.0
"""2025-01-01 UTC: this program is younger, so a wall clock before it has not been set."""
LARGEST_SLEW_S = 0.5
"""A wall clock that differs by more was stepped. NTP steps from 0.128 s (ntpd), 0.4 s (systemd-timesyncd) or 1 s (chrony) on."""
SLEW = 1e-3
"""A smaller difference is followed by so much of the time that elapses: 0.5 s in 500 s. The kernel itself slews by at most half of
it, so steady time keeps up; what elapses between two readings is wrong by at most a thousandth meanwhile, and time never runs back."""


class Clock(Protocol):
    """Where time comes from; tests and simulations bring their own."""

    def monotonic(self) -> float:
        """Seconds since some moment of this boot; never set, and goes on while the board is suspended."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC as the board believes, which may be years off."""
        ...

    def boot(self) -> str:
        """Another text for each boot of the board; empty where it is not known."""
        ...


if hasattr(time, "CLOCK_BOOTTIME"):

    def monotonic() -> float:
        """Seconds since the boot, those of suspension too: what stamps every message's arrival."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def monotonic() -> float:
        """Seconds since some moment: what stamps every message's arrival."""
        return time.monotonic()


class SystemClock:
    """The board's own."""

    def monotonic(self) -> float:
        """As `Clock`."""
        return monotonic()

    def wall(self) -> float:
        """As `Clock`."""
        return time.time()

    def boot(self) -> str:
        """As `Clock`."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except (OSError, ValueError):
            return ""


def is_synchronised(folder: str = "/run/systemd/timesync") -> bool:
    """False where systemd-timesyncd sets this board's clock and has not yet since the boot.

    Until then a board without a clock goes on from the time at which it was switched off, which looks as good as the right one.
    Where nothing is known (chrony, ntpd, no systemd) this is true.
    """
    return not os.path.isdir(folder) or os.path.exists(os.path.join(folder, "synchronized"))


class SteadyTime:
    """Microseconds since 1970 UTC that elapse like the monotonic clock, and the steps that the wall clock made."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moment, wall, _ = _both(clock)  # where the present stretch begins, by the monotonic clock
        self._time = round(wall * 1e6)  # and in steady time
        self._behind = 0  # microseconds by which the wall clock was ahead there: followed slowly

    def now(self) -> int:
        """Microseconds since 1970 UTC; never less than before, unless `step` said so."""
        return self.at(self._clock.monotonic())

    def at(self, moment: float) -> int:
        """The same of a moment by the monotonic clock, such as a message's arrival; `step` changes the past as well."""
        elapsed = round((moment - self._moment) * 1e6)
        if not self._behind or elapsed <= 0:
            return self._time + elapsed
        most = int(elapsed * SLEW)
        return self._time + elapsed + max(-most, min(most, self._behind))

    def is_set(self) -> bool:
        """Whether the wall clock, as of the last `step`, has been set since the boot as far as one can tell."""
        return self.now() >= CLOCK_SET * 1e6

    def step(self) -> int:
        """Look at the wall clock, once a second or so; returns the microseconds by which it was set since the last look, mostly 0.

        Steady time has then jumped by so much, and times that were taken from it have to: a detector's state of machines whose
        readings are stamped at their arrival, `Timeline`, `Work`. A difference of at most half a second is followed slowly instead.
        """
        moment, wall, unsure = _both(self._clock)
        steady = self.at(moment)
        ahead = round(wall * 1e6) - steady
        is_step = abs(ahead) > (LARGEST_SLEW_S + unsure) * 1e6
        self._moment, self._time, self._behind = moment, steady + ahead * is_step, ahead * (not is_step)
        return ahead * is_step

    def elapsed_since(self, wall: float, moment: float, boot: str, *, is_synchronised: bool = True) -> float | None:
        """Seconds since an earlier process saved something, or None where that cannot be known.

        It saved with it the clock's `wall()`, `monotonic()` and `boot()`. Within a boot the monotonic clock tells. After another one
        the wall clock does, if it is set, `is_synchronised` (which see) and not earlier than the saved one; and it was at least as
        long ago as this boot.
        """
        now = self._clock.monotonic()
        if boot and boot == self._clock.boot():
            return now - moment if now >= moment else None
        elapsed = self._clock.wall() - wall
        if not is_synchronised or wall < CLOCK_SET or elapsed < 0:
            return None
        return max(elapsed, now)


def _both(clock: Clock) -> tuple[float, float, float]:
    """Both clocks at one moment, monotonic and wall, and the seconds by which it may have been two.

    A process that has to wait for the processor between two calls would see a step where there was none.
    """
    best = (0.0, 0.0, float("inf"))
    for _ in range(5):
        before = clock.monotonic()
        wall = clock.wall()
        unsure = clock.monotonic() - before
        if unsure < best[2]:
            best = (before + unsure / 2, wall, unsure)
        if unsure < 1e-3:
            break
    return best
