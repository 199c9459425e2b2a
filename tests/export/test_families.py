"""The contract of a model family: every variant of it, on every engine that runs it, answers as Keras does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import pytest
from family_specs import SPECS, untrained

from edge_runtime.commands.verify import verify
from edge_runtime.engines import Engine, is_installed, open_engine
from edge_runtime.errors import ExportError
from edge_runtime.opening import load
from edge_runtime.schema import encode
from export import export_run, onnx, tflite, tflite_graph
from export.source import Source
from export.variants import ALL, RECIPES, Recipe, choose_recipes
from training import train
from training.config import Model
from training.export_settings import Int8Budget
from training.families import LSTMForecaster
from training.models import FAMILIES, estimates

SHAPES = [(7, 3), (6, 1), (5, 19)]
"""Of the windows (T, C): an odd length, one channel, many channels."""
CASES = [
    (name, shape)
    for position, (name, spec) in enumerate(SPECS.items())
    for shape in (
        SHAPES if spec.family not in {each.family for each in list(SPECS.values())[:position]} else SHAPES[:1]
    )
]
"""Every specification, and the first one of each family at every shape."""
ENGINES = ("onnx", "litert", "numpy")
"""Those that can be asked where TensorFlow is; tflite-runtime runs committed models in `tests/runtime`."""


class Exported(NamedTuple):
    """A model, what it answers, and its variants."""

    spec: Model
    shape: tuple[int, int]
    twin: Any
    windows: npt.NDArray[np.float32]
    expected: npt.NDArray[np.float32]
    files: dict[str, bytes]
    recipes: tuple[Recipe, ...]

    def engines(self) -> Iterator[tuple[str, float, Engine]]:
        """Each variant on each engine, with the largest relative difference it may have."""
        for recipe in self.recipes:
            exact = 1e-4 if recipe.arithmetic != "int8" else Int8Budget().reconstruction
            for engine in set(recipe.engines) & set(ENGINES):
                opened = open_engine(engine, self.files[recipe.name], self.shape, self.expected.shape[1:])
                yield f"{recipe.name} on {engine}", exact, opened


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1][0]}x{case[1][1]}")
def exported(request: pytest.FixtureRequest) -> Exported:
    """An untrained model, exported once for all tests."""
    import keras
    import tf_keras

    name, shape = request.param
    spec = SPECS[name]
    model = untrained(spec, shape, keras)
    rng = np.random.default_rng(1)
    windows = (rng.normal(size=(20, *shape)) * rng.choice([0.2, 1.0, 5.0], (20, 1, 1))).astype(np.float32)
    source = Source(spec, model, shape, windows, lambda: tf_keras)
    files: dict[str, bytes] = {}
    recipes = []
    for recipe in choose_recipes([ALL], spec.family.startswith("lstm")):
        try:
            files[recipe.name] = recipe.convert(source)
        except ExportError as fault:
            if "no weight is int8" not in str(fault) or recipe.arithmetic != "int8":  # these are small enough for that
                raise
        else:
            recipes.append(recipe)
    expected = np.asarray(model.predict_on_batch(windows))
    return Exported(spec, shape, source.twin, windows, expected, files, tuple(recipes))


def test_every_family_and_every_variant_is_under_this_contract() -> None:
    """A family is a class of the configuration, a builder, and a specification in these tests; each variant has an engine here."""
    tags = {get_args(get_type_hints(cls)["family"])[0] for cls in get_args(Model)}
    assert tags == set(FAMILIES) == {spec.family for spec in SPECS.values()}
    assert all(set(recipe.engines) & set(ENGINES) for recipe in RECIPES)
    assert all(is_installed(engine) for engine in ENGINES)
    assert {spec.horizon for spec in SPECS.values() if isinstance(spec, LSTMForecaster)} == {1, 3}


def test_estimates_the_last_readings(exported: Exported) -> None:
    """(B, K, F): all of the window's, or as many as the forecaster's horizon."""
    T, C = exported.shape
    assert exported.expected.shape == (20, estimates(exported.spec) or T, C)


def test_a_forecast_does_not_see_what_it_predicts(exported: Exported) -> None:
    """Other last readings change nothing but an autoencoder's answer; other first ones change every family's."""
    K = exported.expected.shape[1]
    for steps, sees in (
        (slice(-K, None), not isinstance(exported.spec, LSTMForecaster)),
        (slice(None, 1), True),
    ):
        changed = exported.windows.copy()
        changed[:, steps] += 1
        for name, _, engine in exported.engines():
            assert np.array_equal(engine.run(changed), engine.run(exported.windows)) != sees, name


def test_every_engine_answers_as_keras_does(exported: Exported) -> None:
    """Within 1e-4 of the largest value in float32, within the variant's budget otherwise; each window alone as in a batch."""
    largest = np.abs(exported.expected).max()
    for name, exact, engine in exported.engines():
        batch = engine.run(exported.windows)
        assert np.abs(batch - exported.expected).max() <= exact * largest, name
        for row in range(5):
            single = engine.run(exported.windows[row : row + 1])
            assert single.shape == (1, *exported.expected.shape[1:]), name
            assert np.abs(single[0] - batch[row]).max() <= 1e-6 * largest, name


