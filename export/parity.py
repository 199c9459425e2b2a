"""Does a sealed variant decide as the trained model does?

Compared are the Keras model and the sealed file read back through `Detector`, on sets of prepared windows: held-out
normal ones, disturbed ones, ones whose score lies within 20 % of the threshold, where a small error flips a decision, and those of
labelled readings, where the configuration names some.
What comes before the model, the preparation, is the same code in training and on the device; the golden readings prove it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import ExportError
from edge_runtime.manifest import Manifest, ParityCheck
from edge_runtime.score import Scorer
from training.export_settings import Budget
from training.faults import disturb
from training.labelled import LabelledWindows
from training.metrics import average_precision

FEWEST_DISTURBED = 4000
"""At least so many disturbed windows: one in a thousand decided otherwise is then a few."""
FEWEST_NEAR = 1000
"""At least so many windows near the threshold."""
NEAR = 0.2
"""How near, relative to the threshold."""

Windows = npt.NDArray[np.float32]
"""Prepared windows (B, T, F), scaled."""
Reconstruct = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


class Reference:
    """The trained model, from prepared windows to scores, by the same score as the device."""

    def __init__(self, manifest: Manifest, reconstruct: Reconstruct) -> None:
        self.manifest = manifest
        self.reconstruct = reconstruct
        """The model's output (B, K, F) for `windows` (B, T, F)."""
        self._scorer = Scorer(manifest.score, manifest.output_shape)

    def scores(self, windows: Windows) -> npt.NDArray[np.float64]:
        """The scores (B,) of `windows` (B, T, F)."""
        return self.score(self.reconstruct(windows), windows)

    def score(self, outputs: Windows, windows: Windows) -> npt.NDArray[np.float64]:
        """The scores (B,) of the model's `outputs` (B, K, F) for `windows` (B, T, F)."""
        return self._scorer.step_many(outputs, windows)[0]


@dataclass(frozen=True)
class ParitySet:
    """Windows, and what the trained model makes of them."""

    windows: Windows
    """(B, T, F)."""
    outputs: Windows
    """(B, K, F)."""
    scores: npt.NDArray[np.float64]
    """(B,)."""
    threshold: float
    """What decides over them."""
    labels: npt.NDArray[np.bool_] | None = None
    """(B,): which are anomalous, where somebody knows."""


