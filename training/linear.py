"""The linear models, in closed form: principal components of the window, and the regression of its end on its beginning.

A window (T, F) is a vector x of D = T F numbers. With the mean m of the fit windows, the eigenvalues l_1 >= l_2 >= ... and
eigenvectors V = (v_1 ... v_k) of their covariance, the plain reconstruction is the projection m + V V' (x - m); its squared
residual is the statistic Q of process monitoring (Jackson & Mudholkar, "Control procedures for residuals associated with
principal component analysis", 1979). Q is blind to what lies inside the space of the components, however far out; Hotelling's
T2 = sum (v_i' (x - m))^2 / l_i sees that and nothing else. The whitened reconstruction has both in one residual:

    m + V diag(1 - s / sqrt(l_i)) V' (x - m),    s^2 = the mean of the D - k eigenvalues left out

leaves (I - V V') (x - m) + s V diag(1 / sqrt(l_i)) V' (x - m), two parts at right angles, whose square is Q + s^2 T2: that is s^2
times the squared Mahalanobis distance of x under probabilistic principal components (Tipping & Bishop, "Probabilistic principal
component analysis", 1999, equations 7 and 8). Where nothing is left out s is 0, and what remains is the plain reconstruction.

The denoising reconstruction has no number of components to choose. With white noise of the variance n,

    m + V diag(l_i / (l_i + n)) V' (x - m)

is the best linear estimate of x from x + noise (Wiener 1949), and so what a linear denoising autoencoder learns (Vincent et al.,
"Extracting and composing robust features with denoising autoencoders", 2008; Pretorius et al., "Learning dynamics of linear
denoising autoencoders", 2018, equation 9). It leaves n / (l_i + n) of every component: all of those that are never used in
normal operation, little of those that are used a lot, but never nothing.

Normal readings drift, and a covariance around their one mean takes half of the drift for the mean. `drift_parts` takes it around
the means of the windows that came before: how far normal readings move away from what was known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError
from training.families import LinearAutoencoder

Windows = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Affine = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""A dense layer's weights: kernel (inputs, outputs) and bias (outputs,)."""

LEAST_EIGENVALUE = 1e-12
"""Relative to the largest one: below it an eigenvalue of float32 windows is rounding."""
RIDGES = tuple(10.0**power for power in range(-6, 3))
"""The penalties tried, relative to the mean variance of an input."""
CHUNK = 4096
"""Windows turned into float64 at a time."""
LEAST_SHARE = 0.01
"""A component of which the denoising reconstruction would keep less than this is left out: its residual is all of it anyway."""


@dataclass(frozen=True, slots=True)
class Components:
    """The principal components of windows as vectors of D numbers."""

    mean: Matrix
    """(D,)"""
    directions: Matrix
    """(D, k) orthonormal columns, the one of the largest variance first."""
    variances: Matrix
    """(k,) of the windows along each direction, above zero."""
    noise: float
    """The mean variance along the D - k directions that were left out, s^2."""


def linear_autoencoder(spec: LinearAutoencoder, windows: Windows) -> tuple[Affine, Affine]:
    """The two dense layers, D -> k -> D, of the family; `windows` (N, T, F) in order of time. Raises `TrainingError`."""
    if spec.is_denoising:
        found = principal_components(windows, least=spec.noise * LEAST_SHARE, drift_parts=spec.drift_parts)
        return reconstruction(found, found.variances / (found.variances + spec.noise))
    found = principal_components(
        windows, variance=spec.variance or 1.0, most=spec.components, drift_parts=spec.drift_parts
    )
    return reconstruction(found, whitening_shares(found) if spec.whiten else None)


def whitening_shares(components: Components) -> Matrix:
    """The share (k,) of each component to reconstruct so that the residual is a Mahalanobis distance, as the module says."""
    shares: Matrix = 1 - np.sqrt(components.noise / components.variances)
    return shares


def apply(layers: tuple[Affine, Affine], windows: Windows) -> Windows:
    """What the two dense layers answer to `windows` (N, T, F): (N, T, F)."""
    (encoder, encoder_bias), (decoder, decoder_bias) = layers
    components: Windows = windows.reshape(len(windows), -1) @ encoder + encoder_bias
    outputs: Windows = components @ decoder + decoder_bias
    return outputs.reshape(windows.shape)


