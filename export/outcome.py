"""What became of one variant, and the words for it that the table and the report share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.manifest import ParityCheck


@dataclass(frozen=True)
class VariantOutcome:
    """What became of one variant."""

    name: str
    engines: tuple[str, ...]
    """The engines it was proven with."""
    size: int
    """Bytes; 0 if it does not convert."""
    parity: dict[str, ParityCheck]
    """By set of windows; the worst of the engines."""
    refused: str | None
    """Why it is not in the bundle; None if it is."""
    threshold: float | None = None
    """Its own threshold, where the bundle's would have flipped too many decisions."""
    microseconds: float | None = None
    """One window through the engine here, the median of many; None where it was only simulated."""
    instructions: dict[str, float] | None = None
    """ARM instructions a window, in thousands, by board, where they were counted."""


def answer_text(outcome: VariantOutcome) -> str:
    """Whether a variant is in the bundle, and with which threshold, or why not."""
    if outcome.refused is not None:
        return f"NO: {outcome.refused}"
    return "yes" if outcome.threshold is None else f"yes, with a threshold of its own, {outcome.threshold:.4g}"


def counted_boards(outcomes: Sequence[VariantOutcome]) -> list[str]:
    """The boards that instructions were counted for."""
    return list(dict.fromkeys(board for outcome in outcomes for board in outcome.instructions or {}))
