from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from benchmarks.scaling.command import AXES, Sweep
from benchmarks.scaling.fit import growth, line
from benchmarks.scaling.plot import draw
from benchmarks.scaling.stream import BLOCKS, TENTH, watch

SIZES = (8, 16, 32, 64, 128)
ROOT = Path(__file__).resolve().parents[2]
LEAK = """
import json
from contextlib import nullcontext
from benchmarks.scaling.stream import BLOCKS, blocks_of, watch

kept = []
take = blocks_of(lambda step: kept.append(step.to_bytes(100)))
result = watch(take, 40 * BLOCKS, lambda: nullcontext(lambda _: 1))
print(json.dumps({**result, "kept": len(kept)}))
"""
DETECTOR = """
import json
from contextlib import nullcontext
from pathlib import Path
from benchmarks.scaling.stream import BLOCKS, NO_ENGINE, blocks_of, opened, reading_taker, watch

one, other = (blocks_of(reading_taker(opened(Path(), NO_ENGINE))) for _ in range(2))
print(json.dumps(watch(one, 20 * BLOCKS, lambda: nullcontext(other))))
"""


def test_the_exponent_of_a_power_is_found() -> None:
    """3 x^1.5 has the exponent 1.5 everywhere."""
    found = growth(SIZES, [3 * size**1.5 for size in SIZES])
    assert found.exponent == pytest.approx(1.5)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert found.is_power_law
    assert str(found) == "1.50 ± 0.00"


def test_a_cost_with_a_constant_part_is_no_power_law() -> None:
    """100 + x is nearly constant for small x and nearly proportional for large x, and one exponent would hide both."""
    found = growth((1, 10, 100, 1000, 10_000), [100 + size for size in (1, 10, 100, 1000, 10_000)])
    assert not found.is_power_law
    assert found.lowest < 0.1
    assert found.at_the_end == found.highest > 0.9
    assert "no power law" in str(found)


def test_the_uncertainty_covers_the_truth() -> None:
    """Of noisy powers the true exponent is within two standard errors nearly always."""
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(200):
        found = growth(SIZES, np.array(SIZES) ** 0.8 * np.exp(rng.normal(0, 0.05, len(SIZES))))
        hits.append(abs(found.exponent - 0.8) < 3 * found.error)
    assert mean(hits) > 0.9


@pytest.mark.parametrize("values", [(1.0, 2.0, 0.0), (1.0, 2.0), (1.0, -1.0, 2.0)])
def test_no_exponent_without_a_logarithm(values: tuple[float, ...]) -> None:
    """Too few points, or values that are not above 0, are refused."""
    with pytest.raises(ValueError, match="three or more"):
        growth(SIZES[: len(values)], values)


def test_a_line_with_its_standard_error() -> None:
    """Against numpy's own fit."""
    x = np.arange(20.0)
    y = 3 * x + np.random.default_rng(1).normal(size=20)
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    assert line(x, y) == pytest.approx((slope, np.sqrt(covariance[0, 0])))


def watched(script: str) -> dict[str, float]:
    """What a script prints, in a process of its own: this one may have room left from earlier tests, or still be filling up."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def test_a_leak_in_a_stream_is_found() -> None:
    """100 bytes kept of each reading are seen as the 133 that Python takes for them, and 8 of the list's."""
    result = watched(LEAK)
    assert 100 < result["bytes_a_reading"] < 200
    assert result["kept"] == result["readings"]


def test_a_detector_keeps_nothing_of_a_stream() -> None:
    """With readings that are missing, late and out of the ordinary among them."""
    result = watched(DETECTOR)
    assert result["bytes_a_reading"] < 10  # of so few readings a few pages are more than the target's 1
    assert result["us_first"] > 0


def test_a_stream_that_slows_down_is_found() -> None:
    """By 3 % in the last tenth, on a machine that has become half as fast meanwhile, as its twins show."""
    taken = 0

    def block(_: int) -> int:
        nonlocal taken
        taken += 1
        return 1000 if taken <= TENTH else 2060

    def twin(_: int) -> int:
        return 1000 if taken <= TENTH else 2000

    result = watch(block, BLOCKS, lambda: nullcontext(twin))
    assert result["last_to_first"] == pytest.approx(1.03)


def test_a_sweep_has_a_line_and_a_picture(tmp_path: Path) -> None:
    """Medians of the rounds, their exponents, and the memory of one more machine."""
    sweeps = []
    for engine in ("numpy", "onnx"):
        sweep = Sweep("machines", engine)
        for size in AXES["machines"].sizes:
            sweep.runs[size] = [
                {"us": 20.0 * factor, "mb": 0.1 + size * 0.003, "kept_mb": 0.1 + size * 0.002, "variant": "v"}
                for factor in (1, 1.1, 5)
            ]
        sweeps.append(sweep.result())
    first = sweeps[0]
    assert first["exponent_time"] == pytest.approx(0.0, abs=1e-9)
    assert first["points"][0] == pytest.approx([1, 22.0, 0.103])
    assert first["kb_a_machine"] == pytest.approx(2.0)
    assert first["kb_a_machine_peak"] == pytest.approx(3.0)
    draw(sweeps, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
