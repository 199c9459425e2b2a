"""Scaling is fitted to what is there, and undone exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import TrainingError
from edge_runtime.manifest import Scaling
from edge_runtime.scale import Scale, fit_scaling

VALUES = np.array([[1.0, 10.0], [2.0, np.nan], [3.0, 30.0], [6.0, 50.0], [8.0, 10.0]])


@pytest.mark.parametrize(
    ("kind", "center", "scale"),
    [
        ("standard", [4.0, 25.0], [np.sqrt(6.8), np.sqrt(275.0)]),
        ("min_max", [1.0, 10.0], [7.0, 40.0]),
        ("robust", [3.0, 20.0], [4.0, 25.0]),
    ],
)
def test_the_three_kinds(kind: Any, center: list[float], scale: list[float]) -> None:
    """Mean and deviation, least value and range, median and quartiles; missing values are left out."""
    scaling = fit_scaling(kind, VALUES, ("a", "b"))
    assert scaling.kind == kind
    assert list(scaling.center) == pytest.approx(center)
    assert list(scaling.scale) == pytest.approx(scale)
    scaled = Scale(scaling).apply(VALUES)
    assert np.allclose(scaled, (VALUES - center) / scale, equal_nan=True)
    assert np.allclose(Scale(scaling).invert(scaled), VALUES, equal_nan=True)


def test_one_reading_many_and_windows_are_scaled_to_the_same_bits() -> None:
    """What training scales as a table, the device scales reading by reading."""
    scaling = fit_scaling("standard", VALUES, ("a", "b"))
    values = np.random.default_rng(1).normal(0, 1e3, (50, 4, 2))
    scaled = Scale(scaling).apply(values)
    assert scaled.shape == values.shape
    columns = Scale(scaling).step([values[:, 0, 0], values[:, 0, 1]])
    assert np.stack(columns, axis=-1).tobytes() == scaled[:, 0].tobytes()
    for row in range(50):
        assert Scale(scaling).step(values[row, 0].tolist()) == scaled[row, 0].tolist()


@pytest.mark.parametrize("kind", ["standard", "min_max", "robust"])
def test_a_channel_that_cannot_be_scaled_is_named(kind: Any) -> None:
    """Constant, or without any value."""
    for column, message in (
        (np.full(5, 3.0), r"channel 'b': expected readings that vary, got 3 in all 5 rows"),
        (np.array([3.0, np.nan, 3.0, 3.0, np.nan]), r"channel 'b': expected readings that vary, got 3 in all 3 rows"),
        (np.full(5, np.nan), r"channel 'b': expected readings to fit the scaling to, got none"),
    ):
        with pytest.raises(TrainingError, match=message):
            fit_scaling(kind, np.column_stack([VALUES[:, 0], column]), ("a", "b"))


def test_a_channel_that_hardly_varies_has_no_quartiles() -> None:
    """Robust scaling needs more than a few odd values; the message says to choose another kind."""
    values = np.zeros((100, 1))
    values[0] = 1.0
    with pytest.raises(
        TrainingError, match="channel 'a': expected readings that vary, got a robust scale of 0; choose another"
    ):
        fit_scaling("robust", values, ("a",))
    assert fit_scaling("standard", values, ("a",)).scale[0] > 0


@given(
    rows=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20),
    clip=st.one_of(st.none(), st.floats(0.1, 100)),
)
def test_a_clip_limits_one_reading_and_many_to_the_same_bits(
    rows: list[tuple[float, float]], clip: float | None
) -> None:
    """What is within stays as it is, what is beyond is the clip with its sign (oracle in plain loops)."""
    scaling = Scaling("robust", (3.0, -20.0), (4.0, 25.0), clip)
    expected = [[(row[0] - 3.0) * (1 / 4.0), (row[1] + 20.0) * (1 / 25.0)] for row in rows]
    if clip is not None:
        expected = [[-clip if v < -clip else min(v, clip) for v in row] for row in expected]
    assert [Scale(scaling).step(list(row)) for row in rows] == expected
    assert Scale(scaling).apply(np.array(rows)).tolist() == expected


def test_the_fitted_scaling_carries_the_clip() -> None:
    """And it is no part of what is fitted; a clip that leaves nothing is refused."""
    assert fit_scaling("robust", VALUES, ("a", "b")).clip is None
    clipped = fit_scaling("robust", VALUES, ("a", "b"), 10.0)
    assert clipped == replace(fit_scaling("robust", VALUES, ("a", "b")), clip=10.0)
    with pytest.raises(ValueError, match="expected a clip above 0, got 0"):
        replace(clipped, clip=0.0)


@pytest.mark.parametrize("kind", ["standard", "min_max", "robust"])
def test_no_scale_is_below_a_resolution(kind: Any) -> None:
    """A channel that does not vary, or hardly, is scaled by it; one that varies more, and one without, are as ever."""
    hardly = np.array([3.0, 3.0, 3.0, 3.0, 3.001])
    values = np.column_stack([VALUES[:, 0], np.full(5, 7.0), hardly, VALUES[:, 0]])
    scaling = fit_scaling(kind, values, ("a", "b", "c", "d"), resolutions=(0.5, 0.25, 0.1, None))
    usual = fit_scaling(kind, VALUES[:, :1], ("a",)).scale[0]
    assert scaling.scale == (usual, 0.25, 0.1, usual)
    assert scaling.center[1] == 7.0
    assert Scale(scaling).step([1.0, 7.5, 3.0, 1.0])[1] == 2.0


def test_what_does_not_vary_may_be_given_a_resolution() -> None:
    """The message says so where there can be one: a derived input has none."""
    constant = np.full((5, 1), 3.0)
    advice = "got 3 in all 5 rows; leave the channel out or train on more data"
    with pytest.raises(TrainingError, match=f"{advice}, or give it a resolution$"):
        fit_scaling("standard", constant, ("a",), resolutions=(None,))
    with pytest.raises(TrainingError, match=f"{advice}$"):
        fit_scaling("standard", constant, ("a.rate",))
    with pytest.raises(TrainingError, match=r"choose another kind of scaling, or give it a resolution$"):
        fit_scaling("robust", np.eye(100)[:, :1], ("a",), resolutions=(None,))
