"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.extra import import_extra
from training.fit import Epoch


def plot_loss(history: Sequence[Epoch], path: str | Path) -> None:
    """Draw the losses of every epoch to a PNG file. Raises `ExtraMissingError` without matplotlib, `OSError`."""
    import_extra("matplotlib", "anomalite train")
    from matplotlib.figure import Figure  # not pyplot, which would choose a display for the whole process

    figure = Figure(figsize=(7, 4), layout="constrained")
    draw_loss(figure.subplots(), history)
    figure.savefig(path, dpi=120, format="png")


def draw_loss(axes: Any, history: Sequence[Epoch]) -> None:
    """Draw the losses of every epoch."""
    epochs = range(1, len(history) + 1)
    held_out = [epoch.held_out_loss for epoch in history]
    best = held_out.index(min(held_out))
    marker = "" if len(history) > 1 else "o"  # a line through one point, as a closed form leaves it, is nothing to see
    axes.plot(epochs, [epoch.loss for epoch in history], marker=marker, label="fit windows")
    axes.plot(epochs, held_out, marker=marker, label="held-out windows")
    axes.plot(best + 1, held_out[best], "o", color="black", label=f"kept: epoch {best + 1}, {held_out[best]:.3g}")
    losses = [*held_out, *(epoch.loss for epoch in history)]
    is_wide = min(losses) > 0 and max(losses) > 10 * min(losses)
    axes.set(xlabel="epoch", ylabel="mean squared error (scaled units)", yscale="log" if is_wide else "linear")
    axes.legend()
    axes.grid(alpha=0.3)
