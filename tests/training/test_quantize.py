"""Quantization: fine-tuning brings int8 closer to the trained model, and what comes of it can be kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import RunError
from training.families import DenseAutoencoder, LSTMAutoencoder, LSTMForecaster
from training.flat import evaluate
from training.flatten_int8 import flatten_int8, int8_tensors
from training.models import build
from training.quantization import Quantization, Scale, evaluate_int8, scale_of
from training.quantize import QuantizeRule, fine_tune, plain, read_quantization, teaching_windows, write_quantization

SHAPE = (6, 2)


def model(spec: Any = None) -> Any:
    """An LSTM with weights of the size that trained ones have."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    made = build(spec or LSTMAutoencoder("lstm_autoencoder", units=8), *SHAPE, keras)
    made.set_weights([2 * weights for weights in made.get_weights()])
    return made


def normal(count: int = 80) -> Any:
    """Windows of a walk."""
    rng = np.random.default_rng(5)
    return (rng.normal(size=(count, *SHAPE)).cumsum(axis=1) / 2).astype(np.float32)


def error(trained: Any, quantization: Any, windows: Any, float_cell: bool = False) -> float:
    """The mean difference of int8 from the trained model."""
    program = flatten_int8(trained, SHAPE, float_cell=float_cell)
    return float(np.abs(evaluate_int8(program, quantization, windows) - np.asarray(trained(windows))).mean())


@pytest.mark.parametrize(
    "spec",
    [
        LSTMAutoencoder("lstm_autoencoder", units=8, layers=2),
        LSTMAutoencoder("lstm_autoencoder", units=8, latent=3),
        LSTMForecaster("lstm_forecaster", units=8, horizon=2),
    ],
)
@pytest.mark.parametrize("float_cell", [False, True])
def test_program_for_int8_without_rounding_is_the_model(spec: Any, float_cell: bool) -> None:
    """Within the range of the windows it was made with, the program calculates what Keras does."""
    trained, windows = model(spec), normal()
    program = flatten_int8(trained, SHAPE, 2 * windows, float_cell=float_cell)
    np.testing.assert_allclose(evaluate(program, windows), trained(windows), atol=1e-5)
    assert ("encoder_1/1/cell" in int8_tensors(program) or "lstm_1/1/cell" in int8_tensors(program)) != float_cell


def test_model_without_an_lstm_is_refused() -> None:
    """Its layers need no unrolling."""
    with pytest.raises(ValueError, match="expected a model with an LSTM layer"):
        flatten_int8(model(DenseAutoencoder("dense_autoencoder", hidden=(4,), latent=2)), SHAPE)


def test_fine_tuning_brings_int8_closer() -> None:
    """The measured gain is one, on windows that neither calibration nor fine-tuning has seen."""
    trained = model()
    settings = QuantizeRule(steps=60, learning_rate=0.003)
    tuned, gain = fine_tune(trained, normal(), normal(120)[80:], settings, seed=1)
    assert gain.fine_tuned.output_mean < 0.9 * gain.plain.output_mean
    assert error(trained, tuned, normal()) < 0.9 * error(trained, plain(trained, normal(), 1), normal())


def test_float_cell_is_closer() -> None:
    """What rounding adds up in, step after step, is the cell."""
    trained, windows = model(), normal()
    exact = error(trained, plain(trained, windows, float_cell=True), windows, float_cell=True)
    assert exact < error(trained, plain(trained, windows), windows)


def test_written_and_read_back() -> None:
    """The same numbers, and the choice of the cell with them."""
    quantization = plain(model(), normal(), float_cell=True)
    again = read_quantization(write_quantization(quantization))
    assert again.ranges == quantization.ranges
    assert again.float_cell
    for name, values in quantization.constants.items():
        np.testing.assert_array_equal(again.constants[name], values)


def test_broken_file_is_refused() -> None:
    """With one line."""
    whole = write_quantization(plain(model(), normal()))
    for data in (b"", b"no npz", whole[: len(whole) // 2]):
        with pytest.raises(RunError, match="quantization: expected what training wrote, got"):
            read_quantization(data)


def test_quantization_of_another_model_is_refused() -> None:
    """Naming the constant."""
    quantization = plain(model(), normal())
    other = flatten_int8(model(LSTMAutoencoder("lstm_autoencoder", units=4)), SHAPE)
    with pytest.raises(ValueError, match=r"expected 'decoder_1/candidate_in_bias' of shape .*another model"):
        evaluate_int8(other, quantization, normal())


def halve_scale(quantization: Quantization, weights: str = "decoder_1/candidate_in_weights") -> Quantization:
    """Damaged: the scale of these weights is half of what it should be, and what is stored in int8 is the same."""
    return replace(quantization, constants={**quantization.constants, weights: quantization.constants[weights] / 2})


def test_halved_scale_shows() -> None:
    """It is worse than any rounding."""
    trained, windows = model(), normal()
    whole = plain(trained, windows)
    assert error(trained, halve_scale(whole), windows) > 3 * error(trained, whole, windows)


def test_scale_holds_zero_exactly() -> None:
    """And reaches both ends within one step."""
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)):
        scale = scale_of(low, high)
        rounded = scale.round(np.array([0, low, high], np.float32))
        assert rounded[0] == 0
        np.testing.assert_allclose(rounded[1:], [low, high], atol=scale.scale * 1.01)
    assert Scale(0.5, 3).round(np.array([1e9, -1e9], np.float32)).tolist() == [62, -65.5]


def test_teaching_windows_hold_the_normal_ones_and_others() -> None:
    """One part as it is, one with a fault in one input or another size, one with faults in all inputs; the same for one seed."""
    windows = normal()
    taught = teaching_windows(windows, 4)
    assert taught.shape == (3 * len(windows), *SHAPE)
    assert {each.tobytes() for each in windows} == {each.tobytes() for each in taught[: len(windows)]}
    np.testing.assert_array_equal(taught, teaching_windows(windows, 4))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": 1.0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    """Naming the setting."""
    with pytest.raises(ValueError, match=f"expected (a )?{next(iter(wrong))}"):
        QuantizeRule(**wrong)
