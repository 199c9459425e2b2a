"""Which variants are made."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.cpu import KINDS
from edge_runtime.engines import ENGINES
from edge_runtime.errors import ExportError
from export.source import Source
from export.variants import ALL, RECIPES, choose_recipes
from training.config import DenseAutoencoder

LSTM = [recipe.name for recipe in RECIPES]
OTHERS = [recipe.name for recipe in RECIPES if not recipe.only_lstm]


@pytest.mark.parametrize("has_lstm", [True, False])
def test_names_choose(has_lstm: bool) -> None:
    """The default ones, all of them, or those named, in the order in which a device prefers them."""
    known = LSTM if has_lstm else OTHERS
    assert [recipe.name for recipe in choose_recipes([ALL], has_lstm)] == known
    default = choose_recipes(None, has_lstm)
    assert 0 < len(default) < len(known)
    assert [recipe.name for recipe in choose_recipes(["numpy-float32", "onnx-float32"], has_lstm)] == [
        name for name in known if name in ("numpy-float32", "onnx-float32")
    ]


def test_a_name_that_is_none_is_refused_with_the_list() -> None:
    """And one that is none of this model says why."""
    with pytest.raises(ExportError, match=f"expected variants among {', '.join(LSTM)} or all, got 'tflite'"):
        choose_recipes(["numpy-float32", "tflite"], has_lstm=True)
    for name in set(LSTM) - set(OTHERS):
        with pytest.raises(ExportError, match=rf"got '{name}' \(without LSTM layers there is nothing to unroll\)"):
            choose_recipes([name], has_lstm=False)


@pytest.mark.parametrize("has_lstm", [True, False])
def test_every_kind_of_cpu_has_a_default_variant_made_for_it(has_lstm: bool) -> None:
    """And no variant is for a kind that there is not."""
    boards = [
        board
        for recipe in choose_recipes(None, has_lstm)
        for board in (recipe.boards if has_lstm else recipe.boards_without_lstm)
    ]
    assert set(boards) == set(KINDS)
    assert all(set(recipe.engines) <= set(ENGINES) for recipe in RECIPES)


def test_a_long_window_is_not_unrolled_unless_it_is_asked_for() -> None:
    """The graph has every operation once a reading; 64-bit boards then take ONNX."""
    short, long = (choose_recipes(None, has_lstm=True, length=length) for length in (64, 65))
    assert {recipe.name for recipe in short} - {recipe.name for recipe in long} == {
        "tflite-unrolled-float16", "tflite-unrolled-float32",
    }  # fmt: skip
    assert {board for recipe in long for board in recipe.boards} == set(KINDS)
    asked = choose_recipes(["tflite-unrolled-float32"], has_lstm=True, length=500)
    assert [recipe.name for recipe in asked] == ["tflite-unrolled-float32"]


@pytest.mark.parametrize("shape", [(5, 8, 2), (5, 7, 3), (0, 8, 3), (8, 3)])
def test_representative_windows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Before anything is converted, with what was expected."""
    spec = DenseAutoencoder("dense_autoencoder")
    with pytest.raises(ExportError, match=r"expected representative windows \(B, 8, 3\) of one or more, got \("):
        Source(spec, None, (8, 3), np.zeros(shape, np.float32), lambda: None)
    with pytest.raises(ExportError, match="expected finite representative windows"):
        Source(spec, None, (8, 3), np.full((2, 8, 3), np.nan, np.float32), lambda: None)
