"""`family = "auto"`: the cheapest of several models that detects injected faults as well as the best of them.

Faults of every kind (`faults.py`) are put into the early-stopping part's readings, which is held out from fitting; the
calibration part stays out of it, but for the threshold that it gives each candidate. Each candidate scores the same streams
as the device does, with the faults and without. A reading counts as anomalous if a fault is at work in it; the normal ones are the
same readings without the faults: how long a fault that has passed is felt depends on the window, the grid, derived inputs and
smoothing, and is no false alarm. In each of `REPEATS` repetitions there is one stream for each fault, and the two figures of a
repetition are means over the faults:

- the average precision of the scores;
- the net recall: the share of the anomalous readings above the candidate's own threshold, less that of the normal ones, or a
  threshold that is too low would win (Youden, "Index for rating diagnostic tests", 1950).

**The rule.** The best candidate has the highest sum of the two figures' means over the repetitions. A candidate is as good if
in neither figure it lies behind the best by more than `TOLERANCE`, or one standard error of the mean difference over the
repetitions if that is more (the one-standard-error rule of Breiman et al. 1984, section 3.4.3, on paired differences). Of those
the one with the fewest multiply-adds a window is kept, then with the fewest parameters, then the one named first.

The standard error is that of the injected faults; it does not know that other held-out readings would be other ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from edge_runtime.readings import Verdicts
from training.data import Stretch
from training.families import Model
from training.faults import faults_for, inject
from training.metrics import average_precision

REPEATS = 8
"""How often faults are injected anew."""
SIZES = (1.0, 8.0)
"""Sizes of the faults in normal spreads of their channel, drawn evenly."""
STREAM_ROWS = 512
"""Rows of a stream, or eight window lengths if that is more; less if the part has no such stretch."""
TOLERANCE = 0.01
"""A difference in a figure up to this counts as none."""


class Scores(Protocol):
    """What scores a table of readings: the device's `Detector`."""

    def score(self, values: npt.ArrayLike, times: npt.NDArray[np.datetime64]) -> Verdicts:
        """Verdicts on readings (N, C) at the times (N,)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was fitted and calibrated, to choose from."""

    model: Model
    detector: Scores
    parameters: int
    multiply_adds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two candidates, in the two figures that the rule looks at."""

    average_precision: float
    net_recall: float
    """Recall less false alarms."""


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """What a candidate cost and found."""

    model: Model
    """Its family and settings."""
    parameters: int
    """How many trained numbers it has."""
    multiply_adds: int
    """What a window costs."""
    seconds: float
    """Spent on fitting it."""
    average_precision: float
    """Of the scores of readings with injected faults; the mean over faults and repetitions."""
    recall: float
    """The share of faulty readings above its threshold; the mean likewise."""
    false_alarms: float
    """The share of normal readings above its threshold: of the same streams without the faults."""
    by_fault: dict[str, float]
    """The average precision for each fault."""
    behind: Difference
    """How far it lies behind the best; negative where it is ahead."""
    allowed: Difference
    """How far it may, by the rule."""

    @property
    def is_as_good(self) -> bool:
        """Whether it detects as well as the best."""
        behind, allowed = self.behind, self.allowed
        return behind.average_precision <= allowed.average_precision and behind.net_recall <= allowed.net_recall


@dataclass(frozen=True, slots=True)
class Selection:
    """Which candidate was kept, and why."""

    chosen: int
    """Its place in `candidates`."""
    best: int
    """The place of the one that detects best."""
    repeats: int
    """How often faults were injected."""
    faulty_readings: int
    """How many readings with a fault were scored by each candidate."""
    candidates: tuple[CandidateResult, ...]
    """In the order of the configuration."""

    @property
    def model(self) -> Model:
        """The family and settings that were kept."""
        return self.candidates[self.chosen].model

    @property
    def reason(self) -> str:
        """Why that one, for people."""
        chosen, best = self.candidates[self.chosen], self.candidates[self.best]
        as_good = sum(each.is_as_good for each in self.candidates)
        if self.chosen == self.best:
            others = "none of the others is as good" if as_good == 1 else f"the {as_good - 1} as good are not cheaper"
            return f"{chosen.model.family} detects best, and {others}"
        return (
            f"{chosen.model.family} is the cheapest of {as_good} that detect as well as {best.model.family}, the best: "
            f"{chosen.multiply_adds:,} multiply-adds a window, not {best.multiply_adds:,}"
        )


def check_room(held_out: Sequence[Stretch], window_length: int) -> None:
    """Raise `TrainingError` unless faults can be injected into one of the early-stopping part's stretches."""
    rows, needed = max(len(stretch.times) for stretch in held_out), 3 * window_length
    if rows < needed:
        raise TrainingError(
            f"the early_stopping part: expected at least {needed} unbroken rows (three windows) for the injected faults that "
            f"auto chooses by, got {rows}: use more readings, a larger share or a shorter window"
        )


