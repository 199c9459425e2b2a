"""Int8 that keeps its decisions: calibration of a flat program's ranges, and fine-tuning with the rounding of the int8 kernels.

Fine-tuned is the distance to the trained model's own output (distillation: Hinton et al. 2015), not to the readings, on normal
windows and on ones with faults and of other sizes, because a decision is about those. Per window it counts in relation to the window's residual:
what matters is the score's relative error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.faults import disturb
from training.flat import Array, Program, evaluate
from training.flatten_int8 import flatten_int8, role
from training.quantization import Quantization, evaluate_int8, open_roles, read_quantization, write_quantization
from training.quantize_graph import RoundedGraph

__all__ = [
    "Quantization",
    "QuantizationGain",
    "QuantizeRule",
    "calibrate_ranges",
    "fine_tune",
    "plain",
    "read_quantization",
    "teaching_windows",
    "write_quantization",
]

TAILS = (0.02, 99.98)
"""The percentiles of a tensor that plain calibration takes for its range: the few numbers beyond are clipped."""
SATURATED = {"gates": 6.0, "candidate_in": 3.3, "new": 1.0, "kept": 4.0, "cell": 4.0}
"""Beyond this, by the last part of the role, the activation that follows is flat within half a step of int8 or little more: a wider range
would only make the steps coarser."""
MOST_WINDOWS = 1000
"""No more normal windows than these are calibrated or fine-tuned with."""


@dataclass(frozen=True, slots=True)
class QuantizeRule:
    """How a trained LSTM is fine-tuned for int8."""

    steps: int = 400
    """Of the optimizer."""
    batch_size: int = 64
    learning_rate: float = 0.001
    """At the start; it falls to zero along half a cosine."""
    float_cell: bool = False
    """Whether the cells of the LSTM layers stay float32: closer to the trained model, and slower."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of 1 or more, got {getattr(self, name)}")
        if not 0 < self.learning_rate <= 0.1:
            raise ValueError(f"expected a learning_rate above 0 and up to 0.1, got {self.learning_rate:g}")


@dataclass(frozen=True, slots=True)
class QuantizationError:
    """The difference of int8 from the trained model on held-out windows, half of them disturbed."""

    output_largest: float
    """Of an output, in scaled units."""
    output_mean: float
    """The mean of its absolute value."""
    score: float
    """The mean relative difference of the mean absolute residual, after a factor common to all windows."""


@dataclass(frozen=True, slots=True)
class QuantizationGain:
    """What fine-tuning brought, for the report."""

    plain: QuantizationError
    """With calibrated ranges alone."""
    fine_tuned: QuantizationError
    seconds: float
    """Spent on fine-tuning."""


def teaching_windows(windows: Array, seed: int) -> Array:
    """Normal `windows` (B, T, F), and copies of them with faults in one or several inputs and of other sizes: (3 B, T, F)."""
    rng = np.random.default_rng(seed)
    some = windows[rng.permutation(len(windows))[:MOST_WINDOWS]]
    one = disturb(some.astype(np.float64), np.ones(some.shape[2]), rng)
    many = one
    for _ in range(some.shape[2] - 1):
        many = disturb(many, np.ones(some.shape[2]), rng)
    amounts = rng.uniform(0, 1.5, (2, len(some), 1, 1))
    scaled = some * rng.uniform(0.7, 1.4, (len(some), 1, 1))
    made = [some, scaled + amounts[0] * (one - some), some + amounts[1] * (many - some)]
    return np.concatenate(made).astype(np.float32)


def calibrate_ranges(program: Program, windows: Array) -> dict[str, tuple[float, float]]:
    """The range of each tensor whose range is open, by its role, on `windows` (B, T, F)."""
    open_ones = set(open_roles(program))
    limits: dict[str, list[Array]] = {name: [] for name in open_ones}

    def look(name: str, values: Array) -> Array:
        if role(name) in open_ones:
            limits[role(name)].append(np.percentile(values, TAILS).astype(np.float32))
        return values

    evaluate(program, windows, look)
    return {name: _limits(np.array(each), SATURATED[name.rpartition("/")[2]]) for name, each in limits.items()}


def _limits(percentiles: Array, most: float) -> tuple[float, float]:
    return max(float(percentiles.min()), -most), min(float(percentiles.max()), most)


def plain(model: Any, windows: Array, seed: int = 0, *, float_cell: bool = False) -> Quantization:
    """Calibration alone: a Keras model's own weights, with ranges from normal `windows` (B, T, F). Raises as `flatten_int8`."""
    taught = teaching_windows(windows, seed)
    program = flatten_int8(model, windows.shape[1:], taught, float_cell=float_cell)
    return Quantization(program.constants, calibrate_ranges(program, taught))


def fine_tune(
    model: Any, windows: Array, held_out: Array, settings: QuantizeRule, seed: int
) -> tuple[Quantization, QuantizationGain]:
    """Fine-tune a Keras model for int8 on normal `windows` (B, T, F); the gain is measured on `held_out` ones.

    The model is left alone. Raises `ValueError` naming what cannot be flattened.
    """
    import tensorflow as tf

    start = time.monotonic()
    taught = teaching_windows(windows, seed)
    program = flatten_int8(model, windows.shape[1:], taught, float_cell=settings.float_cell)
    before = Quantization(program.constants, calibrate_ranges(program, taught))
    wanted = evaluate(program, taught)
    graph = RoundedGraph(program, before)
    size = np.mean((taught[:, -wanted.shape[1] :] - wanted) ** 2, axis=(1, 2))
    weight = (1 / (np.median(size) + size)).astype(np.float32)
    schedule = tf.keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
    optimizer = tf.keras.optimizers.Adam(schedule)
    variables = [*graph.weights, *graph.ranges]

    def step(given: Any, goal: Any, importance: Any) -> Any:
        with tf.GradientTape() as tape:
            error = tf.reduce_mean((graph.run(given) - goal) ** 2, axis=(1, 2))
            loss = tf.reduce_mean(importance * error)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    compiled = tf.function(step, autograph=False)
    rng = np.random.default_rng(seed)
    for _ in range(settings.steps):
        chosen = rng.integers(len(taught), size=settings.batch_size)
        compiled(taught[chosen], wanted[chosen], weight[chosen])
    after = graph.quantization()
    seconds = time.monotonic() - start
    return after, measure_gain(program, before, after, held_out, seed, seconds)


def measure_gain(
    program: Program, before: Quantization, after: Quantization, held_out: Array, seed: int, seconds: float
) -> QuantizationGain:
    """The errors of both on `held_out` windows (B, T, F) and disturbed copies of them. `program` has the trained model's constants."""
    windows = teaching_windows(held_out, seed + 1)
    expected = evaluate(program, windows)
    first, last = (_error(windows, expected, evaluate_int8(program, each, windows)) for each in (before, after))
    return QuantizationGain(first, last, round(seconds, 3))


def _error(windows: Array, expected: Array, got: Array) -> QuantizationError:
    difference = np.abs(got - expected)
    target = windows[:, -expected.shape[1] :]
    relative = np.abs(got - target).mean(axis=(1, 2)) / np.maximum(np.abs(expected - target).mean(axis=(1, 2)), 1e-9)
    relative /= np.median(relative)
    return QuantizationError(float(difference.max()), float(difference.mean()), float(np.abs(relative - 1).mean()))
