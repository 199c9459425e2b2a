"""Thresholds that follow each machine's own normal scores: the state behind the rules that adapt on the device.

One interface for all of them (`Adaptive`), with a leading axis of machines. It is causal: `step` answers with the threshold that
judges the score, and only then learns from it. It learns from normal scores: those up to the threshold, and the one or two in a
row above it that a normal machine has now and then; from the `run`th in a row on it is a fault, and nothing is learned. (With
`run` = 1 nothing above the threshold ever is, as the method was published; then what may be learned ends at the threshold, the
tail looks shorter than it is, and there were 3 to 5 times the false alarms asked for, against 1.1 to 1.7 times with 3:
docs/decisions/0010-thresholds.md.) Since a slow fault is learned too as long as it stays below the threshold, the threshold never
leaves `value / limit` to `value * limit` around the calibrated one: a score above the upper end is always anomalous. What was
learned belongs to the machine, not to its window: it outlasts a gap, and only `reset` forgets it. A rule that does not adapt has
no state here, and the detector keeps its threshold as a plain number.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import Machines, Remembers, holds_anywhere, read
from edge_runtime.manifest import MovingQuantileThreshold, SpotThreshold, Threshold
from edge_runtime.tail import Pareto, fit_pareto

REFIT_EVERY = 8
"""SPOT fits a machine's tail again after so many new excesses: the tail of hundreds hardly changes with one."""


class Adaptive(Protocol):
    """The thresholds of M machines. Another rule that adapts is another class with these methods, and `clean.Remembers`."""

    def levels(self, machine: Machines) -> Any:
        """The threshold (...) that will judge each machine's next score."""

    def step(self, machine: Machines, score: Any) -> Any:
        """The threshold (...) that judges each machine's score (...); then learn from the score."""

    def reset(self, machine: int | slice) -> None:
        """Forget what was learned: the calibrated threshold again."""


def adaptive(threshold: Threshold, machines: int) -> Adaptive | None:
    """The state of a threshold that adapts, for M machines; None for one that does not."""
    if isinstance(threshold, MovingQuantileThreshold):
        return MovingQuantile(threshold, machines)
    if isinstance(threshold, SpotThreshold):
        return Spot(threshold, machines)
    return None


