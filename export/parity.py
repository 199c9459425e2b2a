"""Does a sealed variant decide as the trained model does?

Compared are the Keras model and the sealed file read back through `Detector`, on three sets of prepared windows: held-out
normal ones, disturbed ones, and ones whose score lies within 20 % of the threshold, where a small error flips a decision.
What comes before the model, the preparation, is the same code in training and on the device; the golden readings prove it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import ExportError
from edge_runtime.manifest import Manifest, ParityCheck
from edge_runtime.score import Scorer
from training.faults import disturb

FEWEST_DISTURBED = 500
"""At least so many disturbed windows."""
FEWEST_NEAR = 1000
"""At least so many windows near the threshold."""
NEAR = 0.2
"""How near, relative to the threshold."""

Windows = npt.NDArray[np.float32]
"""Prepared windows (B, T, F), scaled."""
Reconstruct = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Budget:
    """The largest differences from the trained model that a variant may have."""

    reconstruction: float
    """Of a reconstructed value, relative to the largest one (at least 1 scaled unit)."""
    score: float
    """Of a score, relative."""
    flipped: float
    """Share of normal, and of disturbed, windows decided differently."""
    flipped_near: float
    """Share of windows near the threshold decided differently."""


FLOAT32 = Budget(reconstruction=1e-3, score=1e-3, flipped=0.0, flipped_near=0.005)
INT8_WEIGHTS = Budget(reconstruction=0.25, score=0.05, flipped=0.001, flipped_near=0.02)


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


def parity_windows(reference: Reference, normal: Windows, seed: int) -> dict[str, Windows]:
    """The three sets of windows, from held-out `normal` ones (B, T, F). Raises `ExportError` if a set cannot be made."""
    rng = np.random.default_rng(seed)
    repeats = -(-FEWEST_DISTURBED // len(normal))
    disturbed = _disturb(np.tile(normal, (repeats, 1, 1)), rng)
    return {"normal": normal, "disturbed": disturbed, "near_threshold": _near_threshold(reference, normal, rng)}


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


def check_parity(reference: Reference, detector: Detector, windows: Mapping[str, Windows]) -> dict[str, ParityCheck]:
    """Compare the sealed file, loaded as `detector`, with the trained model on each set of windows (B, T, F)."""
    return {name: _compare(reference, detector, each) for name, each in windows.items()}


def _compare(reference: Reference, detector: Detector, windows: Windows) -> ParityCheck:
    expected = reference.reconstruct(windows)
    difference = np.abs(detector.engine.run(windows) - expected)
    scores, expected_scores = detector.score_windows(windows)[0], reference.score(expected, windows)
    threshold = reference.manifest.threshold.value
    return ParityCheck(
        windows=len(windows),
        reconstruction=float(difference.max()) / max(1.0, float(np.abs(expected).max())),
        score=float((np.abs(scores - expected_scores) / expected_scores).max()),
        flipped=int(((scores > threshold) != (expected_scores > threshold)).sum()),
    )


def over_budget(checks: Mapping[str, ParityCheck], budget: Budget) -> str | None:
    """What is over budget, for people; None if nothing is."""
    for name, check in checks.items():
        allowed = budget.flipped_near if name == "near_threshold" else budget.flipped
        where = f"on {check.windows} {name.replace('_', ' ')} windows"
        if not check.reconstruction <= budget.reconstruction:
            return f"reconstruction off by {check.reconstruction:.2g} (allowed {budget.reconstruction:g}) {where}"
        if not check.score <= budget.score:
            return f"score off by {check.score:.2%} (allowed {budget.score:.2%}) {where}"
        if not check.flipped <= allowed * check.windows:
            return f"{check.flipped} decisions flipped (allowed {allowed:.1%}) {where}"
    return None
