"""Fitting the weights: seed, build, compile, fit, keep the best epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from training.config import Fit, Model
from training.extra import import_extra, import_keras
from training.models import build

MOST_STEPS_A_CALL = 50
"""Batches in one call of TensorFlow: fewer calls are a third faster here, many would make the progress stand still."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The losses after one pass over the fit windows: mean squared errors in scaled units."""

    loss: float
    """On the fit windows, averaged while the weights were changing."""
    held_out_loss: float
    """On the early-stopping windows, with the weights at the epoch's end."""


Progress = Callable[[int, Epoch], None]
"""Told the number of each epoch that ended (from 1) and its losses. What it raises ends the fitting."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model and how it became so."""

    model: Any
    """Keras, with the weights of the best epoch."""
    history: tuple[Epoch, ...]
    seconds: float
    """Spent on the epochs, compiling included."""

    @property
    def best_epoch(self) -> int:
        """The epoch (from 1) whose weights the model has: the lowest loss on the early-stopping windows."""
        return 1 + min(range(len(self.history)), key=lambda i: self.history[i].held_out_loss)


def fit(
    spec: Model,
    settings: Fit,
    seed: int,
    windows: npt.NDArray[np.float32],
    held_out: npt.NDArray[np.float32],
    *,
    weights: Sequence[npt.NDArray[np.float32]] | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a new model to reconstruct `windows` (B, T, C), scaled; `held_out` (B', T, C) says when to stop.

    `weights` are where it starts, from an earlier run (None: random ones). The same seed, windows and machine give the same
    weights to the last bit; for that TensorFlow's deterministic operations are switched on for the process, which on a CPU
    costs nothing measurable. Raises `TrainingError` if the loss is no longer finite.
    """
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    import_extra("tensorflow", "anomalite train").config.experimental.enable_op_determinism()

    model = build(spec, windows.shape[1], windows.shape[2], keras)
    if weights is not None:
        model.set_weights(weights)
    model.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss="mse",
        steps_per_execution=min(math.ceil(len(windows) / settings.batch_size), MOST_STEPS_A_CALL),
        jit_compile=False,  # compiling takes longer than these small models train
    )

    history: list[Epoch] = []

    def end_epoch(number: int, losses: dict[str, float]) -> None:
        epoch = Epoch(float(losses["loss"]), float(losses["val_loss"]))
        if not math.isfinite(epoch.loss + epoch.held_out_loss):
            raise TrainingError(
                f"epoch {number + 1}: expected a finite loss, got {epoch.loss} (held out {epoch.held_out_loss}): "
                f"use a learning_rate below {settings.learning_rate:g}"
            )
        history.append(epoch)
        if progress is not None:
            progress(number + 1, epoch)

    stop_early = keras.callbacks.EarlyStopping("val_loss", patience=settings.patience, restore_best_weights=True)
    started = time.perf_counter()
    model.fit(
        windows,
        windows,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        shuffle=True,
        validation_data=(held_out, held_out),
        validation_batch_size=256,
        callbacks=[stop_early, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
        verbose=0,
    )
    return Fitted(model, tuple(history), time.perf_counter() - started)
