"""A trained Keras model where the device has an engine: before export, the detector's own code scores with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.calibrate import reconstruct


@dataclass
class KerasEngine:
    """Runs a model that is in memory."""

    model: Any
    best_batch: int = 256

    def run(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The model's output (B, K, F) for `windows` (B, T, F)."""
        return reconstruct(self.model, windows)

    def close(self) -> None:
        """Nothing to give back: the model is the caller's."""