def principal_components(
    windows: Windows, *, variance: float = 1.0, most: int | None = None, least: float = 0.0, drift_parts: int = 1
) -> Components:
    """The fewest principal components of `windows` (N, T, F) that hold a share `variance` of theirs.

    At most `most`, each of a variance of at least `least`, always fewer than D, because a model that repeats every window finds
    nothing anomalous, and no more than the windows have. `drift_parts`: the covariance is taken around the means of the parts
    before. Raises `TrainingError` for windows of one number and for windows that are all the same.
    """
    count, size = len(windows), windows[0].size
    if size < 2:
        raise TrainingError(
            "expected windows of at least 2 numbers for principal components, got 1: lengthen the window"
        )
    mean = np.asarray(windows.mean(axis=0, dtype=np.float64)).ravel()
    flat = windows.reshape(count, size)
    around = mean
    if drift_parts > 1 and count >= 2 * drift_parts:
        flat, around = _forward(flat, drift_parts), np.zeros(size)
        count = len(flat)
    values, vectors = _eigen(flat, around)
    total = float(values.sum())
    # Windows that differ by rounding alone are all the same.
    if not total > LEAST_EIGENVALUE * max(1.0, float(mean @ mean)):
        raise TrainingError(f"expected fit windows that differ from each other, got {count} of a variance of {total:g}")
    rank = int((values > LEAST_EIGENVALUE * values[0]).sum())
    enough = 1 + int(np.searchsorted(np.cumsum(values) / total, variance))
    large = max(int((values >= least).sum()), 1)
    k = min(enough, rank, large, size - 1, size if most is None else most)
    directions = vectors[:, :k]
    if count < size:
        # From the eigenvectors of the products of windows with one another, (N, N), to those of the covariance.
        directions = _centred(flat, around).T @ directions / np.sqrt(count * values[:k])
    # An eigenvector may be turned around; which one comes is up to the library, so the largest entry is made positive.
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(k)])
    return Components(mean, directions * signs, values[:k], float(values[k:].sum()) / (size - k))


def reconstruction(components: Components, kept: Matrix | None = None) -> tuple[Affine, Affine]:
    """Two dense layers, D -> k -> D, that reconstruct a window from its components, the mean in their biases.

    `kept` (k,): the share of each component that is reconstructed; None: all of it.
    """
    directions = components.directions
    kept = np.ones(len(components.variances)) if kept is None else kept
    encoder = _affine(directions, -components.mean @ directions)
    return encoder, _affine((directions * kept).T, components.mean)


def regression(past: Windows, future: Windows, held_out_past: Windows, held_out_future: Windows) -> Affine:
    """One dense layer that predicts `future` (N, K, F) from `past` (N, T - K, F), both flattened.

    Ridge regression (Hoerl & Kennard 1970): the penalty, the same for all inputs, is that of `RIDGES` with the smallest squared
    error on the held-out windows.
    """
    past, future, held_out_past, held_out_future = (
        each.reshape(len(each), -1) for each in (past, future, held_out_past, held_out_future)
    )
    past_mean, future_mean = (np.asarray(each.mean(axis=0, dtype=np.float64)) for each in (past, future))
    values, vectors = np.linalg.eigh(_products(past, past_mean, past, past_mean) / len(past))
    slopes = vectors.T @ _products(past, past_mean, future, future_mean) / len(past)
    scale = max(float(values.mean()), np.finfo(float).tiny)
    kernels = [vectors @ (slopes / (np.maximum(values, 0) + ridge * scale)[:, None]) for ridge in RIDGES]
    errors = [_squared_error(kernel, held_out_past - past_mean, held_out_future - future_mean) for kernel in kernels]
    kernel = kernels[int(np.argmin(errors))]
    return _affine(kernel, future_mean - past_mean @ kernel)


def _forward(flat: Windows, parts: int) -> Windows:
    """Windows (N, D) less the mean of all parts before their own; the first part has none before it and is left out."""
    edges = np.linspace(0, len(flat), parts + 1).astype(np.int64)
    sums = np.cumsum([flat[begin:end].sum(axis=0, dtype=np.float64) for begin, end in pairwise(edges)], axis=0)
    moved = np.empty_like(flat[edges[1] :])
    for part in range(1, parts):
        begin, end = edges[part], edges[part + 1]
        moved[begin - edges[1] : end - edges[1]] = flat[begin:end] - (sums[part - 1] / begin).astype(np.float32)
    return moved


def _eigen(vectors: Windows, mean: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues, largest first, and eigenvectors of the covariance (D, D), or of the smaller (N, N) with the same eigenvalues."""
    count, size = vectors.shape
    if count < size:
        centred = _centred(vectors, mean)
        products = centred @ centred.T
    else:
        products = _products(vectors, mean, vectors, mean)
    values, columns = np.linalg.eigh(products / count)
    return np.maximum(values[::-1], 0), columns[:, ::-1]


def _products(left: Windows, left_mean: Matrix, right: Windows, right_mean: Matrix) -> Matrix:
    """The sum over windows of the products of `left` (N, D) and `right` (N, E) around their means, (D, E)."""
    products = np.zeros((left.shape[1], right.shape[1]))
    for first in range(0, len(left), CHUNK):
        part = slice(first, first + CHUNK)
        products += _centred(left[part], left_mean).T @ _centred(right[part], right_mean)
    return products


def _squared_error(kernel: Matrix, inputs: Matrix, wanted: Matrix) -> float:
    return float(np.sum((inputs @ kernel - wanted) ** 2))


def _centred(vectors: Windows, mean: Matrix) -> Matrix:
    centred: Matrix = vectors.astype(np.float64) - mean
    return centred


def _affine(kernel: Matrix, bias: Matrix) -> Affine:
    return kernel.astype(np.float32), bias.astype(np.float32)
