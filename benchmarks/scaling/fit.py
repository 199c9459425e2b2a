"""How a figure grows: least squares, in logarithms for a power of the size, plainly for a slope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STRAIGHT = 0.1
"""A power law misses no value by more than this fraction of it."""


@dataclass(frozen=True)
class Growth:
    """y ~ x^exponent, as far as that is so."""

    exponent: float
    error: float
    """Standard error of the exponent."""
    lowest: float
    """The smallest exponent between two neighbouring sizes."""
    highest: float
    at_the_end: float
    """Between the two largest sizes."""
    off: float
    """The largest miss, as a fraction of the value."""

    @property
    def is_power_law(self) -> bool:
        """Whether one exponent says it all."""
        return self.off <= STRAIGHT

    def __str__(self) -> str:
        head = f"{self.exponent:.2f} ± {self.error:.2f}"
        if self.is_power_law:
            return head
        return (
            f"{head}, no power law (off by up to {self.off:.0%}): "
            f"from size to size {self.lowest:.2f} to {self.highest:.2f}, at the end {self.at_the_end:.2f}"
        )


def growth(sizes: Sequence[float], values: Sequence[float]) -> Growth:
    """The exponent of y ~ x^e by least squares of log y on log x, and those between neighbours.

    `sizes`: (N,) ascending, `values`: (N,), both above 0, N >= 3. Raises `ValueError`.
    """
    if len(sizes) < 3 or min(*sizes, *values) <= 0:
        raise ValueError(f"expected three or more sizes and values above 0, got {list(sizes)} and {list(values)}")
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float))
    exponent, error = line(x, y)
    local = np.diff(y) / np.diff(x)
    misses = np.expm1(np.abs(y - y.mean() - exponent * (x - x.mean())))
    return Growth(exponent, error, float(local.min()), float(local.max()), float(local[-1]), float(misses.max()))


def line(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, float]:
    """The slope of y over x, both (N,), and its standard error."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    away = x - x.mean()
    slope = float(away @ y / (away @ away))
    left = y - y.mean() - slope * away
    return slope, float(np.sqrt(left @ left / max(len(x) - 2, 1) / (away @ away)))