def parity_sets(
    reference: Reference, normal: Windows, seed: int, labelled: LabelledWindows | None = None
) -> dict[str, ParitySet]:
    """The sets by name, from held-out `normal` windows (B, T, F) and `labelled` ones. Raises `ExportError` if one cannot be made."""
    rng = np.random.default_rng(seed)
    repeats = -(-FEWEST_DISTURBED // len(normal))
    disturbed = _disturb(np.tile(normal, (repeats, 1, 1)), rng)
    sets = {
        "normal": _parity_set(reference, normal),
        "disturbed": _parity_set(reference, disturbed),
        "near_threshold": _parity_set(reference, _near_threshold(reference, normal, rng)),
    }
    if labelled is not None:
        sets["labelled"] = _parity_set(reference, labelled.windows, labelled.labels)
    return sets


def representative_windows(normal: Windows, seed: int) -> Windows:
    """Windows (B, T, F) whose values a quantized model must have room for: held-out normal ones, and others disturbed.

    They are not those of `parity_sets`.
    """
    disturbed = _disturb(normal, np.random.default_rng((seed, 1)))
    return np.concatenate([normal, disturbed])


def _parity_set(reference: Reference, windows: Windows, labels: npt.NDArray[np.bool_] | None = None) -> ParitySet:
    outputs = reference.reconstruct(windows)
    return ParitySet(windows, outputs, reference.score(outputs, windows), reference.manifest.threshold.value, labels)


def _disturb(windows: Windows, rng: np.random.Generator) -> Windows:
    """A copy with one fault in one input of each: in scaled units the normal spread is about 1."""
    return disturb(windows.astype(np.float64), np.ones(windows.shape[2]), rng).astype(np.float32)


def _near_threshold(reference: Reference, normal: Windows, rng: np.random.Generator, most_rounds: int = 6) -> Windows:
    """Windows (B, T, F) whose score lies near the threshold, made from normal ones: disturbed in one channel, or in many."""
    found: list[Windows] = []
    for _ in range(most_rounds):
        sources = normal[rng.integers(len(normal), size=FEWEST_NEAR * 3 // 2)]
        targets = _disturb(sources, rng)
        for _ in range(normal.shape[2] - 1):
            targets[1::2] = _disturb(targets[1::2], rng)
        found.append(_move_to_threshold(reference, sources, targets - sources, rng))
        if sum(map(len, found)) >= FEWEST_NEAR:
            return np.concatenate(found)
    raise ExportError(
        f"parity: expected at least {FEWEST_NEAR} windows within {NEAR:.0%} of the threshold "
        f"{reference.manifest.threshold.value:.4g}, got {sum(map(len, found))}"
    )


def _move_to_threshold(
    reference: Reference, normal: Windows, direction: Windows, rng: np.random.Generator, steps: int = 14
) -> Windows:
    """Those of `normal + amount * direction` (B, T, F) that come near the threshold, by bisection on the amount."""
    threshold = reference.manifest.threshold.value
    wanted = threshold * rng.uniform(1 - NEAR, 1 + NEAR, len(normal))

    def moved(amount: npt.NDArray[np.float64]) -> Windows:
        return (normal + amount[:, None, None] * direction).astype(np.float32)

    low, high = np.zeros(len(normal)), np.ones(len(normal))
    for _ in range(12):
        is_below = reference.scores(moved(high)) < wanted
        if not is_below.any():
            break
        high = np.where(is_below, 2 * high, high)
    for _ in range(steps):
        middle = (low + high) / 2
        is_above = reference.scores(moved(middle)) > wanted
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    windows = moved(high)
    return windows[np.abs(reference.scores(windows) / threshold - 1) <= NEAR]


def check_parity(detector: Detector, sets: Mapping[str, ParitySet]) -> dict[str, ParityCheck]:
    """Compare the sealed file, loaded as `detector`, with the trained model on each set; its decisions are by its own threshold."""
    scores = {name: detector.score_windows(each.windows)[0] for name, each in sets.items()}
    checks = {name: _compare(detector, each, scores[name]) for name, each in sets.items()}
    joined = np.concatenate([sets["normal"].scores, sets["disturbed"].scores])
    is_disturbed = np.arange(len(joined)) >= len(sets["normal"].scores)
    got = np.concatenate([scores["normal"], scores["disturbed"]])
    checks["disturbed"] = replace(checks["disturbed"], average_precision=_change(is_disturbed, got, joined))
    for name, each in sets.items():
        if each.labels is not None:
            change = _change(each.labels, scores[name], each.scores)
            checks[name] = replace(checks[name], average_precision=change)
    return checks


def _compare(detector: Detector, expected: ParitySet, scores: npt.NDArray[np.float64]) -> ParityCheck:
    starts = range(0, len(scores), detector.batch)
    outputs = np.concatenate([detector.engine.run(expected.windows[i : i + detector.batch]) for i in starts])
    threshold = detector.manifest.threshold.value
    return ParityCheck(
        windows=len(scores),
        reconstruction=float(np.abs(outputs - expected.outputs).max())
        / max(1.0, float(np.abs(expected.outputs).max())),
        score=float((np.abs(scores - expected.scores) / np.maximum(expected.scores, np.finfo(float).tiny)).max()),
        flipped=int(((scores > threshold) != (expected.scores > expected.threshold)).sum()),
    )


def _change(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]
) -> float | None:
    """By how much the average precision differs; None without anomalies."""
    got, before = average_precision(labels, scores), average_precision(labels, expected)
    return None if got is None or before is None else abs(got - before)


def fitting_threshold(reference: Reference, detector: Detector, normal: Windows, seed: int) -> float:
    """The threshold by which a variant's scores decide most nearly as the trained model's do by its own.

    That is the trained model's times the median ratio of the two scores, on windows near the threshold made for this alone, from held-out
    `normal` ones (B, T, F). Raises `ExportError` if they cannot be made.
    """
    windows = _near_threshold(reference, normal, np.random.default_rng((seed, 2)))
    ratio = np.median(detector.score_windows(windows)[0] / reference.scores(windows))
    return reference.manifest.threshold.value * float(ratio)


def flips_over_budget(checks: Mapping[str, ParityCheck], budget: Budget) -> bool:
    """Whether too many decisions flipped, and nothing else is over budget."""
    generous = replace(budget, flipped=1.0, flipped_near=1.0)
    return over_budget(checks, generous) is None and over_budget(checks, budget) is not None


def over_budget(checks: Mapping[str, ParityCheck], budget: Budget) -> str | None:
    """What is over budget, for people; None if nothing is."""
    for name, check in checks.items():
        where = f"on {check.windows} {name.replace('_', ' ')} windows"
        if not check.reconstruction <= budget.reconstruction:
            return f"reconstruction off by {check.reconstruction:.2g} (allowed {budget.reconstruction:g}) {where}"
        if not check.score <= budget.score:
            return f"score off by {check.score:.2%} (allowed {budget.score:.2%}) {where}"
        allowed = {"normal": budget.flipped, "near_threshold": budget.flipped_near}.get(name, 1.0)
        if not check.flipped <= allowed * check.windows:
            return f"{check.flipped} decisions flipped (allowed {allowed:.1%}) {where}"
        if check.average_precision is not None and not check.average_precision <= budget.average_precision:
            return (
                f"average precision off by {check.average_precision:.2g} (allowed {budget.average_precision:g}) {where}"
            )
    faulty = [check for name, check in checks.items() if name in ("disturbed", "labelled")]
    flipped, windows = sum(check.flipped for check in faulty), sum(check.windows for check in faulty)
    if not flipped <= budget.flipped * windows:  # together: a few hundred labelled ones cannot tell one in a thousand
        return f"{flipped} decisions flipped (allowed {budget.flipped:.1%}) on {windows} disturbed or labelled windows"
    return None
