"""The model families: what a user writes under `[model]`; `models.py` builds them.

A family is one class here, told apart by `family`, and one builder there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class LSTMAutoencoder:
    """Reads the window step by step into one state and writes it out again from there (Malhotra et al. 2016)."""

    family: Literal["lstm_autoencoder"]
    layers: int = 1
    """LSTM layers in the encoder, and as many in the decoder."""
    units: int = 32
    """Units of each LSTM layer."""
    latent: int | None = None
    """Size of a linear layer between encoder and decoder; None leaves it out."""
    dropout: float = 0.0
    """Share of each LSTM layer's outputs that is left out at random in every step of training."""
    skip: bool = False
    """Add the reconstruction from principal components, fitted first and then left alone: the LSTM learns what it leaves."""

    def __post_init__(self) -> None:
        for name, number in (("layers", self.layers), ("units", self.units), ("latent", self.latent)):
            check_positive(name, 1 if number is None else number)
        _check_share("dropout", self.dropout)


@dataclass(frozen=True, slots=True)
class LSTMForecaster:
    """Reads the window but for its last readings and predicts those; the error is the residual (Malhotra et al. 2015)."""

    family: Literal["lstm_forecaster"]
    layers: int = 1
    """LSTM layers."""
    units: int = 32
    """Units of each LSTM layer."""
    dropout: float = 0.0
    """Share of each LSTM layer's outputs that is left out at random in every step of training."""
    horizon: int = 1
    """How many of the window's last readings are predicted, all from those before."""
    skip: bool = False
    """Add the prediction of a ridge regression, fitted first and then left alone: the LSTM learns what it leaves."""

    def __post_init__(self) -> None:
        for name in ("layers", "units", "horizon"):
            check_positive(name, getattr(self, name))
        _check_share("dropout", self.dropout)


@dataclass(frozen=True, slots=True)
class DenseAutoencoder:
    """Squeezes the whole window at once through a few numbers and unfolds it again."""

    family: Literal["dense_autoencoder"]
    hidden: tuple[int, ...] = (64,)
    """Units of the layers before the latent one; after it they come in reverse."""
    latent: int = 8
    """How many numbers are left of a window."""

    def __post_init__(self) -> None:
        for name, number in (*(("hidden", units) for units in self.hidden), ("latent", self.latent)):
            check_positive(name, number)


@dataclass(frozen=True, slots=True)
class ConvAutoencoder:
    """Squeezes the window through convolutions over time, each of which halves its length, and unfolds it again."""

    family: Literal["conv_autoencoder"]
    filters: tuple[int, ...] = (32, 16)
    """Of each convolution of the encoder; the decoder has them in reverse."""
    kernel: int = 5
    """How many steps a convolution reaches over."""
    latent: int = 8
    """How many numbers are left of a window."""

    def __post_init__(self) -> None:
        numbers = (
            *(("filters", filters) for filters in self.filters),
            ("kernel", self.kernel),
            ("latent", self.latent),
        )
        for name, number in numbers:
            check_positive(name, number)
        if not self.filters:
            raise ValueError("expected filters of one or more convolutions, got none")


@dataclass(frozen=True, slots=True)
class LinearAutoencoder:
    """Principal components of the whole window, in closed form; see `linear.py`.

    With `variance` or `components` the window is projected on the largest ones. Without either, every component is drawn
    towards the mean by as much as noise of the variance `noise` calls for: there is no number of components to choose.
    """

    family: Literal["linear_autoencoder"]
    noise: float = 0.3
    """The variance of the noise that the model takes out, in scaled units squared; between 0.1 and 0.5 hardly anything changes."""
    variance: float | None = None
    """Instead: keep the fewest components that hold this share of the fit windows' variance."""
    components: int | None = None
    """Instead: keep so many components, or as many as the fit windows have."""
    whiten: bool = False
    """With either: weigh the distance inside the space of the components into the residual, whose square is then that of a
    Mahalanobis distance."""
    drift_parts: int = 8
    """The fit windows are divided into so many parts in order of time, and the covariance is taken around the mean of all parts
    before: what drifts while it is normal then counts as spread. 1: around one mean."""
    folds: int = 8
    """The threshold comes from scores of so many blocks in order of time, each scored by a model fitted to the others."""

    def __post_init__(self) -> None:
        if self.variance is not None and self.components is not None:
            raise ValueError("expected variance or components, got both")
        if self.whiten and self.is_denoising:
            raise ValueError("expected whiten with variance or components only, got it without either")
        if self.variance is not None and not 0 < self.variance < 1:
            raise ValueError(f"expected a variance above 0 and below 1, got {self.variance:g}")
        if not self.noise > 0:
            raise ValueError(f"expected a noise above 0, got {self.noise:g}")
        if self.folds < 2:
            raise ValueError(f"expected folds of at least 2, got {self.folds}")
        check_positive("components", 1 if self.components is None else self.components)
        check_positive("drift_parts", self.drift_parts)

    @property
    def is_denoising(self) -> bool:
        """Whether every component is shrunk by what is noise, rather than some kept whole and the others left out."""
        return self.variance is None and self.components is None


Model = LSTMAutoencoder | LSTMForecaster | DenseAutoencoder | ConvAutoencoder | LinearAutoencoder
"""The model families, told apart by `family`."""


def is_closed_form(spec: Model | Auto) -> bool:
    """Whether the family's weights are computed at once, not fitted step by step."""
    return isinstance(spec, LinearAutoencoder)


@dataclass(frozen=True, slots=True)
class Auto:
    """Fits several models and keeps the cheapest that detects as well as the best; see `auto.py`."""

    family: Literal["auto"]
    candidates: tuple[Model, ...] | None = None
    """The models to choose from; None: `CANDIDATES`, but for those that the window or the score rules out."""

    def __post_init__(self) -> None:
        if self.candidates is None:
            return
        if len(self.candidates) < 2:
            raise ValueError(f"expected two or more candidates to choose from, got {len(self.candidates)}")
        twice = [each for i, each in enumerate(self.candidates) if each in self.candidates[:i]]
        if twice:
            raise ValueError(f"expected different candidates, got {twice[0].family} twice with the same settings")


def check_estimates(model: Model, window_length: int, last: int | None) -> None:
    """Raise `ValueError` unless the model fits windows of `window_length` readings and a score of the `last` of them."""
    estimated, what = window_length, "the window"
    if isinstance(model, LSTMForecaster):
        if not model.horizon < window_length:
            raise ValueError(f"expected model.horizon below {window_length} (the window), got {model.horizon}")
        estimated, what = model.horizon, "model.horizon"
    if last is not None and last > estimated:
        raise ValueError(f"expected score.last of at most {estimated} ({what}), got {last}")


def check_positive(name: str, number: int) -> None:
    """Raise `ValueError` for a count below 1."""
    if number < 1:
        raise ValueError(f"expected {name} of at least 1, got {number}")


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"expected a {name} of at least 0 and below 1, got {share:g}")


CANDIDATES: tuple[Model, ...] = (
    LinearAutoencoder("linear_autoencoder"),
    DenseAutoencoder("dense_autoencoder"),
    ConvAutoencoder("conv_autoencoder"),
    LSTMForecaster("lstm_forecaster"),
    LSTMAutoencoder("lstm_autoencoder", skip=True),
)
"""What `family = "auto"` chooses from unless told otherwise: each family, the LSTM autoencoder with its linear skip path."""
