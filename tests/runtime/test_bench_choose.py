"""What `anomalite bench --choose` takes, and what the command does with --compare, --choose and --plot together."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import measured
import numpy as np
import pytest

import edge_runtime.commands.bench as command
from edge_runtime.bench.choose import choose, fastest
from edge_runtime.bench.result import Bench, Result, read_result, to_line
from edge_runtime.bench.run import measure
from edge_runtime.bundle import Bundle, seal
from edge_runtime.choice import read_choice
from edge_runtime.cli import main
from edge_runtime.errors import EngineError, OutputError
from edge_runtime.opening import load


def result(variant: str, us: float, **changes: Any) -> Result:
    """Steady times on the numpy engine."""
    return measured.result("numpy", variant, us=[us] * measured.BLOCKS, **changes)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The committed bundle in a folder of its own."""
    return Path(shutil.copy(handmade.TINY, tmp_path / "tiny.anomalite"))


def test_the_fastest_that_passed_parity_is_chosen() -> None:
    """A faster one that did not is never taken, and if none did that is said."""
    slow, wrong, quick = result("slow", 90.0), result("wrong", 10.0, passed_parity=False), result("quick", 50.0)
    assert fastest(measured.bench(slow, wrong, quick)) == quick
    with pytest.raises(EngineError, match=r"pump\.anomalite: nothing is chosen: none of the variants"):
        fastest(measured.bench(wrong))


def test_of_those_as_fast_the_least_memory_decides_then_the_tail() -> None:
    """Within 5 % and within the noise; memory that differs by less than it varies is the same."""
    quick, light = result("quick", 50.0), result("light", 51.0, peak_mb=25.0)
    assert fastest(measured.bench(quick, light)).variant == "light"
    assert fastest(measured.bench(quick, replace(light, us_p50=54.0))).variant == "quick"
    same = replace(light, peak_mb=29.8, us_p99=quick.us_p99 * 0.9)
    assert fastest(measured.bench(quick, same)).variant == "light"
    assert fastest(measured.bench(quick, replace(same, us_p99=quick.us_p99 * 1.1))).variant == "quick"


def test_noise_alone_makes_no_tie() -> None:
    """On a busy machine every interval is wide: what takes twice as long is not as fast."""
    rng = np.random.default_rng(1)
    quick, slow = (
        measured.result("numpy", name, us=measured.blocks(rng, us, noise=0.8))
        for name, us in (("quick", 20), ("slow", 40))
    )
    assert fastest(measured.bench(quick, replace(slow, us_p50=2 * quick.us_p50, peak_mb=10.0))).variant == "quick"


def test_what_was_chosen_is_what_load_takes(tiny: Path) -> None:
    """For this bundle, here; its figures and versions are kept with it."""
    bench = measured.bench(result("numpy-float32", 50.0), digest=Bundle.read(tiny).digest)
    choice, target = choose(tiny, bench)
    assert (choice, target) == (read_choice(tiny), f"{tiny}.choice.json")
    assert (choice.us_p50, choice.peak_mb, choice.time) == (50.0, 30.0, bench.time)
    assert choice.versions == {"python": "3.11.2", "numpy": "2.4.6", "anomalite": "0.1.0", "onnxruntime": "1.31.1"}
    assert (load(tiny).engine_name, load(tiny).variant_name) == ("numpy", "numpy-float32")


def test_an_emulators_times_choose_nothing(tiny: Path) -> None:
    """They are no board's."""
    with pytest.raises(EngineError, match=r"tiny\.anomalite: nothing is chosen: an emulator ran this"):
        choose(tiny, measured.bench(device={"emulated": True}))
    assert read_choice(tiny) is None


def test_a_variant_that_fails_here_is_never_chosen(tiny: Path) -> None:
    """The real measurement of a bundle whose golden readings this machine does not answer right, and of one without a parity record."""
    bundle = Bundle.read(tiny)
    with np.load(io.BytesIO(bundle.members["golden.npz"])) as archive:
        columns = {name: archive[name] * (1.5 if name.startswith("scores.numpy") else 1) for name in archive.files}
    models = {each.name: bundle.members[each.file] for each in bundle.manifest.variants}
    seal(tiny, bundle.manifest, models, handmade.npz(**columns))
    bench = measure(tiny, engine="numpy", seconds=0.01, processes=1)
    with pytest.raises(EngineError, match="nothing is chosen"):
        choose(tiny, bench)
    unproven = handmade.sealed(tiny.with_name("unproven.anomalite"))
    with pytest.raises(EngineError, match="nothing is chosen"):
        choose(unproven, measure(unproven, engine="numpy", seconds=0.01, processes=1))
    assert sorted(each.name for each in tiny.parent.iterdir()) == ["tiny.anomalite", "unproven.anomalite"]


@pytest.fixture
def run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """What the command measures, without the time it takes."""
    bench = measured.bench(result("numpy-float32", 50.0), bundle=tiny.name, digest=Bundle.read(tiny).digest)
    monkeypatch.setattr(command, "measure", lambda *_, **__: bench)
    return bench


def test_the_last_line_holds_what_was_added(tiny: Path, run: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison and the choice, for programs; for people before it; and the line is a run to compare with itself."""
    old = tiny.with_name("old.txt")
    old.write_text(to_line(replace(run, results=(result("numpy-float32", 100.0),))))
    assert main(["bench", str(tiny), "--compare", str(old), "--choose"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "typical us" in line)
    assert row.startswith("numpy-float32 ")
    assert row.endswith(" faster")
    assert any(line.startswith(f"Chosen: numpy-float32 on numpy, written to {tiny}.choice.json") for line in lines)
    data = json.loads(last)
    (compared,) = data["comparison"]["results"]
    assert (compared["measures"]["us_p50"]["ratio"], compared["measures"]["us_p50"]["differs"]) == (0.5, True)
    assert (data["choice"]["variant"], data["results"][0]["us_p50"]) == ("numpy-float32", 50.0)
    old.write_text(last)
    assert main(["bench", str(tiny), "--compare", str(old), "--json"]) == 0
    (only,) = capsys.readouterr().out.splitlines()
    assert json.loads(only)["comparison"]["results"][0]["measures"]["us_p50"]["differs"] is False
    assert read_result(old).results[0].us_p50 == 50.0


def test_what_would_fail_later_fails_before_anything_is_measured(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """A file that is no earlier run, a picture of no known kind, matplotlib missing."""
    monkeypatch.setattr(command, "measure", lambda *_, **__: pytest.fail("it was measured"))
    for arguments, fault in (
        (["--compare", "none.json"], "none.json: cannot be read"),
        (["--compare", str(tiny)], "tiny.anomalite: "),
        (["--plot", "x.gif"], "expected a picture ending in .png, .svg, .pdf, got '.gif'"),
    ):
        assert main(["bench", str(tiny), *arguments]) == 2
        assert fault in capsys.readouterr().err


def test_what_was_measured_is_printed_whatever_comes_after(
    tiny: Path, run: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing could be chosen, or the file not be written: the line is there, and the status says it."""
    emulated = replace(run, device=replace(run.device, emulated=True))
    monkeypatch.setattr(command, "measure", lambda *_, **__: emulated)
    assert main(["bench", str(tiny), "--choose"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["benchmark"] == "bench"
    assert "nothing is chosen: an emulator ran this" in printed.err
    monkeypatch.setattr(command, "measure", lambda *_, **__: run)
    Path(f"{tiny}.choice.json").mkdir()
    with pytest.raises(OutputError):
        choose(tiny, run)
    assert main(["bench", str(tiny), "--choose"]) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["benchmark"] == "bench"
