"""The sections of a manifest that say how a model's output becomes a score, a decision and an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Score:
    """How a reconstruction becomes one number."""

    kind: Literal["mae", "mse"] = "mae"
    """Mean absolute or mean squared error, in scaled units."""
    last: int | None = None
    """Only the window's last so many steps; None means all of them."""

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ValueError(f"expected last of at least 1, got {self.last}")


@dataclass(frozen=True)
class Threshold:
    """The score above which a reading is anomalous, and the rule it came from."""

    kind: Literal["percentile"]
    """Percentile of held-out normal scores times a factor."""
    percentile: float
    """0 to 100."""
    factor: float
    """The percentile is multiplied by this."""
    value: float
    """The threshold itself, in units of the score."""

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise ValueError(f"expected a threshold above zero, got {self.value}")


@dataclass(frozen=True)
class AlarmPolicy:
    """When anomalous readings become an alarm, and when it ends; see `alarm.py`."""

    k: int = 1
    """This many of the last `n` scores above the enter level raise the alarm."""
    n: int = 1
    """How many scores are looked at; also how many in a row below the exit level clear the alarm (1 to 62)."""
    enter: float = 1.0
    """The enter level, as a multiple of the threshold."""
    exit: float = 0.9
    """The exit level, as a multiple of the threshold; at most `enter`."""
    cooldown_s: float = 0.0
    """No new alarm for so many seconds after one cleared."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= 62:
            raise ValueError(f"expected 1 <= k <= n <= 62, got k = {self.k} and n = {self.n}")
        if not 0 < self.exit <= self.enter:
            raise ValueError(f"expected 0 < exit <= enter, got {self.exit} and {self.enter}")
        if self.cooldown_s < 0:
            raise ValueError(f"expected cooldown_s of 0 or more, got {self.cooldown_s}")
