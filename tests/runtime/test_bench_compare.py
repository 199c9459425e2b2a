"""Two runs side by side: noise is no difference, a difference is one, and what was not the same is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest

from edge_runtime.bench.compare import Comparison, Ratio, compare, comparison_lines, read_earlier, typical_ratio
from edge_runtime.bench.result import to_line
from edge_runtime.errors import InputError
from edge_runtime.schema import decode, encode

TRIALS = 400


def ratios(rng: np.random.Generator, new_us: float, **noise: float) -> list[Ratio]:
    """Of many pairs of runs, the old one of 50 microseconds."""
    made = measured.result()
    found = []
    for _ in range(TRIALS):
        old, new = (measured.blocks(rng, us, **noise) for us in (50.0, new_us))
        pair = [replace(made, us_p50=float(np.median(us)), blocks_us=tuple(us.tolist())) for us in (new, old)]
        found.append(typical_ratio(*pair))
    return found


@pytest.mark.parametrize(
    "noise",
    [
        {"noise": 0.02},
        {"noise": 0.1},
        {"noise": 0.02, "follow": 0.8},
        {"noise": 0.02, "drift": 0.03},
        {"noise": 0.02, "drift": 0.1},
        {"noise": 0.02, "follow": 0.6, "drift": 0.05},
        {"noise": 0.02, "follow": 0.6, "drift": 0.05, "bursts": 0.1},
    ],
)
def test_the_same_program_twice_is_no_difference(noise: dict[str, float]) -> None:
    """In at least 95 of 100 pairs of runs, with blocks that follow each other, runs that drift, and other programs' bursts."""
    found = ratios(np.random.default_rng(5), 50.0, **noise)
    assert np.mean([each.differs for each in found]) <= 0.05


@pytest.mark.parametrize(("us", "noise", "share"), [(55.0, {}, 0.95), (45.0, {}, 0.95), (55.0, {"follow": 0.6}, 0.85)])
def test_a_tenth_more_or_less_is_found(us: float, noise: dict[str, float], share: float) -> None:
    """In at least 95 of 100 pairs of runs whose blocks vary by 2 %, in 85 where they follow each other."""
    found = ratios(np.random.default_rng(6), us, **noise)
    assert np.mean([each.differs and (each.ratio > 1) == (us > 50) for each in found]) >= share


def test_the_comparison_is_the_same_every_time() -> None:
    """Nothing in it is random; and a run against itself is a ratio of 1."""
    run = measured.bench(measured.result(us=measured.blocks(np.random.default_rng(1))))
    assert compare(run, run) == compare(run, run)
    (compared,) = compare(run, run).results
    assert {name: ratio.ratio for name, ratio in compared.measures.items()} == dict.fromkeys(compared.measures, 1.0)
    assert not any(ratio.differs for ratio in compared.measures.values())


def verdicts(comparison: Comparison) -> dict[str, str]:
    """The last column by measure."""
    rows = [line for line in comparison_lines(comparison) if line.startswith("onnx-float32")]
    return {row[34:47].strip(): row.split("  ")[-1] for row in rows}


def test_each_measure_has_its_verdict() -> None:
    """Slower and faster, more and less, or no difference."""
    old = measured.result()
    slow = replace(measured.result(us=[80.0] * 20), peak_mb=36.0)
    start = replace(old.cold_start_ms, p50=240.0, worst=250.0)
    new = replace(slow, cold_start_ms=start)
    expected = {"typical us": "slower", "p99 us": "slower", "cold start ms": "slower", "peak MB": "more"}
    assert verdicts(compare(measured.bench(new), measured.bench(old))) == expected
    expected = {"typical us": "faster", "p99 us": "faster", "cold start ms": "faster", "peak MB": "less"}
    assert verdicts(compare(measured.bench(old), measured.bench(new))) == expected
    near = replace(old, peak_mb=30.4, cold_start_ms=replace(old.cold_start_ms, p50=188.0))
    assert set(verdicts(compare(measured.bench(near), measured.bench(old))).values()) == {"no difference"}


def test_a_rare_tail_is_not_trusted() -> None:
    """The 99th percentile of a hundred readings is nothing to go by, that of many is."""
    old = measured.result()
    new = replace(old, us_p99=old.us_p99 * 1.3)
    assert verdicts(compare(measured.bench(new), measured.bench(old)))["p99 us"] == "slower"
    few = [measured.bench(replace(each, readings=100)) for each in (new, old)]
    assert verdicts(compare(*few))["p99 us"] == "no difference"


def test_runs_too_short_to_tell_are_no_difference() -> None:
    """Two blocks; the interval is not known, and the JSON says null, not infinity."""
    new, old = measured.result(us=[70.0, 70.0]), measured.result(us=[50.0, 50.0])
    comparison = compare(measured.bench(new), measured.bench(old))
    assert verdicts(comparison)["typical us"] == "no difference"
    assert any("not known" in line for line in comparison_lines(comparison))
    text = json.dumps(encode(comparison), allow_nan=False)
    assert decode(Comparison, json.loads(text), "x") == comparison