def levels_of(threshold: Threshold, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The threshold (N,) in force at each of one machine's readings in order, from their scores (N,), NaN where not scored."""
    state = adaptive(threshold, 1)
    if state is None:
        return np.full(len(scores), threshold.value)
    return np.array([state.step(0, score) if score == score else state.levels(0) for score in scores.tolist()])


class MovingQuantile(Remembers):
    """The quantile of each machine's normal scores, times a factor.

    A score above the quantile multiplies it by 1 + rate p, one below it by 1 - rate (1 - p), which is at rest where p of the
    scores are below: one number of memory, and no unit (Yazidi & Hammer, "Multiplicative update methods for incremental
    quantile estimation", 2019).
    """

    def __init__(self, threshold: MovingQuantileThreshold, machines: int) -> None:
        share = threshold.percentile / 100
        self._up, self._down = 1 + threshold.rate * share, 1 - threshold.rate * (1 - share)
        self._factor = threshold.factor
        self._value = threshold.value
        self._lowest, self._highest = threshold.value / threshold.limit, threshold.value * threshold.limit
        self._levels = np.full(machines, threshold.value)
        self._run, self._above = threshold.run, np.zeros(machines, np.int64)  # scores in a row above the threshold

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {"levels": self._levels, "above": self._above}

    def reset(self, machine: int | slice) -> None:
        """The calibrated threshold again."""
        self._levels[machine] = self._value
        self._above[machine] = 0

    def levels(self, machine: Machines) -> Any:
        """The threshold (...) that will judge each machine's next score."""
        return read(self._levels, machine)

    def step(self, machine: Machines, score: Any) -> Any:
        """The threshold (...) that judges each machine's score (...); then learn from the score."""
        level: Any = read(self._levels, machine)
        above: Any = (read(self._above, machine) + 1) * (score > level)
        self._above[machine] = above
        is_high: Any = score * self._factor > level
        change = self._down + is_high * (self._up - self._down)
        moved: Any = level + (above < self._run) * (level * change - level)
        if isinstance(moved, float):
            self._levels[machine] = min(max(moved, self._lowest), self._highest)
        else:
            self._levels[machine] = np.minimum(np.maximum(moved, self._lowest), self._highest)
        return level


class Spot(Remembers):
    """Each machine's tail of normal scores, and the score it exceeds with probability q.

    SPOT of Siffer et al. 2017 (section 4.2, algorithm 2): normal scores are counted, and those above the fixed start of the tail
    enter it. Unlike there, lone scores above the threshold are normal ones, only the newest `peaks` excesses are kept, and the
    tail is fitted again after `REFIT_EVERY` of them, so that memory and work are bounded for months.
    """

    def __init__(self, threshold: SpotThreshold, machines: int) -> None:
        self._fitted = threshold
        self._lowest, self._highest = threshold.value / threshold.limit, threshold.value * threshold.limit
        self._levels = np.empty(machines)
        self._scores = np.empty(machines, np.int64)  # normal scores seen, the held-out ones included
        self._exceeded = np.empty(machines, np.int64)  # of these above the start of the tail
        self._kept = np.empty(machines, np.int64)  # excesses in the ring
        self._next = np.empty(machines, np.int64)  # where the next one goes
        self._excesses = np.zeros((machines, threshold.peaks))
        self._above = np.empty(machines, np.int64)  # scores in a row above the threshold
        self._first = np.array(threshold.excesses)
        self.reset(slice(None))

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """As `Remembers` says."""
        return {
            "levels": self._levels,
            "scores": self._scores,
            "exceeded": self._exceeded,
            "kept": self._kept,
            "next": self._next,
            "excesses": self._excesses,
            "above": self._above,
        }

    def reset(self, machine: int | slice) -> None:
        """The calibrated threshold and tail again."""
        fitted, count = self._fitted, len(self._first)
        self._levels[machine] = fitted.value
        self._above[machine] = 0
        self._scores[machine], self._exceeded[machine] = fitted.scores, fitted.exceeded
        self._kept[machine], self._next[machine] = count, count % fitted.peaks
        self._excesses[machine, :count] = self._first

    def levels(self, machine: Machines) -> Any:
        """The threshold (...) that will judge each machine's next score."""
        return read(self._levels, machine)

    def step(self, machine: Machines, score: Any) -> Any:
        """The threshold (...) that judges each machine's score (...); then learn from the score."""
        level: Any = read(self._levels, machine)
        above: Any = (read(self._above, machine) + 1) * (score > level)
        self._above[machine] = above
        is_normal: Any = above < self._fitted.run
        self._scores[machine] += is_normal
        is_peak: Any = is_normal & (score > self._fitted.start)
        if holds_anywhere(is_peak):
            if isinstance(machine, int):
                self._learn(machine, score - self._fitted.start)
            else:
                for each, excess in zip(machine[is_peak].tolist(), score[is_peak].tolist(), strict=True):
                    self._learn(each, excess - self._fitted.start)
        return level

    def _learn(self, machine: int, excess: float) -> None:
        """Take one excess into the machine's tail."""
        fitted, place = self._fitted, self._next.item(machine)
        self._excesses[machine, place] = excess
        self._next[machine] = (place + 1) % fitted.peaks
        self._kept[machine] = kept = min(self._kept.item(machine) + 1, fitted.peaks)
        self._exceeded[machine] += 1
        if (self._exceeded.item(machine) - fitted.exceeded) % REFIT_EVERY == 0:
            tail = fit_pareto(self._excesses[machine, :kept])
            share = self._exceeded.item(machine) / self._scores.item(machine)
            level = tail_level(fitted.start, tail, share, fitted.q)
            self._levels[machine] = min(max(level, self._lowest), self._highest)


def tail_level(start: float, tail: Pareto, share: float, q: float) -> float:
    """The score that is exceeded with probability q, if the tail begins at `start` with a `share` of the scores above it."""
    return start + (tail.quantile(q / share) if q < share else 0.0)
