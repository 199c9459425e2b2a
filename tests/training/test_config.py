"""The training configuration is strict and says what is wrong, and where."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime.errors import InputError, SchemaError
from edge_runtime.manifest import Window
from training.config import DenseAutoencoder, LinearAutoencoder, LSTMAutoencoder, load_config, parse_config

EXAMPLES = Path(__file__).parents[2] / "examples" / "ims_bearing"


def test_defaults(workshop):
    """What a configuration leaves out takes the documented defaults."""
    config = load_config(workshop.config)
    assert config.channels is None
    assert config.model == DenseAutoencoder("dense_autoencoder", hidden=(6,), latent=3)
    shares = config.data.shares
    assert (shares.fit, shares.early_stopping, shares.calibration) == (0.7, 0.15, 0.15)
    assert (config.threshold.percentile, config.threshold.factor) == (95, 1.5)


def test_the_shortest_configuration_is_the_recommended_one(workshop):
    """A name, files and the sampling are enough; the rest is what did best on real data (docs/detection.md)."""
    changed = workshop.write_config(
        ("[window]\nlength = 4\n", ""),
        ('[model]\nfamily = "dense_autoencoder"\nhidden = [6]\nlatent = 3\n', ""),
        ("[fit]\nepochs = 3\nbatch_size = 64\nlearning_rate = 0.01\n", ""),
    )
    config = load_config(changed)
    assert config.window == Window(8)
    assert config.model == LinearAutoencoder("linear_autoencoder")
    assert (config.score.kind, config.score.shrinkage, config.score.smoothing) == ("mahalanobis", 1.0, 1.0)


def test_family_chooses_the_model_section(workshop):
    """The `family` says which keys `[model]` takes."""
    changed = workshop.write_config(
        ('family = "dense_autoencoder"\nhidden = [6]\nlatent = 3', 'family = "lstm_autoencoder"\nunits = 9')
    )
    assert load_config(changed).model == LSTMAutoencoder("lstm_autoencoder", layers=1, units=9, latent=None)


def test_times_without_offset_are_utc(workshop):
    """A TOML time without an offset is UTC."""
    changed = workshop.write_config(('time_column = "time"', 'time_column = "time"\nstart = 2024-01-01T00:30:00'))
    assert load_config(changed).data.start == datetime(2024, 1, 1, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["train.toml", "dense.toml", "conv.toml", "forecaster.toml", "linear.toml"])
def test_examples_decode(name):
    """The example's configurations are valid and name the columns of its readings."""
    config = load_config(EXAMPLES / name)
    header = (EXAMPLES / config.data.files[0]).read_text().splitlines()[0].split(",")
    named = header[1:] if config.channels is None else [channel.name for channel in config.channels]
    assert [config.data.time_column, *named] == header


