"""Does a sealed variant decide as the trained model does?

Compared are the Keras model and the sealed file read back through `Detector`, from raw readings on, on three sets of
windows: held-out normal ones, disturbed ones, and ones whose score lies within 20 % of the threshold, where a small
error flips a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.detector import Detector
from edge_runtime.errors import ExportError
from edge_runtime.manifest import Manifest, ParityCheck
from edge_runtime.readings import SCORED
from edge_runtime.scale import Scale
from edge_runtime.score import Scorer
from training.faults import disturb

FEWEST_DISTURBED = 500
"""At least so many disturbed windows."""
FEWEST_NEAR = 1000
"""At least so many windows near the threshold."""
NEAR = 0.2
"""How near, relative to the threshold."""

Windows = npt.NDArray[np.float64]
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
    """The trained model, from raw windows to scores, by the same scaling and score as the device."""

    def __init__(self, manifest: Manifest, reconstruct: Reconstruct) -> None:
        self.manifest = manifest
        self._reconstruct = reconstruct
        self._scale = Scale(manifest.scaling)
        self._scorer = Scorer(manifest.score, manifest.window.length, len(manifest.channels))

    def scaled(self, windows: Windows) -> npt.NDArray[np.float32]:
        """What the model sees of raw `windows` (B, T, C)."""
        return self._scale.apply(windows).astype(np.float32)

    def reconstruct(self, windows: Windows) -> npt.NDArray[np.float32]:
        """The model's reconstruction (B, T, C) of raw `windows` (B, T, C), in scaled units."""
        return self._reconstruct(self.scaled(windows))

    def scores(self, windows: Windows) -> npt.NDArray[np.float64]:
        """The scores (B,) of raw `windows` (B, T, C)."""
        scaled = self.scaled(windows)
        return self._scorer.step_many(self._reconstruct(scaled), scaled)[0]


def parity_windows(reference: Reference, normal: Windows, seed: int) -> dict[str, Windows]:
    """The three sets of raw windows, from held-out `normal` ones (B, T, C). Raises `ExportError` if a set cannot be made."""
    rng = np.random.default_rng(seed)
    normal = _in_range(reference.manifest, normal)  # one that lies on a limit may have been rounded over it
    spread = np.array(reference.manifest.scaling.scale)
    repeats = -(-FEWEST_DISTURBED // len(normal))
    disturbed = _in_range(reference.manifest, disturb(np.tile(normal, (repeats, 1, 1)), spread, rng))
    return {"normal": normal, "disturbed": disturbed, "near_threshold": _near_threshold(reference, normal, rng)}


def _in_range(manifest: Manifest, windows: Windows) -> Windows:
    """Limit windows to the channels' valid ranges: readings outside are never scored."""
    low = [-np.inf if channel.low is None else channel.low for channel in manifest.channels]
    high = [np.inf if channel.high is None else channel.high for channel in manifest.channels]
    return np.clip(windows, low, high)


def _near_threshold(reference: Reference, normal: Windows, rng: np.random.Generator, most_rounds: int = 6) -> Windows:
    """Windows (B, T, C) whose score lies near the threshold, made from normal ones: disturbed in one channel, or in many."""
    spread = np.array(reference.manifest.scaling.scale)
    found: list[Windows] = []
    for _ in range(most_rounds):
        sources = normal[rng.integers(len(normal), size=FEWEST_NEAR * 3 // 2)]
        targets = disturb(sources, spread, rng)
        for _ in range(normal.shape[2] - 1):
            targets[1::2] = disturb(targets[1::2], spread, rng)
        found.append(_move_to_threshold(reference, sources, targets - sources, rng))
        if sum(map(len, found)) >= FEWEST_NEAR:
            return np.concatenate(found)
    raise ExportError(
        f"parity: expected at least {FEWEST_NEAR} windows within {NEAR:.0%} of the threshold "
        f"{reference.manifest.threshold.value:.4g}, got {sum(map(len, found))}: are the channels' valid ranges too narrow?"
    )


def _move_to_threshold(
    reference: Reference, normal: Windows, direction: Windows, rng: np.random.Generator, steps: int = 24
) -> Windows:
    """Those of `normal + amount * direction` (B, T, C) that come near the threshold, by bisection on the amount."""
    threshold = reference.manifest.threshold.value
    wanted = threshold * rng.uniform(1 - NEAR, 1 + NEAR, len(normal))

    def moved(amount: npt.NDArray[np.float64]) -> Windows:
        return _in_range(reference.manifest, normal + amount[:, None, None] * direction)

    low, high = np.zeros(len(normal)), np.ones(len(normal))
    for _ in range(12):
        high = np.where(reference.scores(moved(high)) < wanted, 2 * high, high)
    for _ in range(steps):
        middle = (low + high) / 2
        is_above = reference.scores(moved(middle)) > wanted
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    windows = moved(high)
    return windows[np.abs(reference.scores(windows) / threshold - 1) <= NEAR]


def check_parity(
    reference: Reference, open_detector: Callable[[int], Detector], windows: Mapping[str, Windows]
) -> dict[str, ParityCheck]:
    """Compare the sealed file with the trained model on each set of raw windows (B, T, C).

    `open_detector(machines)` loads the sealed file. Raises `ExportError` if it does not score every window.
    """
    return {name: _compare(reference, open_detector(len(each)), each) for name, each in windows.items()}


def _compare(reference: Reference, detector: Detector, windows: Windows) -> ParityCheck:
    expected = reference.reconstruct(windows)
    difference = np.abs(detector.engine.run(reference.scaled(windows)) - expected)
    scores, expected_scores = _detector_scores(detector, windows), reference.scores(windows)
    detector.close()
    threshold = reference.manifest.threshold.value
    return ParityCheck(
        windows=len(windows),
        reconstruction=float(difference.max()) / max(1.0, float(np.abs(expected).max())),
        score=float((np.abs(scores - expected_scores) / expected_scores).max()),
        flipped=int(((scores > threshold) != (expected_scores > threshold)).sum()),
    )


def _detector_scores(detector: Detector, windows: Windows) -> npt.NDArray[np.float64]:
    """Feed each window (B, T, C) to a machine of its own, reading by reading."""
    ids = np.arange(len(windows))
    period = detector.manifest.sampling.period_s
    for step in range(windows.shape[1]):
        verdicts = detector.update_many(ids, windows[:, step], step * period)
    if not (verdicts.status_codes == SCORED).all():
        raise ExportError("parity: expected every window to be scored, some were not")
    return verdicts.scores


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
