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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import TrainingError

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


def principal_components(windows: Windows, *, variance: float = 1.0, most: int | None = None) -> Components:
    """The fewest principal components of `windows` (N, T, F) that hold a share `variance` of theirs, at most `most`.

    Always fewer than D, because a model that repeats every window finds nothing anomalous, and no more than the windows have.
    Raises `TrainingError` for windows of one number and for windows that are all the same.
    """
    count, size = len(windows), windows[0].size
    if size < 2:
        raise TrainingError(
            "expected windows of at least 2 numbers for principal components, got 1: lengthen the window"
        )
    mean = np.asarray(windows.mean(axis=0, dtype=np.float64)).ravel()
    values, vectors = _eigen(windows.reshape(count, size), mean)
    total = float(values.sum())
    # Windows that differ by rounding alone are all the same.
    if not total > LEAST_EIGENVALUE * max(1.0, float(mean @ mean)):
        raise TrainingError(f"expected fit windows that differ from each other, got {count} of a variance of {total:g}")
    rank = int((values > LEAST_EIGENVALUE * values[0]).sum())
    enough = 1 + int(np.searchsorted(np.cumsum(values) / total, variance))
    k = min(enough, rank, size - 1, size if most is None else most)
    directions = vectors[:, :k]
    if count < size:
        # From the eigenvectors of the products of windows with one another, (N, N), to those of the covariance.
        directions = _centred(windows.reshape(count, size), mean).T @ directions / np.sqrt(count * values[:k])
    # An eigenvector may be turned around; which one comes is up to the library, so the largest entry is made positive.
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(k)])
    return Components(mean, directions * signs, values[:k], float(values[k:].sum()) / (size - k))


def reconstruction(components: Components, *, whiten: bool = False) -> tuple[Affine, Affine]:
    """Two dense layers, D -> k -> D, that reconstruct a window from its components, the mean in their biases.

    `whiten`: as the module says, so that the squared residual is s^2 times the squared Mahalanobis distance.
    """
    directions = components.directions
    kept = 1 - np.sqrt(components.noise / components.variances) if whiten else np.ones(len(components.variances))
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
