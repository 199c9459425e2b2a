"""The short way of `Detector.update`: all steps in one function, for a reading that need not be looked at twice.

That is C floats within their limits, in time, where nothing is held or derived, and the window is full with them. The long way gives
the same verdict for it, at twice the price (docs/decisions/0013-update.md); every other reading goes that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.readings import QUIET, SCORED, Reading, Verdict, to_microseconds
from edge_runtime.score import KEPT, not_finite

if TYPE_CHECKING:
    from edge_runtime.adapt import Adaptive
    from edge_runtime.alarm import Alarm
    from edge_runtime.engines import Engine
    from edge_runtime.prepare import Preparation
    from edge_runtime.score import Scorer
    from edge_runtime.smooth import Smooth


def usual_way(
    preparation: Preparation,
    engine: Engine,
    scorer: Scorer,
    smooth: Smooth,
    adaptive: Adaptive | None,
    alarm: Alarm,
    *,
    machines: int,
    threshold: float,
    names: tuple[str, ...],
    engine_name: str,
) -> Callable[[Reading], Verdict | None]:
    """A function that answers a usual reading, and answers None, with nothing changed, for any other.

    It works on the state of the steps it is handed, so the two ways may take turns. Raises as `Detector.update` does.
    """
    if not preparation.is_plain:
        return lambda reading: None
    clean, windows = preparation.clean, preparation.windows
    # Names of this function are the fastest there are; what is used by few readings stays an attribute, since each name costs.
    parts, clip, count = preparation.scale.parts, preparation.scale.clip, len(preparation.scale.parts)
    whole = count - count % 4  # four channels at a time: that is as fast as it gets, and as long as it may get
    fours: list[Any] = [sum(parts[start : start + 4], ()) for start in range(0, whole, 4)]
    rest = parts[whole:]
    last_times, newest, longest_gap = clean.last_time_of_one, clean.newest, clean.longest_gap
    next_rows, first_rows, room, before_last = windows.next_of_one, windows.first_of_one, windows.room, windows.length - 1  # fmt: skip
    kept, pack, memory = windows.kept.get, windows.pack, windows.bytes
    run, error, dot, flat = engine.run, scorer.error, scorer.shares.dot, scorer.error.reshape(-1)
    finish: Any = scorer.finish if smooth.is_off and error.size <= KEPT else None
    subtract, squared, explain, to_bytes = np.subtract, scorer.is_squared, scorer.explain, error.tobytes
    enter, is_busy, inf, new, is_one = alarm.enter, alarm.is_busy_of_one, np.inf, object.__new__, machines == 1

    def update(reading: Reading) -> Verdict | None:
        machine, time, values = reading.machine, reading.time, reading.values
        if type(machine) is not int or not 0 <= machine < machines or clean.holds_any:
            return None
        if type(values) is not tuple:
            if type(values) is not list:
                return None
            values = tuple(values)
        if len(values) != count:
            return None
        # `round` would take twice as long; the years 68 to 5138.
        now = (time * 1e6).__round__() if type(time) is float and -6e10 < time < 1e11 else to_microseconds(time)
        row = next_rows[machine]
        if not 0 < now - last_times[machine] <= longest_gap or row - first_rows[machine] < before_last:
            return None
        if row == room:
            row = windows.move_one(machine)
        offset, window = kept(machine * room + row) or windows.keep(machine, row)
        packed: Any = [memory, offset]  # and the scaled values
        start = 0
        for low_a, high_a, mid_a, per_a, low_b, high_b, mid_b, per_b, low_c, high_c, mid_c, per_c, low_d, high_d, mid_d, per_d in fours:  # fmt: skip
            a, b, c, d = values[start : start + 4]
            if not (type(a) is type(b) is type(c) is type(d) is float) or not (
                low_a <= a <= high_a and low_b <= b <= high_b and low_c <= c <= high_c and low_d <= d <= high_d
            ):
                return None
            packed += (a - mid_a) * per_a, (b - mid_b) * per_b, (c - mid_c) * per_c, (d - mid_d) * per_d
            start += 4
        for value, (low, high, mid, per) in zip(values[start:], rest, strict=True) if rest else ():
            if not (type(value) is float and low <= value <= high):
                return None
            packed.append((value - mid) * per)
        if clip is not None:
            packed[2:] = [min(max(value, -clip), clip) for value in packed[2:]]

        last_times[machine] = now
        newest[machine] = values
        next_rows[machine] = row + 1
        pack(*packed)
        shares: Any
        if finish is None:
            score, shares = scorer.step(run(window), window)
        else:
            subtract(run(window), window, error)
            finish(error, error, error) if squared else finish(error, error)
            score, shares = float(dot(flat)), (explain, to_bytes())
        if not score < inf:
            raise not_finite(engine_name, score)
        if not smooth.is_off:
            score, shares = smooth.step(machine, shares)
        level, state = threshold, QUIET
        if adaptive is not None:
            level = adaptive.step(machine, score)
            state = alarm.step(machine, score, now, level)
        elif score > enter or is_busy[machine]:
            state = alarm.step(machine, score, now)
        verdict = new(Verdict)
        label = None if is_one else machine
        verdict._codes = (now, label, SCORED, score, level, score > level, state, names, shares, ())
        return verdict

    return update
