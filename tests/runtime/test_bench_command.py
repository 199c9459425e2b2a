"""`anomalite bench`: a table that explains itself, a line of JSON that can be read back, one line for whatever is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import pytest

from edge_runtime import cli
from edge_runtime.bench import run, table
from edge_runtime.bench.board import Board
from edge_runtime.bench.result import STAGES, Bench, ColdStart, Device, Result, Spread, read_result, to_line
from edge_runtime.bundle import Bundle
from edge_runtime.engines import installed_engines
from edge_runtime.errors import EngineError, InputError, SchemaError
from edge_runtime.manifest import Requires
from edge_runtime.opening import obstacle

DEVICE = Device(
    "Raspberry Pi 4 Model B Rev 1.4", "Cortex-A72", "aarch64", 4, "performance", (1800.0, 1500.0), 1800.0, 48.0, 52.5, (), False,
    "Debian GNU/Linux 12 (bookworm)", "6.6.20-v8", "3.11.2", "2.4.6", {"anomalite": "0.1.0", "onnxruntime": "1.31.1"}, 0.05,
)  # fmt: skip
RESULT = Result(
    "onnx", "onnx-float32", True, 40_000, 0, 207, 251.4, 260.0, 312.0, 501.0, 2204.0, (250.0, 251.0),
    {stage: Spread(1.25 * place, 2.0 * place) for place, stage in enumerate(STAGES, 1)}, (), 3920.4, 16, 12_345.0, 0.998,
    ColdStart(512.3, 601.0, 24.0, 300.0, 180.0, 8.0), 43.2, 9.1, {"anomalite": 0.9, "numpy": 55.8, "onnxruntime": 55.9},
    ((260.0, 39_000), (3000.0, 1000)),
)  # fmt: skip
BENCH = Bench(
    "bench", 1, "pump.anomalite", "c" * 64, 0.117, 10.0, "2026-11-24T20:24:08+00:00", DEVICE,
    (RESULT, replace(RESULT, engine="litert", variant="tflite-int8", us_p50=180.0)), ("numpy-float32 on numpy: too slow",),
)  # fmt: skip


def text(**changes: Any) -> str:
    return "\n".join(table.lines(replace(BENCH, **changes)))


def test_the_line_is_read_back(tmp_path: Path) -> None:
    """The last line of a file, whatever was printed before it."""
    path = tmp_path / "before.txt"
    path.write_text(f"{text()}\n{to_line(BENCH)}\n\n", encoding="utf-8")
    assert read_result(path) == BENCH
    assert json.loads(to_line(BENCH))["results"][0]["cold_start_ms"]["first_verdict"] == 8.0
    assert "NaN" not in to_line(BENCH)


def test_numbers_have_six_digits() -> None:
    """No clock tells more."""
    changed = replace(BENCH, results=(replace(RESULT, us_p50=123.456789012),))
    assert json.loads(to_line(changed))["results"][0]["us_p50"] == 123.457


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a last line of JSON as `anomalite bench` writes it"),
        ("hello\n", "expected a last line of JSON as `anomalite bench` writes it"),
        ('{"benchmark": "detection"}\n', "expected a last line of JSON as `anomalite bench` writes it"),
        ('{"benchmark": "bench", "format": 2}\n', "expected a line of format 1, got 2: measure again"),
        (to_line(BENCH).replace('"us_p50"', '"us_p51"', 1), "unknown key 'us_p51'"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """By name, saying what was expected."""
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises((InputError, SchemaError), match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """One line."""
    with pytest.raises(InputError, match="No such file"):
        read_result(tmp_path / "none.json")


def test_the_table_says_what_it_is() -> None:
    """What a row is, where it was measured, which is the fastest, and no line is wider than a terminal of 120 columns."""
    shown = text()
    for part in (
        "bundle    pump.anomalite, 117 kB, sha256 cccccccccccc", "board     Raspberry Pi 4 Model B Rev 1.4",
        "4 x Cortex-A72 (aarch64) at 1500-1800 MHz of at most 1800, governor performance",
        "temperature 48 °C, 52 °C at the end, load 0.05, held back: no", "anomalite 0.1.0, onnxruntime 1.31.1",
        "A row is 40000 readings in 10 s, each timed, none removed.",
        "207 before them warmed up, untimed.",
        "12k of 16", "above the 9.1 MB of Python alone", "not measured: numpy-float32 on numpy: too slow",
        "The fastest to use here: tflite-int8 on litert.",
    ):  # fmt: skip
        assert part in shown
    assert "note:" not in shown
    assert max(map(len, shown.splitlines())) <= 120
    rows = [line.split() for line in shown.splitlines() if line.startswith("onnx-float32")]
    assert rows[0] == ["onnx-float32", "onnx", "251", "260", "312", "501", "2204", "3920", "12k", "of", "16", "100%"]
    assert rows[1] == ["onnx-float32", "onnx", "1.25", "2.50", "3.75", "5.00", "6.25", "7.50", "8.75", "35.0", "251"]
    assert rows[2] == ["onnx-float32", "onnx", "512", "601", "24", "300", "180", "8.0", "43.2"]
    assert shown.index("tflite-int8  ") < shown.index("onnx-float32  ")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"governor": "ondemand"}, "note: the governor is 'ondemand', not 'performance'"),
        ({"load": 2.5}, "note: other programs were running (load 2.50 on 4 cores)"),
        ({"throttled": ("under-voltage now", "throttled since boot")}, "note: the board is held back: under-voltage now, throttled since boot"),
        ({"emulated": True}, "note: an emulator ran this"),
    ],
)  # fmt: skip
def test_what_spoils_the_figures_is_noted(changes: dict[str, Any], note: str) -> None:
    """Before them."""
    shown = text(device=replace(DEVICE, **changes))
    assert 0 < shown.index(note) < shown.index("Time a reading")
    assert ("The fastest to use here" in shown) != ("emulated" in changes)


def test_a_board_that_became_slow_is_noted() -> None:
    """With the variant that shows it most."""
    slow = replace(RESULT, sustained=0.61)
    assert "note: it became slower while it was measured (to 61% with onnx-float32 on onnx)" in text(
        results=(RESULT, slow)
    )


def test_a_board_that_tells_nothing_has_a_table() -> None:
    """Unknown is said to be so."""
    names = ("governor", "mhz", "max_mhz", "temperature_c", "temperature_c_end", "throttled", "load")
    shown = text(device=replace(DEVICE, **dict.fromkeys(names)))
    assert "governor unknown" in shown
    assert "temperature unknown, load unknown, held back: unknown" in shown
    assert "note:" not in shown
    assert "None" not in shown


def test_variants_to_leave_alone_and_equal_ones() -> None:
    """One that is not proven is not called the fastest; two within 5 % are both."""
    bad = replace(RESULT, variant="fast", us_p50=1.0, passed_parity=False, not_scored=7)
    near = replace(RESULT, variant="near", us_p50=1.04 * RESULT.us_p50, shared_out=("clean", "scale"))
    shown = text(results=(bad, RESULT, near))
    assert "do not use: fast on onnx" in shown
    assert "The fastest to use here: onnx-float32 on onnx, near on onnx (within 5 % of each other)." in shown
    assert "7 that were not scored are left out" in shown
    many = text(results=tuple(replace(bad, variant=f"tflite-unrolled-{number}") for number in range(9)))
    assert max(map(len, many.splitlines())) <= 120
    assert "clean, scale: one function does them" in shown
    assert "The fastest to use" not in text(results=(bad,))


def test_a_stage_without_a_figure() -> None:
    """A dash, and its time is in `other`."""
    stages = {stage: spread for stage, spread in RESULT.stages.items() if stage != "scale"}
    rows = [
        line.split() for line in text(results=(replace(RESULT, stages=stages),)).splitlines() if line.startswith("onnx")
    ]
    assert rows[1][2:5] == ["1.25", "-", "3.75"]


@pytest.mark.heavy
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_whole_run(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed bundle on every installed engine: all that runs is measured and proven, and nothing goes to standard error."""
    monkeypatch.setitem(run.measure.__kwdefaults__, "processes", 1)
    assert cli.main(["bench", str(handmade.TINY), "--seconds", "0.05", *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 1 or not options
    path = tmp_path / "out.txt"
    path.write_text(printed.out, encoding="utf-8")
    bench = read_result(path)
    bundle = Bundle.read(handmade.TINY)
    pairs = {(engine, each.name) for each in bundle.manifest.variants for engine in each.engines}
    here = {
        (engine, each.name)
        for engine, name in pairs
        for each in [bundle.variant(name)]
        if engine in installed_engines() and obstacle(each, engine, bench.device.cpu_kind) is None
    }
    assert {(each.engine, each.variant) for each in bench.results} == here
    assert len(bench.not_measured) == len(pairs - here)
    assert bench.digest == handmade.TINY.read_bytes()[-64:].decode()
    assert bench.bundle_mb == pytest.approx(handmade.TINY.stat().st_size / 1e6, rel=1e-5)
    for each in bench.results:
        assert each.passed_parity
        assert set(each.stages) == set(STAGES)
        assert each.us_p50 <= each.us_p90 <= each.us_p99 <= each.us_p999 <= each.us_worst
        assert sum(count for _, count in each.histogram_us) == each.readings >= 20
        assert each.peak_mb > 5
        assert each.cold_start_ms.p50 > 0


@pytest.mark.heavy
def test_one_engine_and_variant(small: Path) -> None:
    """A bundle without a parity record is measured, and not called proven."""
    bench = run.measure(
        small, engine="numpy", variant="numpy-float32", seconds=0.02, processes=1, board=Board(str(small.parent), None)
    )
    (result,) = bench.results
    assert (result.engine, result.variant, result.passed_parity) == ("numpy", "numpy-float32", False)
    assert bench.device.load is None or bench.device.load >= 0
    assert bench.device.governor is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "expected --seconds above 0, got 0"),
        (["--seconds", "-1"], "expected --seconds above 0, got -1"),
        (["--seconds", "nan"], "expected --seconds above 0, got nan"),
        (["--seconds", "inf"], "expected --seconds above 0, got inf"),
        (["--engine", "torch"], "unknown engine 'torch', known: all, onnx"),
        (["--variant", "tflite"], "expected one of the variants numpy-float32, got 'tflite'"),
    ],
)
def test_wrong_use(small: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, status 2, nothing measured."""
    assert cli.main(["bench", str(small), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert message in printed.err


def test_not_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same."""
    path = tmp_path / "a.anomalite"
    path.write_bytes(b"PK")
    assert cli.main(["bench", str(path)]) == 2
    assert "expected an anomalite bundle" in capsys.readouterr().err


def test_an_engine_that_is_not_installed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error; otherwise it is left out, and said so."""
    from edge_runtime.errors import ExtraMissingError

    monkeypatch.setattr(run, "is_installed", lambda name: name == "numpy")
    with pytest.raises(ExtraMissingError, match=r"the engine 'onnx' needs the package 'onnxruntime'"):
        run.runnable(Bundle.read(small), "onnx", None)
    tiny = Bundle.read(handmade.TINY)
    usable, ruled_out = run.runnable(tiny, "all", None)
    assert [(engine, each.name) for engine, each in usable] == [("numpy", "numpy-float32")]
    assert len(ruled_out) == 5
    assert "onnx-float32 on onnx: the engine is not installed" in ruled_out
    with pytest.raises(
        EngineError, match="expected a variant that runs here, got onnx-float32 on onnx: the engine is not"
    ):
        run.runnable(tiny, "all", "onnx-float32")
    with pytest.raises(EngineError, match=r"expected a variant that runs here, got onnx-float32 \(for onnx\)"):
        run.runnable(tiny, "numpy", "onnx-float32")


def test_a_variant_for_another_cpu(small: Path) -> None:
    """It is ruled out by what the manifest requires, as `verify` does."""
    bundle = Bundle.read(small)
    other = replace(bundle.manifest.variants[0], requires=Requires(cpus=("armv6l",)))
    changed = Bundle(replace(bundle.manifest, variants=(other,)), bundle.members, "other.anomalite")
    with pytest.raises(EngineError, match="numpy-float32 on numpy: it is for armv6l, this is"):
        run.runnable(changed, "all", None)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """One that names the command."""
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    assert "example: anomalite bench pump.anomalite" in capsys.readouterr().out


@pytest.mark.heavy
def test_no_other_command_imports_it() -> None:
    """Their start-up does not pay for what only this one needs."""
    code = (
        "import sys\nfrom edge_runtime.cli import main\n"
        f"main(['verify', {str(handmade.TINY)!r}])\nmain(['--help'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('edge_runtime.bench')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
