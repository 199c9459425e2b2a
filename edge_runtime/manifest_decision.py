"""The sections of a manifest that say how a model's output becomes a score, and a decision an alarm."""

from typing import Literal

from edge_runtime.record import Record

ScoreKind = Literal["mae", "mse", "mahalanobis"]
"""How the residuals of a window become one number; see `score.py`."""


class Score(Record):
    """How the residuals of a window become one number."""

    kind: ScoreKind = "mae"
    """Mean absolute error or mean squared error, in scaled units, or mean squared Mahalanobis distance."""
    last: int | None = None
    """Only the residuals of the window's last so many readings; None means all that the model gives."""
    smoothing: float = 1.0
    """Weight of the newest score in an exponentially weighted mean over the scores so far; 1 leaves them as they are."""
    whitening: tuple[tuple[float, ...], ...] | None = None
    """For `mahalanobis`: the matrix (C, C) that whitens the residuals; see `score.fit_whitening`."""

    def __post_init__(self) -> None:
        check_score(self.last, self.smoothing)
        if (self.whitening is not None) != (self.kind == "mahalanobis"):
            raise ValueError(f"expected a whitening matrix for the kind mahalanobis only, got the kind {self.kind}")
        if self.whitening is not None and any(len(row) != len(self.whitening) for row in self.whitening):
            raise ValueError(f"expected a square whitening matrix, got rows of {[len(row) for row in self.whitening]}")


def check_score(last: int | None, smoothing: float) -> None:
    """Raise `ValueError` for what no score can have."""
    if last is not None and last < 1:
        raise ValueError(f"expected last of at least 1, got {last}")
    if not 0 < smoothing <= 1:
        raise ValueError(f"expected smoothing above 0 and at most 1, got {smoothing:g}")


class AlarmPolicy(Record):
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
