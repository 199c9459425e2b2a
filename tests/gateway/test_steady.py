"""Engines whose answers do not depend on what is scored together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime import load
from edge_runtime.bundle import Bundle
from edge_runtime.engines import Engine, installed_engines, open_engine
from edge_runtime.gateway.steady import SIZES, SteadyEngine, open_steady, steady
from edge_runtime.manifest import Score
from edge_runtime.score import Scorer

SHAPE = (4, 2)


class Fake:
    """Adds to each window what `error` says of its place and the size of the call."""

    def __init__(self, error: Any, best_batch: int = 64) -> None:
        self.best_batch = best_batch
        self._error = error
        self.sizes: list[int] = []

    def run(self, windows: np.ndarray) -> np.ndarray:
        self.sizes.append(len(windows))
        errors = np.array([self._error(place, len(windows)) for place in range(len(windows))], np.float32)
        return windows + errors[:, None, None]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "most", "doubles"),
    [
        (lambda place, size: 0, 64, False),
        (lambda place, size: size == 1, 64, True),
        (lambda place, size: size > 8, 8, False),
        (lambda place, size: size > 8 or size == 1, 8, True),
        (lambda place, size: place == 16, 16, False),
        (lambda place, size: place, 1, False),
        (lambda place, size: size % 2, 2, True),
    ],
)
def test_the_most_windows_that_give_the_same_bits(error: Any, most: int, doubles: bool) -> None:
    """Calls are as large as is proven, one alone is doubled where that makes it the same, else windows are run one at a time."""
    wrapped = steady(Fake(error), SHAPE)
    assert (wrapped.best_batch, wrapped.doubles) == (most, doubles)


@pytest.mark.parametrize("most", [1, 2, 64])
def test_no_larger_call_than_said(most: int) -> None:
    """A variant with a largest batch is tried up to it, and not beyond."""
    fake = Fake(lambda place, size: 0)
    assert steady(fake, SHAPE, most).best_batch == most
    assert max(fake.sizes, default=1) <= most


def agrees(wrapped: Engine, shape: tuple[int, int]) -> None:
    """Random windows in random calls of any size get the bits they get alone."""
    rng = np.random.default_rng(7)
    windows = rng.normal(0, 2, (64, *shape)).astype(np.float32)
    alone = np.concatenate([wrapped.run(windows[row : row + 1]) for row in range(len(windows))])
    for size in range(1, 65):
        rows = rng.permutation(64)[:size]
        assert wrapped.run(windows[rows]).tobytes() == alone[rows].tobytes(), size


@pytest.mark.parametrize("engine", installed_engines())
@pytest.mark.parametrize("shape", handmade.SHAPES)
def test_every_engine_is_made_steady(engine: str, shape: tuple[int, int]) -> None:
    """Whatever the engine does with calls of several windows here."""
    agrees(steady(open_engine(engine, handmade.model_file(engine, *shape), shape), shape), shape)


@pytest.mark.parametrize("family", handmade.FAMILIES)
@pytest.mark.parametrize("engine", installed_engines())
def test_every_family_is_made_steady(engine: str, family: str) -> None:
    """The other kinds of models too."""
    if not (handmade.DATA / "models" / f"{family}{handmade.FILES[engine]}").exists():
        pytest.skip("the family has no model for this engine")
    shape, output = handmade.FAMILIES[family]
    agrees(steady(open_engine(engine, handmade.family_file(engine, family), shape, output), shape), shape)


def test_a_wide_lstm_of_the_numpy_engine() -> None:
    """Its matrix products are where a processor's library has different ways for few rows and many."""
    shape = (32, 4)
    agrees(steady(open_engine("numpy", handmade.lstm_model(*shape, units=32), shape), shape), shape)


@pytest.mark.parametrize("kind", ["mae", "mse", "diagonal", "full"])
@pytest.mark.parametrize("last", [None, 3])
def test_a_score_does_not_depend_on_the_others(kind: str, last: int | None) -> None:
    """What is calculated of the model's answers, to the bit, at any place of a call of any size."""
    T, C = 32, 5
    rng = np.random.default_rng(3)
    whitening = np.eye(C) * 1.3 + (0.2 * rng.normal(0, 1, (C, C)) if kind == "full" else 0)
    rule = Score(
        kind if kind in ("mae", "mse") else "mahalanobis",
        last,
        1.0,
        None if kind in ("mae", "mse") else tuple(map(tuple, whitening.tolist())),
    )  # type: ignore[arg-type]
    scorer = Scorer(rule, (T, C), T)
    windows, answers = rng.normal(0, 1, (2, 130, T, C)).astype(np.float32)
    scores, shares = scorer.step_many(answers, windows)
    for size in (1, 2, 3, 16, 64, 127, 128):
        rows = rng.permutation(130)[:size]
        some = scorer.step_many(answers[rows], windows[rows])
        assert (some[0].tobytes(), some[1].tobytes()) == (scores[rows].tobytes(), shares[rows].tobytes())


def test_many_machines_are_answered_as_each_alone(tmp_path: Path) -> None:
    """`update_many` of a bundle opened so: every column to the bit, for ticks of any number of machines."""
    m = handmade.manifest(32, 4, score=Score("mse", None, 0.5))
    bundle = Bundle.read(handmade.sealed(tmp_path / "b.anomalite", m, handmade.lstm_model(32, 4, 32), golden=False))
    alone, together = open_steady(bundle, machines=80), open_steady(bundle, machines=80)
    rng = np.random.default_rng(5)
    time = handmade.START
    for turn in range(45):
        time += handmade.SECOND
        values = rng.normal(0, 1, (80, 4))
        moment = handmade.moments(np.array([time]))[0]
        whole = together.update_many(np.arange(80), values, moment)
        order = rng.permutation(80)
        cuts = np.sort(rng.choice(80, turn % 12, replace=False))
        for rows in np.split(order, cuts):
            part = alone.update_many(rows, values[rows], np.full(len(rows), moment))
            assert part.scores.tobytes() == whole.scores[rows].tobytes()
            assert part.contributions.tobytes() == whole.contributions[rows].tobytes()
            assert part.alarm_codes.tobytes() == whole.alarm_codes[rows].tobytes()
    assert whole.scored.all()


def test_it_opens_what_load_opens(small: Path) -> None:
    """The same engine and variant, by the same rules."""
    opened, loaded = open_steady(Bundle.read(small), machines=3), load(small)
    assert (opened.engine_name, opened.variant_name) == (loaded.engine_name, loaded.variant_name)
    assert isinstance(opened.engine, SteadyEngine)
    assert opened.machines == 3
    assert max(SIZES) == 64
