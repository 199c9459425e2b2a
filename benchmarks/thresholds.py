"""Are thresholds worth what they promise? On made-up scores, of which there are enough to count: python -m benchmarks.thresholds

Scores with a Gaussian, an exponential and a heavy tail (Student's t with 4 degrees of freedom), independent and strongly
correlated over time. A budget is fitted to 500 or 3,000 of them and its alarms are counted on 300,000; a threshold that adapts
begins with 2,000 and reads 20,000. `docs/decisions/0010-thresholds.md` has the numbers. Takes about a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from edge_runtime.adapt import levels_of
from edge_runtime.errors import TrainingError
from edge_runtime.false_alarms import AlarmLevels, AlarmRate
from edge_runtime.manifest import AlarmPolicy
from edge_runtime.threshold import fit_threshold
from edge_runtime.threshold_rules import MovingQuantileRule, SpotRule, TailRule, ThresholdRule

Scores = npt.NDArray[np.float64]

TAILS, MEMORIES = ("gauss", "exponential", "t4"), (0.0, 0.9)
POLICIES = (AlarmPolicy(1, 1), AlarmPolicy(3, 5))
RULES: dict[str, ThresholdRule] = {
    "evt": TailRule("evt", 1e-3),
    "spot, run 1": SpotRule("spot", 1e-3, run=1, limit=100),
    "spot, run 3": SpotRule("spot", 1e-3, limit=100),
    "spot": SpotRule("spot", 1e-3),
    "moving_quantile": MovingQuantileRule("moving_quantile"),
}


def draw(tail: str, memory: float, count: int, rng: np.random.Generator) -> Scores:
    """Scores (N,), all above zero."""
    width = {"gauss": 1, "exponential": 2, "t4": 5}[tail]
    noise = rng.normal(size=(count, width))
    if memory:
        noise *= np.sqrt(1 - memory**2)
        for row in range(1, count):
            noise[row] += memory * noise[row - 1]
    if tail == "gauss":
        return np.maximum(5 + noise[:, 0], 1e-9)
    if tail == "exponential":
        return np.asarray((noise**2).sum(axis=1) / 2)
    return np.asarray(np.abs(noise[:, 0]) / np.sqrt((noise[:, 1:] ** 2).mean(axis=1)))


def budgets(confidence: float, times: float, repeats: int = 10) -> Iterator[tuple[float, bool]]:
    """Alarms counted over alarms allowed, and whether the 95 % interval held them, for budgets of `times` the days there were."""
    for tail, memory, policy in product(TAILS, MEMORIES, POLICIES):
        rng = np.random.default_rng(1)
        truth = AlarmLevels([draw(tail, memory, 300_000, rng)], policy)
        for length, _ in product((500, 3000), range(repeats)):
            rate = AlarmRate([draw(tail, memory, length, rng)], float(length), policy)
            if not rate.is_known or times > 3 / rate.dispersion:
                continue
            threshold = rate.threshold_for(1 / (times * length), confidence)
            counted, expected = len(truth.clusters(policy.enter * threshold)[0]) / 300_000, rate.at(threshold)
            assert expected.low is not None
            assert expected.high is not None
            yield counted * times * length, expected.low <= counted <= expected.high


def false_alarms(rule: ThresholdRule, tail: str, memory: float, repeats: int = 6) -> float:
    """Scores above the threshold in a thousand normal ones."""
    found = []
    for seed in range(repeats):
        scores = draw(tail, memory, 22_000, np.random.default_rng(seed))
        threshold = fit_threshold(rule, [scores[:2000]], 1.0, AlarmPolicy())
        found.append((scores[2000:] > levels_of(threshold, scores[2000:])).mean())
    return 1000 * float(np.mean(found))


def drift(rule: ThresholdRule, rows: int, repeats: int = 4) -> float:
    """Share of the last tenth that is anomalous, of a score that rises by six standard deviations over so many rows."""
    found = []
    for seed in range(repeats):
        scores = draw("gauss", 0.5, 4000 + rows, np.random.default_rng(seed)) - 4
        threshold = fit_threshold(rule, [np.maximum(scores[:2000], 1e-9)], 1.0, AlarmPolicy())
        rising = np.maximum(scores[2000:] + np.concatenate((np.zeros(2000), np.linspace(0, 6, rows))), 1e-9)
        found.append((rising > levels_of(threshold, rising))[-rows // 10 :].mean())
    return float(np.mean(found))


def main() -> None:
    """Print three tables."""
    print("budget: alarms counted over alarms allowed (1 or less is kept)")
    print("confidence  days asked/had  fits  median  90 % are below  kept  95 % interval holds the truth")
    for confidence, times in product((0.5, 0.9), (0.3, 1.0, 3.0)):
        ratios, covered = np.array(list(budgets(confidence, times))).T
        print(
            f"{confidence:10}  {times:14}  {len(ratios):4}  {np.median(ratios):6.2f}  {np.quantile(ratios, 0.9):14.2f}  "
            f"{(ratios <= 1).mean():4.2f}  {covered.mean():4.2f}",
            flush=True,
        )
    print("\nscores above the threshold in a thousand normal ones (q asks for 1)")
    columns = list(product(TAILS, MEMORIES))
    print(f"{'rule':16}" + "".join(f"{f'{tail} {memory:g}':>16}" for tail, memory in columns))
    for name, rule in RULES.items():
        print(f"{name:16}" + "".join(f"{false_alarms(rule, *column):16.2f}" for column in columns), flush=True)
    print("\nslow fault, six standard deviations: share of its last tenth that is anomalous")
    print(f"{'rule':16}" + "".join(f"{rows:>10}" for rows in (200, 2000, 20_000)))
    for name, rule in RULES.items():
        try:
            print(f"{name:16}" + "".join(f"{drift(rule, rows):10.2f}" for rows in (200, 2000, 20_000)), flush=True)
        except TrainingError as fault:
            print(f"{name:16}{fault}")


if __name__ == "__main__":
    main()
