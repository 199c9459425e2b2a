"""The closed forms against scikit-learn, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from edge_runtime.errors import TrainingError
from training.linear import RIDGES, principal_components, reconstruction, regression


def make_windows(count, T=5, C=3, seed=0, noise=0.3, center=0.0):
    """Windows (N, T, C) of three hidden causes, with noise."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(count, 3)) * (3, 2, 1)
    mixed = causes @ np.random.default_rng(99).normal(size=(3, T * C)) / 2
    return (mixed + noise * rng.normal(size=(count, T * C)) + center).reshape(count, T, C).astype(np.float32)


def run(layers, windows):
    """The two dense layers, in float32 as an engine computes them."""
    values = windows.reshape(len(windows), -1)
    for kernel, bias in layers:
        values = values @ kernel + bias
    return values.reshape(windows.shape)


@given(
    count=st.integers(5, 60),
    T=st.integers(1, 6),
    C=st.integers(2, 4),
    most=st.integers(1, 30),
    center=st.sampled_from([0.0, 5.0]),
)
def test_components_are_those_of_scikit_learn(count, T, C, most, center):
    """With more windows than numbers or fewer: mean, variances, noise, and the space that is kept."""
    windows = make_windows(count, T, C, seed=count, center=center)
    size = T * C
    found = principal_components(windows, most=most)
    k = len(found.variances)
    assert k == min(most, size - 1, count - 1)
    oracle = PCA(k, svd_solver="full").fit(windows.reshape(count, size).astype(np.float64))
    np.testing.assert_allclose(found.mean, oracle.mean_, atol=1e-9)
    np.testing.assert_allclose(found.variances, oracle.explained_variance_ * (count - 1) / count, rtol=1e-6)
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(k), atol=1e-8)
    expected = oracle.inverse_transform(oracle.transform(windows.reshape(count, size).astype(np.float64)))
    np.testing.assert_allclose(run(reconstruction(found), windows).reshape(count, size), expected, atol=1e-4)
    everything = np.linalg.eigvalsh(np.cov(windows.reshape(count, size).T.astype(np.float64), bias=True))
    np.testing.assert_allclose(found.noise, everything[: size - k].sum() / (size - k), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variance", [0.3, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("count", [12, 400])
def test_the_fewest_components_that_hold_the_share_are_kept(count, variance):
    """One less would hold less than the share, as scikit-learn counts it."""
    windows = make_windows(count)
    found = principal_components(windows, variance=variance)
    oracle = PCA(variance, svd_solver="full").fit(windows.reshape(count, -1).astype(np.float64))
    assert len(found.variances) == min(oracle.n_components_, 14)  # never all 15, which would repeat every window


def test_a_whitened_residual_is_a_mahalanobis_distance():
    """Its square is s^2 times the distance under probabilistic principal components: T2 and Q in one number."""
    windows, others = make_windows(300), make_windows(50, seed=1) * np.float32(2)
    found = principal_components(windows, most=3)
    residual = (run(reconstruction(found, whiten=True), others) - others).reshape(50, -1).astype(np.float64)
    oracle = PCA(3, svd_solver="full").fit(windows.reshape(300, -1).astype(np.float64))
    centred = others.reshape(50, -1) - oracle.mean_
    precision = np.linalg.inv(oracle.get_covariance() * 299 / 300)
    distance = np.einsum("ni,ij,nj->n", centred, precision, centred)
    np.testing.assert_allclose((residual**2).sum(axis=1), found.noise * distance, rtol=1e-4)
    # The plain residual is blind to a window far out along a component; the whitened one is not.
    far = (found.mean + 20 * np.sqrt(found.variances[0]) * found.directions[:, 0]).reshape(1, 5, 3).astype(np.float32)
    plain, whitened = (np.sum((run(reconstruction(found, whiten=w), far) - far) ** 2) for w in (False, True))
    assert plain < 1e-6
    assert whitened == pytest.approx(found.noise * 20**2, rel=1e-3)


def test_without_noise_whitening_changes_nothing():
    """Where every variance is in the components there is nothing to weigh them against, and no division by it."""
    windows = make_windows(3)
    found = principal_components(windows)
    assert len(found.variances) == 2
    assert found.noise == pytest.approx(0, abs=1e-12)
    plain, whitened = (run(reconstruction(found, whiten=w), windows) for w in (False, True))
    np.testing.assert_allclose(whitened, plain, atol=1e-4)
    np.testing.assert_allclose(plain, windows, atol=1e-4)


def test_one_sign_of_two():
    """An eigenvector and its negative are the same component: the largest entry is positive, whoever computed it."""
    directions = principal_components(make_windows(200), most=4).directions
    assert (directions[np.abs(directions).argmax(axis=0), np.arange(4)] > 0).all()
    fewer = principal_components(make_windows(200)[:14], most=4).directions
    assert (fewer[np.abs(fewer).argmax(axis=0), np.arange(4)] > 0).all()


def test_a_chunk_of_windows_at_a_time():
    """More windows than are turned into float64 at once give the same components."""
    windows = make_windows(9000, 2, 2)
    everything = np.cov(windows.reshape(9000, 4).T.astype(np.float64), bias=True)
    np.testing.assert_allclose(
        principal_components(windows, most=3).variances, np.linalg.eigvalsh(everything)[:0:-1], rtol=1e-9
    )


@pytest.mark.parametrize("noise", [0.1, 0.01, 1e-3])
def test_float32_leaves_enough_of_a_small_residual(noise):
    """A residual a thousand times smaller than the readings still has a score within 1e-3 of the exact one."""
    windows = make_windows(400, 8, 4, noise=noise, center=1.0)
    found = principal_components(windows, most=3)
    residual = run(reconstruction(found), windows) - windows
    centred = windows.reshape(400, -1).astype(np.float64) - found.mean
    exact = centred @ found.directions @ found.directions.T - centred
    scores, expected = ((each.reshape(400, -1).astype(np.float64) ** 2).mean(axis=1) for each in (residual, exact))
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_windows_that_are_all_the_same_are_refused(value):
    """There is no direction in which they differ."""
    with pytest.raises(
        TrainingError, match=r"expected fit windows that differ from each other, got 9 of a variance of"
    ):
        principal_components(np.full((9, 4, 2), value, np.float32))


def test_one_window_is_refused():
    """It does not differ from itself."""
    with pytest.raises(TrainingError, match="got 1 of a variance of 0"):
        principal_components(make_windows(1))


def test_windows_of_one_number_are_refused():
    """They leave nothing to be reconstructed from."""
    with pytest.raises(TrainingError, match="expected windows of at least 2 numbers"):
        principal_components(make_windows(10, 1, 1))


@pytest.mark.parametrize("count", [6, 200])
def test_regression_is_scikit_learns_ridge(count):
    """With the penalty, among those tried, that predicts the held-out windows best."""
    windows, held_out = make_windows(count, 6, 2), make_windows(100, 6, 2, seed=1)
    kernel, bias = regression(windows[:, :4], windows[:, 4:], held_out[:, :4], held_out[:, 4:])
    assert (kernel.shape, bias.shape) == ((8, 4), (4,))
    inputs, outputs = (windows[:, part].reshape(count, -1).astype(np.float64) for part in (slice(4), slice(4, 6)))
    unseen, wanted = (held_out[:, part].reshape(100, -1).astype(np.float64) for part in (slice(4), slice(4, 6)))
    scale = inputs.var(axis=0).mean() * count
    fits = [Ridge(alpha=ridge * scale).fit(inputs, outputs) for ridge in RIDGES]
    best = min(fits, key=lambda each: np.mean((each.predict(unseen) - wanted) ** 2))
    np.testing.assert_allclose(kernel, best.coef_.T, atol=1e-4)
    np.testing.assert_allclose(bias, best.intercept_, atol=1e-4)


def test_regression_on_inputs_that_never_vary_predicts_the_mean():
    """Instead of dividing by nothing."""
    past, future = np.ones((20, 3, 2), np.float32), make_windows(20, 1, 2)
    kernel, bias = regression(past, future, past, future)
    np.testing.assert_allclose(past[0].ravel() @ kernel + bias, future.mean(axis=0).ravel(), atol=1e-5)
