"""What a configuration says under `[export]`: how far from the trained model a variant may be."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Budget:
    """The largest differences from the trained model that a variant may have."""

    reconstruction: float
    """Of a reconstructed value, relative to the largest one (at least 1 scaled unit)."""
    score: float
    """Of a score, relative."""
    flipped: float
    """Share of normal windows, and of disturbed and labelled ones together, decided differently."""
    flipped_near: float
    """Share of windows within 20 % of the threshold decided differently."""
    average_precision: float
    """Of the average precision, on disturbed windows against normal ones and on labelled windows."""

    def __post_init__(self) -> None:
        for name in ("reconstruction", "score", "flipped", "flipped_near", "average_precision"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"expected {name} of at least 0, got {getattr(self, name):g}")


@dataclass(frozen=True, slots=True)
class Float32Budget(Budget):
    """The same arithmetic in another order."""

    reconstruction: float = 1e-3
    score: float = 1e-3
    flipped: float = 0.0
    flipped_near: float = 0.005
    average_precision: float = 1e-3


@dataclass(frozen=True, slots=True)
class Float16Budget(Budget):
    """Half precision: eleven bits."""

    reconstruction: float = 0.05
    score: float = 0.05
    flipped: float = 0.001
    flipped_near: float = 0.02
    average_precision: float = 0.005


@dataclass(frozen=True, slots=True)
class Int8Budget(Budget):
    """Eight bits: a window far from the threshold may be scored a quarter higher or lower, as long as it is decided the same."""

    reconstruction: float = 0.25
    score: float = 0.25
    flipped: float = 0.001
    flipped_near: float = 0.02
    average_precision: float = 0.005


@dataclass(frozen=True, slots=True)
class Budgets:
    """By the arithmetic of the variant."""

    float32: Float32Budget = field(default_factory=Float32Budget)
    float16: Float16Budget = field(default_factory=Float16Budget)
    int8: Int8Budget = field(default_factory=Int8Budget)


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How the run is exported."""

    budgets: Budgets = field(default_factory=Budgets)
