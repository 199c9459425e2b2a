"""The picture of how long readings take."""

from __future__ import annotations

import sys
from pathlib import Path

import measured
import numpy as np
import pytest

from edge_runtime.bench.plot import check_target, longer_than, plot_bench
from edge_runtime.errors import ExtraMissingError, InputError, OutputError

RUN = measured.bench(
    measured.result(us=measured.blocks(np.random.default_rng(1))),
    measured.result("litert", "tflite-int8", us=measured.blocks(np.random.default_rng(2), 30.0)),
)


@pytest.mark.parametrize(
    ("name", "start"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF"), ("x.PNG", b"\x89PNG")]
)
def test_each_kind(tmp_path: Path, name: str, start: bytes) -> None:
    """By the file's ending, with no warning."""
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)")
    plot_bench(tmp_path / name, RUN)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_every_variant_is_named_with_its_figures(tmp_path: Path) -> None:
    """In the legend, the fastest first; the board and the bundle above; as many variants as there may be."""
    rc_context = pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)").rc_context
    many = [measured.result("onnx", f"variant-{index}", us=[40.0 + index] * 20) for index in range(12)]
    with rc_context({"svg.fonttype": "none"}):
        plot_bench(tmp_path / "x.svg", measured.bench(*RUN.results, *many))
    text = (tmp_path / "x.svg").read_text()
    names = ["tflite-int8 on litert: p50 ", *(f"{each.variant} on onnx: p50 {each.us_p50:.3g}," for each in many)]
    places = [text.index(name) for name in names]
    assert places == sorted(places)
    assert "pump.anomalite on Raspberry Pi 5 Model B Rev 1.0: time a reading" in text


def test_the_curve_is_the_share_that_takes_longer() -> None:
    """From all of the readings to the worst of them, never up."""
    for result in RUN.results:
        edges, shares = longer_than(result)
        assert (shares[0], edges[-1]) == (1.0, result.us_worst)
        assert edges == sorted(edges)
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] > 0
        assert np.interp(np.log(result.us_p50), np.log(edges), shares) == pytest.approx(0.5, abs=0.05)


def test_a_single_reading_is_drawn(tmp_path: Path) -> None:
    """One bin."""
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)")
    result = measured.result(readings=1, histogram_us=((50.0, 1.0),))
    plot_bench(tmp_path / "x.png", measured.bench(result))
    assert (tmp_path / "x.png").exists()


def test_targets_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kind, a place that cannot be written, and matplotlib missing: told before anything is measured, where it can be."""
    with pytest.raises(InputError, match=r"x\.gif: expected a picture ending in \.png, \.svg, \.pdf, got '\.gif'"):
        check_target(tmp_path / "x.gif")
    with pytest.raises(InputError, match="expected a folder"):
        check_target(tmp_path / "none" / "x.png")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ExtraMissingError, match=r"pip install 'anomalite\[plot\]'"):
            check_target(tmp_path / "x.png")
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra: plot)")
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match=r"x\.png: cannot be written: Is a directory"):
        plot_bench(tmp_path / "x.png", RUN)
