"""The whole path from readings to verdicts in plain loops: slow, obvious, and written without the runtime.

Only the manifest's dataclasses are shared. Times are microseconds since 1970, a reading's values a list of numbers with NaN
where one is missing, a window a list of T such lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, NamedTuple

from oracle_threshold import Level

from edge_runtime.manifest import Manifest

Window = list[list[float]]
FARTHEST = 1e12
"""A value further than this many scales from its center cannot be calculated with, and is out of range."""
LARGEST = 1e50
"""The same for a channel that the model is not given, which has no scale."""


class Answer(NamedTuple):
    status: str
    score: float | None
    contributions: list[float] | None
    anomalous: bool | None
    alarm: str
    levels: Sequence[float] = ()
    """All that the score was compared with; the first is the threshold."""
    fault_channels: tuple[str, ...] = ()


def answers(
    m: Manifest, reconstruct: Callable[[Window], Window], times: Sequence[int], rows: Sequence[Sequence[float]]
) -> list[Answer]:
    """Every reading of one machine, answered in order."""
    T, C, F = m.window.length, len(m.channels), len(m.scaling.center)
    kept = [c for c in range(C) if m.channels[c].is_input]
    past: list[tuple[int, list[float]]] = []  # time and channels of what entered the window, or would have
    given: list[Answer] = []
    last_time: int | None = None
    held: list[float | None] = [None] * C
    good_at: list[int] = [0] * C  # when the held value was measured
    missing_for = [0] * C  # readings without a good value
    silent_for = [0] * C  # readings without any value
    said: list[float | None] = [None] * C  # the last value as measured
    same_for = [0] * C
    at_rail_for = [0] * C
    on_since: int | None = None
    window: Window = []
    recent: list[bool] = []  # of the last n scores: above the enter level?
    calm = 0  # scores in a row below the exit level
    smoothed: list[float] | None = None  # contributions
    level = Level(m.threshold)
    is_active = False
    quiet_until: float = -math.inf

    is_first_row = True  # of those that a reading completes
    has_restarted = False  # with one of them
    for arrived, time, row, is_last in (
        as_they_come(times, rows) if m.sampling.grid is None else on_grid(m, times, rows)
    ):
        if row is None or (last_time is not None and time <= last_time):
            status = "collecting" if row is None and time is not None else "gap"
            given.append(Answer(status, None, None, None, "active" if is_active else "quiet"))
            continue
        has_restarted = has_restarted and not is_first_row
        is_first_row = is_last

        # Clean.
        is_after_gap = last_time is not None and time - last_time > m.sampling.longest_gap_s * 1e6
        last_time = time
        if is_after_gap:
            held, on_since = [None] * C, None
            missing_for, silent_for = [0] * C, [0] * C
        is_outside = is_broken = False
        filled: list[Any] = [None] * C
        for c in range(C):
            value, channel, before = row[c], m.channels[c], held[c]
            is_good = (
                not math.isnan(value)
                and (channel.low is None or value >= channel.low)
                and (channel.high is None or value <= channel.high)
                and (
                    abs(value - m.scaling.center[kept.index(c)]) <= FARTHEST * m.scaling.scale[kept.index(c)]
                    if c in kept
                    else abs(value) <= LARGEST
                )
            )
            if is_good and channel.max_rate is not None and before is not None:
                is_good = abs(value - before) <= channel.max_rate / 1e6 * (time - good_at[c])
            silent_for[c] = silent_for[c] + 1 if math.isnan(value) else 0
            if is_good:
                held[c], good_at[c], missing_for[c] = value, time, 0
            else:
                missing_for[c] += 1
                is_outside = is_outside or not math.isnan(value)
                if missing_for[c] > m.cleaning.hold_limit:
                    held[c] = None
            filled[c] = held[c]
            if m.cleaning.medians is not None and 0 < missing_for[c] <= m.cleaning.hold_limit:
                filled[c] = m.cleaning.medians[c]
            is_broken = is_broken or filled[c] is None
        faults = set()
        if m.sensors is not None and m.sensors.silent and not all(map(math.isnan, row)):
            faults = {c for c in range(C) if silent_for[c] > m.cleaning.hold_limit}

        # Operating state.
        is_off = is_unknown = False
        if m.operating is not None:
            now = [held[m.channel_names.index(name)] for name in m.operating.channels]
            is_unknown = None in now
            if is_unknown:
                on_since = None
            else:
                begins = holds(m.operating.when, m.channel_names, held)
                ends = not begins if m.operating.until is None else holds(m.operating.until, m.channel_names, held)
                is_on = (begins or on_since is not None) and not ends
                on_since = None if not is_on else time if on_since is None else on_since
                is_off = on_since is None or time - on_since < m.operating.settle_s * 1e6

        # Sensors.
        for c, channel in enumerate(m.channels):
            if is_off or is_unknown:
                said[c], same_for[c], at_rail_for[c] = None, 0, 0
            elif not math.isnan(row[c]):
                same_for[c] = same_for[c] + 1 if said[c] == row[c] else 1
                is_low = channel.rail_low is not None and row[c] <= channel.rail_low
                is_high = channel.rail_high is not None and row[c] >= channel.rail_high
                at_rail_for[c] = at_rail_for[c] + 1 if is_low or is_high else 0
                said[c] = row[c]
            if channel.stuck_after is not None and same_for[c] >= channel.stuck_after:
                faults.add(c)
            if at_rail_for[c] >= channel.saturated_after:
                faults.add(c)

        # Derive, scale, window.
        if is_after_gap or is_broken or is_off or is_unknown or faults:
            past, window, recent, calm, smoothed = [], [], [], 0, None
            has_restarted = True
        if not is_broken and not is_off and not is_unknown and not faults:
            past.append((time, list(filled)))
            if len(past) > max((each.warm_up for each in m.derived), default=0):
                inputs = [filled[c] for c in kept] + derived_inputs(m, past)
                scaled = [(inputs[f] - m.scaling.center[f]) / m.scaling.scale[f] for f in range(F)]
                largest = FARTHEST if m.scaling.clip is None else m.scaling.clip
                window.append([min(max(value, -largest), largest) for value in scaled])
                window = window[-T:]
        if is_off or faults or is_outside or is_after_gap or is_broken or is_unknown or len(window) < T:
            is_gap = is_after_gap or is_broken or is_unknown or (has_restarted and len(window) < T)
            status = "off" if is_off else "sensor_fault" if faults else "out_of_range" if is_outside else "gap"
            status = status if status != "gap" or is_gap else "warming_up"
            names = tuple(m.channel_names[c] for c in sorted(faults)) if status == "sensor_fault" else ()
            if is_last:
                given.append(Answer(status, None, None, None, "active" if is_active else "quiet", (), names))
            continue
        if not is_last:
            continue

        # Score.
        reconstruction = reconstruct(window)
        K = T if m.estimates is None else m.estimates
        steps = range(K if m.score.last is None else m.score.last)
        contributions = [0.0] * F
        for t in steps:
            errors = [reconstruction[K - 1 - t][c] - window[T - 1 - t][c] for c in range(F)]
            if m.score.whitening is not None:
                errors = [sum(errors[i] * m.score.whitening[i][c] for i in range(F)) for c in range(F)]
            for c in range(F):
                size = abs(errors[c]) if m.score.kind == "mae" else errors[c] ** 2
                contributions[c] += size / (len(steps) * F)
        if smoothed is not None:
            weight = m.score.smoothing
            contributions = [
                weight * new + (1 - weight) * old for new, old in zip(contributions, smoothed, strict=True)
            ]
        smoothed = contributions
        score = sum(contributions)

        # Threshold, alarm.
        threshold = level.value
        levels = [*level.deciding(), m.alarm.enter * threshold, m.alarm.exit * threshold]
        level.learn(score)
        recent = [*recent, score > m.alarm.enter * threshold][-m.alarm.n :]
        calm = calm + 1 if score < m.alarm.exit * threshold else 0
        alarm = "active" if is_active else "quiet"
        if is_active and calm >= m.alarm.n:
            is_active, alarm = False, "cleared"
            quiet_until = arrived + m.alarm.cooldown_s * 1e6
        elif not is_active and recent[-1] and sum(recent) >= m.alarm.k and arrived >= quiet_until:
            is_active, alarm = True, "raised"
        given.append(Answer("scored", score, contributions, score > threshold, alarm, levels))
    return given


def as_they_come(times: Sequence[int], rows: Sequence[Sequence[float]]) -> Iterator[tuple[int, Any, Any, bool]]:
    """When each reading came, its time, its values, and that it is the last row that came of it."""
    for time, row in zip(times, rows, strict=True):
        yield time, time, row, True


def on_grid(m: Manifest, times: Sequence[int], rows: Sequence[Sequence[float]]) -> Iterator[tuple[int, Any, Any, bool]]:
    """The same for the rows of the grid that a reading completes; without values, and for a late one without time, if none."""
    grid, period, C = m.sampling.grid, round(m.sampling.period_s * 1e6), len(m.channels)
    waiting: list[tuple[int, Sequence[float]]] = []
    done_until: int | None = None  # the end of the last period that takes no readings any more
    row_until: int | None = None  # the end of the last one that became a row
    for time, values in zip(times, rows, strict=True):
        if done_until is not None and time < done_until:
            yield time, None, None, True
            continue
        newly_done = (time - round(grid.max_delay_s * 1e6)) // period * period
        done_until = newly_done if done_until is None else max(done_until, newly_done)
        complete = []
        for end in sorted({at // period * period + period for at, _ in waiting}):
            if end > done_until:
                continue
            if row_until is not None and end - row_until <= m.sampling.longest_gap_s * 1e6:
                complete += [(missing, [math.nan] * C) for missing in range(row_until + period, end, period)]
            inside = [(at, told) for at, told in waiting if at // period * period + period == end]
            complete.append((end, [one_value([(at, told[c]) for at, told in inside], grid) for c in range(C)]))
            waiting = [each for each in waiting if each not in inside]
            row_until = end
        waiting.append((time, list(values)))
        for number, (end, row) in enumerate(complete, 1):
            yield time, end, row, number == len(complete)
        if not complete:
            yield time, time, None, True


def one_value(told: Sequence[tuple[int, float]], grid: Any) -> float:
    """What the values of one channel in one period, in order of arrival, become. Only the newest can be told to be duplicates."""
    kept: list[tuple[int, float]] = []
    for at, value in told:
        newest = max((time for time, _ in kept), default=None)
        if math.isnan(value) or (at == newest and grid.duplicate == "first"):
            continue
        if at == newest and grid.duplicate == "last":
            kept = [each for each in kept if each[0] != at]
        kept.append((at, value))
    if grid.value == "last":
        kept = [each for each in kept if each[0] == max(time for time, _ in kept)]
    if not kept:
        return math.nan
    mean = sum(value for _, value in kept) / len(kept)
    return math.inf if math.isnan(mean) else mean


def holds(rule: str, names: Sequence[str], values: Sequence[Any]) -> bool:
    """Whether a rule of plain words holds, read word by word."""
    known = dict(zip(names, values, strict=True))
    for part in rule.split(" or "):
        every = True
        for name, sign, number in (comparison.split() for comparison in part.split(" and ")):
            order = (known[name] > float(number)) - (known[name] < float(number))
            every = (
                every and order in {">": (1,), ">=": (0, 1), "<": (-1,), "<=": (-1, 0), "==": (0,), "!=": (-1, 1)}[sign]
            )
        if every:
            return True
    return False


def derived_inputs(m: Manifest, past: list[tuple[int, list[float]]]) -> list[float]:
    """What is derived from the readings up to the last one; moments in fractions, which do not round."""
    names = [channel.name for channel in m.channels]
    inputs = []
    for each in m.derived:
        if each.kind == "time_of_day":
            hours = datetime.fromtimestamp(past[-1][0] // 1_000_000, UTC)
            seconds = 3600 * hours.hour + 60 * hours.minute + hours.second + past[-1][0] % 1_000_000 / 1e6
            for turns in range(1, each.harmonics + 1):
                angle = 2 * math.pi * turns * seconds / 86400
                inputs += [math.sin(angle), math.cos(angle)]
            continue
        series = [row[names.index(each.channel)] for _, row in past]
        if each.kind == "difference":
            inputs.append(series[-1] - series[-2])
        elif each.kind == "rate":
            inputs.append((series[-1] - series[-2]) / ((past[-1][0] - past[-2][0]) / 1e6))
        else:
            inputs.append(moment(each.kind.removeprefix("rolling_"), series[-each.length :]))
    return inputs


def moment(kind: str, numbers: list[float]) -> float:
    """`mean`, `std`, `skewness` or `kurtosis` of some numbers."""
    exact = [Fraction(number) for number in numbers]
    mean = sum(exact) / len(exact)
    m2, m3, m4 = (sum((number - mean) ** power for number in exact) / len(exact) for power in (2, 3, 4))
    if kind == "mean":
        return float(mean)
    if kind == "std":
        return math.sqrt(m2)
    if kind == "skewness":
        return math.copysign(math.sqrt(m3**2 / m2**3), m3) if m2 else 0.0
    return float(m4 / m2**2) - 3 if m2 else -3.0


ACTIVATIONS: dict[str, Callable[[float], float]] = {"linear": float, "relu": lambda z: max(z, 0.0), "tanh": math.tanh}


def run_layers(layers: Sequence[Mapping[str, Any]], weights: Mapping[str, Any], window: Window) -> Window:
    """The numpy engine's model, layer by layer; `weights` are nested lists."""
    x: Any = window
    for layer in layers:
        if layer["kind"] == "repeat":
            x = [x] * layer["steps"]
        elif layer["kind"] == "reshape":
            flat = [number for row in x for number in row] if isinstance(x[0], list) else x
            width = layer["shape"][-1]
            x = flat if len(layer["shape"]) == 1 else [flat[i : i + width] for i in range(0, len(flat), width)]
        elif layer["kind"] == "crop":
            x = x[: len(x) - layer["end"]]
        elif layer["kind"] == "sum":
            ends = [run_layers(branch, weights, x) for branch in layer["branches"]]
            x = [[sum(numbers) for numbers in zip(*rows, strict=True)] for rows in zip(*ends, strict=True)]
        elif layer["kind"] == "conv":
            x = _convolve(layer, weights[f"{layer['name']}.kernel"], weights[f"{layer['name']}.bias"], x)
        elif layer["kind"] == "dense":
            kernel, bias = weights[f"{layer['name']}.kernel"], weights[f"{layer['name']}.bias"]
            act = ACTIVATIONS[layer["activation"]]
            rows = [[act(z) for z in _affine([(row, kernel)], bias)] for row in (x if isinstance(x[0], list) else [x])]
            x = rows if isinstance(x[0], list) else rows[0]
        else:
            kernel, recurrent, bias = (weights[f"{layer['name']}.{part}"] for part in ("kernel", "recurrent", "bias"))
            units = len(recurrent)
            hidden, cell, outputs = [0.0] * units, [0.0] * units, []
            for row in x:
                z = _affine([(row, kernel), (hidden, recurrent)], bias)
                i, f, g, o = (z[n * units : (n + 1) * units] for n in range(4))
                cell = [_sigmoid(f[u]) * cell[u] + _sigmoid(i[u]) * math.tanh(g[u]) for u in range(units)]
                hidden = [_sigmoid(o[u]) * math.tanh(cell[u]) for u in range(units)]
                outputs.append(hidden)
            x = outputs if layer["sequences"] else hidden
    return x


def _convolve(layer: Mapping[str, Any], kernel: Any, bias: list[float], x: Window) -> Window:
    """Each step's output is a sum over the steps around it; those beyond the ends count as zeros, one more at the end if odd."""
    outputs, stride, size = [], layer["stride"], len(kernel)
    count = math.ceil(len(x) / stride)
    before = max((count - 1) * stride + size - len(x), 0) // 2
    for n in range(count):
        steps = [(n * stride - before + k, kernel[k]) for k in range(size)]
        products = [(x[step], weights) for step, weights in steps if 0 <= step < len(x)]
        outputs.append([ACTIVATIONS[layer["activation"]](z) for z in _affine(products, bias)])
    return outputs


def _affine(products: list[tuple[list[float], list[list[float]]]], bias: list[float]) -> list[float]:
    outputs = list(bias)
    for inputs, kernel in products:
        for i, value in enumerate(inputs):
            for j in range(len(bias)):
                outputs[j] += value * kernel[i][j]
    return outputs


def _sigmoid(z: float) -> float:
    return (1 + math.tanh(z / 2)) / 2