MODEL = 'family = "dense_autoencoder"\nhidden = [6]\nlatent = 3'
CHANNELS = '[[channels]]\nname = "flow"\n'
FAULTS = {
    "an unknown key gets a suggestion": (("latent = 3", "laten = 3"), "$.model.laten", "did you mean 'latent'?"),
    "an unknown section too": (("[window]", "[windows]"), "$.windows", "did you mean 'window'?"),
    "a missing section": (
        ("[sampling]\nperiod_s = 60\nlongest_gap_s = 180\n", ""),
        "$",
        "expected the key 'sampling', found none",
    ),
    "text for a number": (("epochs = 3", 'epochs = "3"'), "$.fit.epochs", "expected a whole number, got '3'"),
    "a fraction for a count": (("epochs = 3", "epochs = 3.5"), "$.fit.epochs", "expected a whole number, got 3.5"),
    "one file not in a list": (('["readings.csv"]', '"readings.csv"'), "$.data.files", "expected a list"),
    "no file": (('["readings.csv"]', "[]"), "$.data", "expected one or more files, got none"),
    "a file twice": (('["readings.csv"]', '["a.csv", "a.csv"]'), "$.data", "expected each file once"),
    "an unknown family": (
        ('"dense_autoencoder"', '"dense_autoencode"'),
        "$.model.family",
        "did you mean 'dense_autoencoder'?",
    ),
    "a key of another family": (("hidden = [6]", "units = 6"), "$.model.units", "unknown key 'units'"),
    "no units": (("hidden = [6]", "hidden = [6, 0]"), "$.model", "expected hidden of at least 1, got 0"),
    "shares beyond the whole": (
        ("[sampling]", "[data.shares]\nfit = 0.8\n[sampling]"),
        "$.data.shares",
        "expected shares above zero that add up to 1, got 1.1",
    ),
    "a share of nothing": (
        ("[sampling]", "[data.shares]\nfit = 0.85\ncalibration = 0.0\n[sampling]"),
        "$.data.shares",
        "expected shares above zero",
    ),
    "a score longer than the window": (
        ("[fit]", "[score]\nlast = 5\n[fit]"),
        "$",
        "expected score.last of at most 4 (the window), got 5",
    ),
    "a forecast of the whole window": (
        (MODEL, 'family = "lstm_forecaster"\nhorizon = 4'),
        "$",
        "expected model.horizon below 4 (the window), got 4",
    ),
    "a score longer than the forecast": (
        (MODEL, 'family = "lstm_forecaster"\nhorizon = 2\n[score]\nlast = 3'),
        "$",
        "expected score.last of at most 2 (model.horizon), got 3",
    ),
    "a dropout of everything": (
        (MODEL, 'family = "lstm_autoencoder"\ndropout = 1.0'),
        "$.model",
        "expected a dropout of at least 0 and below 1, got 1",
    ),
    "all of the variance": (
        (MODEL, 'family = "linear_autoencoder"\nvariance = 1.0'),
        "$.model",
        "expected a variance above 0 and below 1, got 1",
    ),
    "two numbers of components": (
        (MODEL, 'family = "linear_autoencoder"\nvariance = 0.9\ncomponents = 3'),
        "$.model",
        "expected variance or components, got both",
    ),
    "no convolution": (
        (MODEL, 'family = "conv_autoencoder"\nfilters = []'),
        "$.model",
        "expected filters of one or more",
    ),
    "a kernel of nothing": (
        (MODEL, 'family = "conv_autoencoder"\nkernel = 0'),
        "$.model",
        "expected kernel of at least 1, got 0",
    ),
    "a percentile above 100": (
        ("[fit]", "[threshold]\npercentile = 101\n[fit]"),
        "$.threshold",
        "expected a percentile above 0 and at most 100, got 101",
    ),
    "a rule that is not known": (
        ("[fit]", '[threshold]\nkind = "sigmas"\n[fit]'),
        "$.threshold.kind",
        "unknown kind 'sigmas', did you mean 'sigma'?",
    ),
    "a budget of no days": (
        ("[fit]", '[threshold]\nkind = "budget"\ndays = 0\n[fit]'),
        "$.threshold",
        "expected days above 0, got 0",
    ),
    "a whitening by hand": (
        ("[fit]", '[score]\nkind = "mahalanobis"\nwhitening = [[1.0]]\n[fit]'),
        "$.score.whitening",
        "unknown key 'whitening'",
    ),
    "too much shrinkage": (
        ("[fit]", '[score]\nkind = "mahalanobis"\nshrinkage = 1.5\n[fit]'),
        "$.score",
        "expected a shrinkage from 0 to 1, got 1.5",
    ),
    "an interval that ends before it starts": (
        ("[sampling]", "[[data.exclude]]\nstart = 2024-01-02T00:00:00\nend = 2024-01-01T00:00:00\n[sampling]"),
        "$.data.exclude[0]",
        "expected start before end",
    ),
    "a date for a time": (
        ('time_column = "time"', 'time_column = "time"\nstart = 2024-01-01'),
        "$.data.start",
        "expected a date and time",
    ),
    "the same channel twice": (("[fit]", f"{CHANNELS}{CHANNELS}[fit]"), "$", "channels with different names"),
    "a rule that is none": (
        ("[fit]", '[operating]\nwhen = "flow => 1"\n[fit]'),
        "$.operating",
        "cannot read the rule 'flow => 1' from '=> 1' on",
    ),
    "a rule on an unknown channel": (
        ("[fit]", f'[operating]\nwhen = "flow > 1"\nuntil = "speed < 1"\n{CHANNELS}[fit]'),
        "$",
        "operating.until: unknown channel 'speed', known: flow",
    ),
    "a time to settle below zero": (
        ("[fit]", '[operating]\nwhen = "flow > 1"\nsettle_s = -1\n[fit]'),
        "$.operating",
        "expected settle_s from 0 to 1e9, got -1",
    ),
    "fewer than no rows to interpolate": (
        ('time_column = "time"', 'time_column = "time"\ninterpolate = -1'),
        "$.data",
        "expected interpolate of 0 or more rows, got -1",
    ),
    "a sensor stuck at its first reading": (
        ("[fit]", f"{CHANNELS}stuck_after = 1\n[fit]"),
        "$.channels[0]",
        "expected stuck_after of at least 2, got 1",
    ),
    "a name that is a path": (('"pump"', '"../pump"'), "$", "expected a name of letters"),
    "a negative seed": (("seed = 7", "seed = -7"), "$", "expected a seed from 0 to 4294967295, got -7"),
}


@pytest.mark.parametrize(("change", "place", "message"), FAULTS.values(), ids=FAULTS)
def test_fault_names_file_place_and_expectation(workshop, change, place, message):
    """Each fault is one line with the file, the place, and what was expected."""
    path = workshop.write_config(change)
    with pytest.raises(SchemaError) as caught:
        load_config(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert text.endswith(f" - at {place}")
    assert "\n" not in text


def test_missing_file_is_named(tmp_path):
    """A configuration that is not there is an `InputError` with its path."""
    with pytest.raises(InputError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(("text", "message"), [(b'name = "pump', "expected TOML"), (b'name = "\xff"', "the byte 0xff")])
def test_not_toml_is_refused(text, message):
    """What is no TOML is refused with the parser's place."""
    with pytest.raises(InputError, match=f"pump.toml: .*{message}"):
        parse_config(text, "pump.toml")


def test_a_rule_may_be_on_any_feature_of_a_waveform(workshop):
    """Also on one that no table of channels says anything of; training checks it against all of them."""
    sections = """\
[operating]
when = "rms_b1 > 1"
[[channels]]
name = "kurtosis_b1"
is_input = false
[waveform]
sample_rate_hz = 1000
length = 64
channels = { b1 = "g" }
[fit]
"""
    config = load_config(workshop.write_config(("[fit]\n", sections)))
    assert config.operating.channels == ("rms_b1",)