def select(candidates: Sequence[Candidate], held_out: Sequence[Stretch], window_length: int, seed: int) -> Selection:
    """Choose among candidates (one or more) by faults injected into the early-stopping part's stretches.

    Raises `TrainingError` if there is no room for faults, or if no reading with one could be scored.
    """
    check_room(held_out, window_length)
    rows = max(STREAM_ROWS, 8 * window_length)
    spread = _spread(candidates[0].detector, held_out, rows)
    faults = faults_for(int(np.count_nonzero(spread)))
    rng = np.random.default_rng(seed)
    figures = np.full((len(candidates), REPEATS, len(faults), 3), np.nan)
    faulty_readings = 0
    for repeat in range(REPEATS):
        for number, fault in enumerate(faults):
            stretch = _draw_stretch(held_out, rows, 3 * window_length, rng)
            stream = inject(
                stretch.values, spread, rng, fault, size=SIZES, duration=window_length, between=window_length
            )
            for i, each in enumerate(candidates):
                times = stretch.times.view("datetime64[us]")
                verdicts = each.detector.score(stream.values, times)
                figures[i, repeat, number] = _figures(
                    verdicts, stream.labels, each.detector.score(stretch.values, times)
                )
            faulty_readings += int(np.count_nonzero(verdicts.scored & stream.labels))
    is_judged = np.isfinite(figures).all(
        axis=(0, 1, 3)
    )  # a fault that leaves nothing to score is the cleaning's to find
    if not is_judged.any():
        raise TrainingError("the early_stopping part: expected readings with injected faults to be scored, got none")
    names = [fault for fault, judged in zip(faults, is_judged, strict=True) if judged]
    return choose(candidates, figures[:, :, is_judged], names, faulty_readings)


def choose(
    candidates: Sequence[Candidate], figures: npt.NDArray[np.float64], faults: Sequence[str], faulty_readings: int
) -> Selection:
    """Apply the rule to `figures` (candidates, repetitions, faults, 3): average precision, recall, share of false alarms."""
    repeated = figures.mean(axis=2)
    means = repeated.mean(axis=1)
    judged = np.stack((repeated[..., 0], repeated[..., 1] - repeated[..., 2]), axis=-1)  # (candidates, repetitions, 2)
    best = int(np.argmax(judged.mean(axis=1).sum(axis=1)))
    differences = judged[best] - judged
    behind = differences.mean(axis=1)
    errors = differences.std(axis=1, ddof=1) / np.sqrt(differences.shape[1])
    allowed = np.maximum(errors, TOLERANCE)
    by_fault = figures[..., 0].mean(axis=1)
    results = tuple(
        CandidateResult(
            model=each.model,
            parameters=each.parameters,
            multiply_adds=each.multiply_adds,
            seconds=round(each.seconds, 3),
            average_precision=float(means[i, 0]),
            recall=float(means[i, 1]),
            false_alarms=float(means[i, 2]),
            by_fault=dict(zip(faults, by_fault[i].tolist(), strict=True)),
            behind=Difference(*behind[i].tolist()),
            allowed=Difference(*allowed[i].tolist()),
        )
        for i, each in enumerate(candidates)
    )
    as_good = [i for i, each in enumerate(results) if each.is_as_good]
    chosen = min(as_good, key=lambda i: (results[i].multiply_adds, results[i].parameters, i))
    return Selection(chosen, best, figures.shape[1], faulty_readings, results)


def _spread(detector: Scores, held_out: Sequence[Stretch], rows: int) -> npt.NDArray[np.float64]:
    """The standard deviation (C,) of the channels in readings that get a score, at most `rows` of each stretch."""
    found = []
    for stretch in held_out:
        values, times = stretch.values[-rows:], stretch.times[-rows:]
        found.append(values[detector.score(values, times.view("datetime64[us]")).scored])
    columns = [column[np.isfinite(column)] for column in np.concatenate(found).T]
    return np.array([column.std() if len(column) else 0.0 for column in columns])


def _draw_stretch(held_out: Sequence[Stretch], rows: int, fewest: int, rng: np.random.Generator) -> Stretch:
    """At most `rows` readings in a row from one of the stretches that have the `fewest`, drawn by how long they are."""
    long_enough = [stretch for stretch in held_out if len(stretch.times) >= fewest]
    lengths = np.array([len(stretch.times) for stretch in long_enough])
    stretch = long_enough[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
    first = int(rng.integers(max(0, len(stretch.times) - rows) + 1))
    return Stretch(stretch.times[first : first + rows], stretch.values[first : first + rows])


def _figures(verdicts: Verdicts, labels: npt.NDArray[np.bool_], undisturbed: Verdicts) -> tuple[float, float, float]:
    """Average precision, recall and share of false alarms; NaN if there is nothing faulty or nothing normal to judge.

    `labels` (N,): in which readings of `verdicts` a fault is at work; `undisturbed`: the verdicts on the same ones without faults.
    """
    faulty, normal = verdicts.scored & labels, undisturbed.scored
    if not faulty.any() or not normal.any():
        return np.nan, np.nan, np.nan
    scores = np.concatenate((verdicts.scores[faulty], undisturbed.scores[normal]))
    precision = average_precision(np.arange(len(scores)) < faulty.sum(), scores) or 0.0
    return precision, float(verdicts.anomalous[faulty].mean()), float(undisturbed.anomalous[normal].mean())
