"""Thresholds in plain loops, one machine, one score at a time: what `edge_runtime/adapt.py` must do, written without it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


class Level:
    """The threshold in force, of any rule."""

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted
        self.value = fitted.value
        self.above = 0  # scores in a row above the threshold
        if fitted.kind == "spot":
            self.excesses = list(fitted.excesses)
            self.scores, self.exceeded = fitted.scores, fitted.exceeded

    def deciding(self) -> list[float]:
        """The levels that decide what becomes of the next score; the first is the threshold."""
        if self.fitted.kind == "moving_quantile":
            return [self.value, self.value / self.fitted.factor]
        return [self.value, self.fitted.start] if self.fitted.kind == "spot" else [self.value]

    def learn(self, score: float) -> None:
        """Take a score that has been judged."""
        self.above = self.above + 1 if score > self.value else 0
        if self.fitted.kind not in ("moving_quantile", "spot") or self.above >= self.fitted.run:
            return
        if self.fitted.kind == "moving_quantile":
            self._learn_quantile(score)
        else:
            self._learn_tail(score)

    def _learn_quantile(self, score: float) -> None:
        quantile, share = self.value / self.fitted.factor, self.fitted.percentile / 100
        if score > quantile:
            quantile += self.fitted.rate * share * quantile
        else:
            quantile -= self.fitted.rate * (1 - share) * quantile
        self._set(self.fitted.factor * quantile)

    def _learn_tail(self, score: float) -> None:
        self.scores += 1
        if score <= self.fitted.start:
            return
        self.exceeded += 1
        self.excesses = [*self.excesses, score - self.fitted.start][-self.fitted.peaks :]
        if (self.exceeded - self.fitted.exceeded) % 8 == 0:
            shape, scale = most_likely_tail(self.excesses)
            probability = self.fitted.q * self.scores / self.exceeded
            excess = 0.0
            if probability < 1:
                excess = scale * (-math.log(probability) if shape == 0 else (probability**-shape - 1) / shape)
            self._set(self.fitted.start + excess)

    def _set(self, value: float) -> None:
        self.value = min(max(value, self.fitted.value / self.fitted.limit), self.fitted.value * self.fitted.limit)


def most_likely_tail(excesses: Sequence[float]) -> tuple[float, float]:
    """Shape (-0.5 to 1) and scale of the generalized Pareto distribution, by looking everywhere and then closer."""
    mean, largest = sum(excesses) / len(excesses), max(excesses)
    places = [-(0.9**i) * 0.999999 / largest for i in range(150)] + [1e3 * 0.9**i / mean for i in range(150)]
    places.sort()
    best = (-math.inf, 0.0, mean)
    for _ in range(6):
        found = [_at(place, excesses, mean) for place in places]
        index = max(range(len(found)), key=lambda i: found[i][0])
        best = max(best, found[index])
        low, high = places[max(index - 1, 0)], places[min(index + 1, len(places) - 1)]
        places = [low + (high - low) * i / 20 for i in range(21)]
    return best[1], best[2]


def _at(ratio: float, excesses: Sequence[float], mean: float) -> tuple[float, float, float]:
    """The mean log-likelihood, the shape and the scale, at the best shape for a ratio of shape to scale."""
    if abs(ratio) * mean < 1e-7:
        return -math.log(mean) - 1, 0.0, mean
    shape = sum(math.log1p(ratio * excess) for excess in excesses) / len(excesses)
    scale = shape / ratio
    return (-math.log(scale) - shape - 1 if -0.5 <= shape <= 1 else -math.inf), shape, scale
