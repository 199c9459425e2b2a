"""The whole path from readings to verdicts in plain loops: slow, obvious, and written without the runtime.

Only the manifest's dataclasses are shared. Times are microseconds since 1970, a reading's values a list of numbers with NaN
where one is missing, a window a list of T such lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, NamedTuple

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
    missing_for = [0] * C
    window: Window = []
    recent: list[bool] = []  # of the last n scores: above the enter level?
    calm = 0  # scores in a row below the exit level
    smoothed: list[float] | None = None  # contributions
    is_active = False
    quiet_until: float = -math.inf

    for time, row in zip(times, rows, strict=True):
        if last_time is not None and time <= last_time:
            given.append(Answer("gap", None, None, None, "active" if is_active else "quiet"))
            continue

        # Clean.
        is_after_gap = last_time is not None and time - last_time > m.sampling.longest_gap_s * 1e6
        last_time = time
        if is_after_gap:
            held = [None] * C
        is_outside = is_broken = False
        for c in range(C):
            value, channel = row[c], m.channels[c]
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
            if is_good:
                held[c], missing_for[c] = value, 0
            else:
                missing_for[c] += 1
                is_outside = is_outside or not math.isnan(value)
                is_broken = is_broken or held[c] is None or missing_for[c] > m.cleaning.hold_limit

        # Derive, scale, window.
        if is_after_gap or is_broken:
            past, window, recent, calm, smoothed = [], [], [], 0, None
        if not is_broken:
            past.append((time, list(held)))
            if len(past) > max((each.warm_up for each in m.derived), default=0):
                inputs = [held[c] for c in kept] + derived_inputs(m, past)
                scaled = [(inputs[f] - m.scaling.center[f]) / m.scaling.scale[f] for f in range(F)]
                largest = FARTHEST if m.scaling.clip is None else m.scaling.clip
                window.append([min(max(value, -largest), largest) for value in scaled])
                window = window[-T:]
        if is_outside or is_after_gap or is_broken or len(window) < T:
            status = "out_of_range" if is_outside else "gap" if is_after_gap or is_broken else "warming_up"
            given.append(Answer(status, None, None, None, "active" if is_active else "quiet"))
            continue

        # Score.
        reconstruction = reconstruct(window)
        steps = range(T if m.score.last is None else m.score.last)
        contributions = [0.0] * F
        for t in steps:
            errors = [reconstruction[T - 1 - t][c] - window[T - 1 - t][c] for c in range(F)]
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

        # Alarm.
        recent = [*recent, score > m.alarm.enter * m.threshold.value][-m.alarm.n :]
        calm = calm + 1 if score < m.alarm.exit * m.threshold.value else 0
        alarm = "active" if is_active else "quiet"
        if is_active and calm >= m.alarm.n:
            is_active, alarm = False, "cleared"
            quiet_until = time + m.alarm.cooldown_s * 1e6
        elif not is_active and recent[-1] and sum(recent) >= m.alarm.k and time >= quiet_until:
            is_active, alarm = True, "raised"
        given.append(Answer("scored", score, contributions, score > m.threshold.value, alarm))
    return given


def derived_inputs(m: Manifest, past: list[tuple[int, list[float]]]) -> list[float]:
    """What is derived from the readings up to the last one; moments in fractions, which do not round."""
    names = [channel.name for channel in m.channels]
    inputs = []
    for each in m.derived:
        if each.kind == "time_of_day":
            hours = datetime.fromtimestamp(past[-1][0] // 1_000_000, UTC)
            seconds = 3600 * hours.hour + 60 * hours.minute + hours.second + past[-1][0] % 1_000_000 / 1e6
            inputs += [math.sin(2 * math.pi * seconds / 86400), math.cos(2 * math.pi * seconds / 86400)]
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
        elif layer["kind"] == "dense":
            kernel, bias = weights[f"{layer['name']}.kernel"], weights[f"{layer['name']}.bias"]
            act = {"linear": float, "relu": lambda v: max(v, 0.0), "tanh": math.tanh}[layer["activation"]]
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


def _affine(products: list[tuple[list[float], list[list[float]]]], bias: list[float]) -> list[float]:
    outputs = list(bias)
    for inputs, kernel in products:
        for i, value in enumerate(inputs):
            for j in range(len(bias)):
                outputs[j] += value * kernel[i][j]
    return outputs


def _sigmoid(z: float) -> float:
    return (1 + math.tanh(z / 2)) / 2
