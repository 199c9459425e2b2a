"""The demo keeps what the README promises of it."""

from __future__ import annotations

import re

from demo_run import Demo

from edge_runtime.bundle import Bundle
from export.variants import choose_recipes


def _alarms(demo: Demo) -> dict[str, tuple[str, float, int]]:
    rows = re.findall(r"^(\S.*?)  +(\d{4}-\S+ \S+|never) +([\d.]+|-) +(\d+)$", demo.printed, re.MULTILINE)
    return {name: (time, float(hours), int(false_alarms)) for name, time, hours, false_alarms in rows}


def test_every_sealed_variant_raises_the_alarm_three_days_ahead_and_not_before(demo: Demo) -> None:
    """At least 72 hours before the failure, no false alarm, on TFLite, ONNX and numpy alike."""
    alarms = _alarms(demo)
    engines = {
        "onnx-float32 on onnx",
        "tflite-float32 on litert",
        "tflite-unrolled-float32 on litert",
        "numpy-float32 on numpy",
    }
    assert engines <= alarms.keys()
    for engine in engines:
        time, hours, false_alarms = alarms[engine]
        assert hours >= 72, (engine, time)
        assert false_alarms == 0, engine


def test_it_prints_what_two_reference_detectors_do(demo: Demo) -> None:
    """A model that reconstructs zero and Hotelling's T2 stand beside ours."""
    assert {"reference: reconstructs zero", "reference: Hotelling T2"} <= _alarms(demo).keys()


def test_every_variant_is_in_the_bundle_with_its_parity(demo: Demo) -> None:
    """The parity record covers normal, disturbed and at least 1,000 near windows, and is in the file."""
    variants = Bundle.read(demo.bundle).manifest.variants
    assert [variant.name for variant in variants] == [recipe.name for recipe in choose_recipes(None, has_lstm=True)]
    for variant in variants:
        assert variant.parity["normal"].windows > 0
        assert variant.parity["disturbed"].windows >= 4000
        assert variant.parity["near_threshold"].windows >= 1000
        assert variant.name in demo.printed


def test_it_says_what_was_trained_and_draws_a_picture(demo: Demo) -> None:
    """Parameters, windows, seconds, and a PNG of some size."""
    assert re.search(r"lstm_autoencoder, \d+ parameters", demo.printed)
    assert re.search(r"297 windows of 312 rows", demo.printed)
    assert re.search(r"\d+ epochs in [\d.]+ s", demo.printed)
    assert str(demo.out / "report.png") in demo.printed
    picture = (demo.out / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_it_says_where_the_report_is(demo: Demo) -> None:
    """With the lead time of the trained model, and completed by export."""
    assert str(demo.run_directory / "report.html") in demo.printed
    page = (demo.run_directory / "report.html").read_text()
    assert "<dt>lead time to failure</dt><dd>74.0 hours</dd>" in page
    for variant in Bundle.read(demo.bundle).manifest.variants:
        assert f"<td>{variant.name}</td>" in page