def test_no_engine_keeps_a_state(exported: Exported) -> None:
    """Forward, in reverse and repeated: equal bits."""
    rows = range(len(exported.windows))
    for name, _, engine in exported.engines():
        forward = [engine.run(exported.windows[row : row + 1]).tobytes() for row in rows]
        reverse = [engine.run(exported.windows[row : row + 1]).tobytes() for row in reversed(rows)][::-1]
        again = [[engine.run(exported.windows[row : row + 1]).tobytes() for _ in range(2)][-1] for row in rows]
        assert forward == reverse == again, name
        # Not all differ: where every relu is off the answer is the same, and so are answers that int8 rounds alike.
        assert len(set(forward)) > (1 if "int8" in name else len(forward) / 2), name


def test_graphs_hold_known_operators_and_every_lstm_is_fused(exported: Exported) -> None:
    """In TFLite none newer than tflite-runtime knows; cutting rows off does not cost the fused kernel."""
    lstm_layers = tflite_graph.count_lstm_layers(exported.twin)
    expected = {"lstm": 2, "lstm-stacked": 4, "lstm-skip": 2, "forecaster": 1, "forecaster-stacked": 2}
    (name,) = [name for name, spec in SPECS.items() if spec is exported.spec]
    assert lstm_layers == expected.get(name, 0)
    for variant, model in exported.files.items():
        if variant.startswith("tflite-unrolled"):
            assert set(tflite.operators(model)) <= set(tflite_graph.UNROLLED)
        elif variant.startswith("tflite"):
            assert tflite.operators(model).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == lstm_layers
            assert set(tflite.operators(model)) <= set(tflite_graph.FULL_INT8)
        elif variant.startswith("onnx"):
            assert sum(operator in onnx.FUSED for operator in onnx.operators(model)) == lstm_layers
            assert set(onnx.operators(model)) <= onnx.ALLOWED


CONFIG = """
name = "machine"
[data]
files = ["readings.csv"]
[sampling]
period_s = 1
longest_gap_s = 5
[window]
length = 7
[fit]
epochs = 2
[threshold]
factor = 1.2
[model]
"""


@pytest.mark.parametrize("name", ["lstm-skip", "forecaster-stacked", "conv", "dense", "linear"])
def test_a_family_goes_all_the_way(name: str, tmp_path: Path) -> None:
    """Trained on readings, proven in every variant, sealed, verified, and opened by what decides on the device."""
    rng = np.random.default_rng(4)
    causes = np.sin(np.arange(300)[:, None] / (5, 11) + (0, 1))
    readings = causes @ rng.normal(size=(2, 3)) + rng.normal(0, 0.2, (300, 3))
    rows = [f"{1_700_000_000 + row},{a!r},{b!r},{c!r}" for row, (a, b, c) in enumerate(readings.tolist())]
    (tmp_path / "readings.csv").write_text("\n".join(["timestamp,a,b,c", *rows, ""]))
    # What JSON writes for text, numbers and lists is TOML too.
    keys = {key: json.dumps(value) for key, value in encode(SPECS[name]).items() if value is not None}
    (tmp_path / "machine.toml").write_text(CONFIG + "".join(f"{key} = {value}\n" for key, value in keys.items()))

    run = train(tmp_path / "machine.toml", tmp_path / "run")
    result = export_run(run, tmp_path / "machine.anomalite")
    recipes = choose_recipes(None, run.model.family.startswith("lstm"))
    assert {outcome.name: outcome.refused for outcome in result.outcomes} == {recipe.name: None for recipe in recipes}
    assert all(each.passed for each in verify(result.bundle)[0] if each.engine in ENGINES)
    assert result.bundle.manifest.estimates == estimates(SPECS[name])
    for engine in ENGINES:
        detector = load(result.path, engine=engine)
        times = (1_700_000_000 + np.arange(300)).astype(np.float64)
        broken = readings.copy()
        broken[200:, 0] += np.tile([20.0, -20.0], 50)  # like nothing before, and not to be foreseen
        verdicts = detector.score(broken, times)
        assert verdicts.anomalous[200:].all()
        detector.close()


def test_every_family_goes_all_the_way() -> None:
    """The test above has one specification of each."""
    (mark,) = test_a_family_goes_all_the_way.pytestmark  # type: ignore[attr-defined]
    assert {SPECS[name].family for name in mark.args[1]} == set(FAMILIES)
