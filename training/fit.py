"""Fitting the weights: seed, build, compile, fit, keep the best epoch.

A linear model has no epochs: its weights are computed (`linear.py`), and so are those of the linear part of a model that has
one, before the rest is fitted to what it leaves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from training.config import Fit
from training.extra import import_extra, import_keras
from training.families import LinearAutoencoder, LSTMForecaster, Model, is_closed_form
from training.linear import Affine, linear_autoencoder, regression
from training.models import build, copy_model, linear_part

MOST_STEPS_A_CALL = 50
"""Batches in one call of TensorFlow: fewer calls are a third faster here, many would make the progress stand still."""
HELD_OUT_BATCH = 256
"""Windows in one step of computing a loss."""

Windows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Epoch:
    """The losses after one pass over the fit windows: mean squared errors in scaled units. A closed form has one such pass."""

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
    windows: Windows,
    held_out: Windows,
    *,
    start: Any | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a new model to estimate the last K readings of `windows` (B, T, F), scaled; `held_out` (B', T, F) says when to stop.

    `start` is the Keras model of an earlier run with the same `spec`, whose weights to go on from (None: random ones); a linear
    autoencoder is computed anew. The same seed, windows and machine give the same
    weights to the last bit; for that TensorFlow's deterministic operations are switched on for the process, which on a CPU
    costs nothing measurable. Raises `TrainingError` if the loss is no longer finite, or if nothing varies.
    """
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    import_extra("tensorflow", "anomalite train").config.experimental.enable_op_determinism()

    started = time.perf_counter()
    if start is None or is_closed_form(spec):
        model = _start(spec, windows, held_out, keras)
    else:
        model = copy_model(spec, start, keras)
    for name in linear_part(spec):
        model.get_layer(name).trainable = False
    if not is_closed_form(spec):
        history = _fit_epochs(model, settings, windows, held_out, progress, keras)
    else:
        history = (Epoch(_loss(model, windows), _loss(model, held_out)),)
        if progress is not None:
            progress(1, history[0])
    return Fitted(model, history, time.perf_counter() - started)


def _start(spec: Model, windows: Windows, held_out: Windows, keras: Any) -> Any:
    """A new model: random weights but for the linear part, which is computed."""
    layers = linear_part(spec)
    weights = _linear_weights(spec, windows, held_out) if layers else ()
    components = weights[0][0].shape[1] if weights else 1
    model = build(spec, windows.shape[1], windows.shape[2], keras, components)
    for name, affine in zip(layers, weights, strict=True):
        model.get_layer(name).set_weights(affine)
    return model


def _linear_weights(spec: Model, windows: Windows, held_out: Windows) -> tuple[Affine, ...]:
    if isinstance(spec, LSTMForecaster):
        end = -spec.horizon
        return (regression(windows[:, :end], windows[:, end:], held_out[:, :end], held_out[:, end:]),)
    return linear_autoencoder(
        spec if isinstance(spec, LinearAutoencoder) else LinearAutoencoder("linear_autoencoder"), windows
    )


def _loss(model: Any, windows: Windows) -> float:
    """The mean squared error of a model's estimates."""
    estimated = model.output_shape[1]
    total, numbers = 0.0, 0
    for first in range(0, len(windows), HELD_OUT_BATCH):
        part = windows[first : first + HELD_OUT_BATCH]
        error = (model.predict_on_batch(part) - part[:, -estimated:]).astype(np.float64)
        total, numbers = total + float(np.sum(error**2)), numbers + error.size
    return total / numbers


def _fit_epochs(
    model: Any, settings: Fit, windows: Windows, held_out: Windows, progress: Progress | None, keras: Any
) -> tuple[Epoch, ...]:
    """Fit the model's trainable weights, keep the best epoch's, and return the losses."""
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
    estimated = model.output_shape[1]
    model.fit(
        windows,
        windows[:, -estimated:],
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        shuffle=True,
        validation_data=(held_out, held_out[:, -estimated:]),
        validation_batch_size=HELD_OUT_BATCH,
        callbacks=[stop_early, keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
        verbose=0,
    )
    return tuple(history)