def test_no_memory_is_no_comparison_of_it() -> None:
    """Where a process took no more than bare Python, as far as the system tells."""
    (compared,) = compare(measured.bench(replace(measured.result(), peak_mb=0.0)), measured.bench()).results
    assert "peak_mb" not in compared.measures


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"device": {"board": "Raspberry Pi 4"}}, "another machine (board): Raspberry Pi 5 Model B Rev 1.0 before, Raspberry Pi 4 now: this compares the machines"),
        ({"device": {"cpu_kind": "armv7l"}}, "another machine (cpu_kind): aarch64-fp16 before, armv7l now: this compares the machines"),
        ({"digest": "e" * 64}, "another bundle: digest dddddddddddd before, eeeeeeeeeeee now: this compares the bundles"),
        ({"device": {"throttled": ("under-voltage", "throttled")}}, "the board was held back now: under-voltage, throttled"),
        ({"device": {"load": 1.5, "cores": 4}}, "other programs were running now (load 1.50 on 4 cores): they may make a difference where there is none"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_warned_of(changes: dict[str, Any], warning: str) -> None:
    """Another machine, another bundle, a board that was held back or busy."""
    comparison = compare(measured.bench(**changes), measured.bench())
    assert comparison.warnings == (warning,)
    assert f"WARNING: {warning}" in comparison_lines(comparison)
    assert compare(measured.bench(), measured.bench()).warnings == ()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"device": {"governor": "ondemand"}}, "governor performance before, ondemand now"),
        ({"device": {"governor": None}}, "governor performance before, not known now"),
        ({"device": {"python": "3.13.1"}}, "python 3.11.2 before, 3.13.1 now"),
        ({"device": {"packages": {"anomalite": "0.1.0", "onnxruntime": "1.32.0"}}}, "onnxruntime 1.31.1 before, 1.32.0 now"),
        ({"device": {"packages": {"anomalite": "0.1.0"}}}, "onnxruntime 1.31.1 before, not known now"),
        ({"device": {"load": 0.9}}, "load 0.1 before, 0.9 now"),
        ({"seconds": 1.0}, "seconds 10.0 before, 1.0 now"),
    ],
)  # fmt: skip
def test_what_was_different_is_said(changes: dict[str, Any], difference: str) -> None:
    """Without a warning: the reader decides what it means."""
    comparison = compare(measured.bench(**changes), measured.bench())
    assert (comparison.warnings, comparison.differences) == ((), (difference,))
    assert f"different: {difference}" in comparison_lines(comparison)
    assert compare(measured.bench(), measured.bench()).differences == ()


def test_what_only_one_run_has_is_listed() -> None:
    """On either side; and when nothing is common, that is said."""
    numpy, litert = measured.result("numpy", "numpy-float32"), measured.result("litert", "tflite-int8")
    comparison = compare(measured.bench(measured.result(), numpy), measured.bench(litert, measured.result()))
    assert [(each.engine, each.variant) for each in comparison.results] == [("onnx", "onnx-float32")]
    lines = comparison_lines(comparison)
    assert lines[-2:] == [
        "measured only now: numpy-float32 on numpy",
        "measured only before: tflite-int8 on litert",
    ]
    assert comparison_lines(compare(measured.bench(numpy), measured.bench(litert)))[-1] == (
        "nothing was measured in both runs"
    )


def test_an_earlier_run_is_the_last_line_of_a_file(tmp_path: Path) -> None:
    """What was printed and kept, with or without the table before it."""
    (tmp_path / "first.txt").write_text(to_line(measured.bench()))
    run = read_earlier(tmp_path / "first.txt")  # rounded
    (tmp_path / "old.txt").write_text(f"a table\n\n{to_line(run)}\n\n")
    assert read_earlier(tmp_path / "old.txt") == run


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[1]",
        '{"benchmark": "detection", "results": []}',
        '{"benchmark": "bench", "format": 1}',
        to_line(measured.bench(measured.result(us_p50=0.0))),
        to_line(measured.bench(measured.result(us_p99=-1.0))),
        to_line(measured.bench(measured.result(blocks_us=(50.0, 0.0)))),
        to_line(measured.bench(measured.result(us_p50=1e-320))),
        to_line(measured.bench(measured.result(blocks_us=(1e-300, 1e300, 1.0)))),
        to_line(measured.bench(measured.result(readings=10**400))),
        to_line(measured.bench(measured.result(peak_mb=1e-320))),
        to_line(replace(measured.bench(), device=replace(measured.DEVICE, cores=10**400))),
        to_line(measured.bench(measured.result(histogram_us=((1.0, 2.0), (3.0,))))),  # type: ignore[arg-type]
        to_line(measured.bench(measured.result(histogram_us=()))),
        to_line(measured.bench(measured.result(histogram_us=((0.0, 3.0), (5.0, 0.0))))),
    ],
)
def test_a_file_that_is_no_run_is_one_line(tmp_path: Path, text: str) -> None:
    """Naming it."""
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(InputError, match=r"old\.json: ") as caught:
        read_earlier(tmp_path / "old.json")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_earlier(tmp_path / "none.json")
