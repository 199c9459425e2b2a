"""The peers' table says what was measured and what failed, and every peer is exactly what its files say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_run import REPOSITORY

from benchmarks.peers import table
from benchmarks.peers.environments import Environment, PeerError, bare_environment, set_up
from benchmarks.peers.files import make
from benchmarks.peers.roster import (
    BEGIN,
    END,
    GROUPS,
    MAKING,
    OURS,
    PEERS,
    REQUIREMENTS,
    SCRIPTS,
    Group,
    Peer,
    Step,
    lines_a_user_writes,
)
from benchmarks.peers.rounds import measure, run_once, summary

NAMES = [
    "keras predict", "tf.function", "tflite, unfused", "tflite, flex", "pytorch eager", "pytorch to onnx", "bare litert",
    "bare onnx", "anomalite litert", "anomalite onnx", "anomalite numpy", "pyod autoencoder", "isolation forest",
    "half-space trees",
]  # fmt: skip
FORBIDDEN = ("edge_runtime", "training", "export", "benchmarks")


def _result(name: str, us: float | None, status: str = "ok", **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = {"name": name, "status": status, "lines": 7, "installed_mb": 12.3, **more}
    return result if us is None else {**result, "us_p50": us, "us_p99": 2 * us, "start_ms": 300.0, "peak_mb": 40.0}


RESULTS = [
    _result("keras predict", 30_000.0, versions={"keras": "3.15.1"}),
    _result("tflite, flex", None, "cannot be made: it has no Flex | delegate"),
    _result("bare onnx", 20.0),
    _result("anomalite onnx", 30.0, ours_mb=1.5, runtime_mb=0.5, off_by=1e-7),
    _result("anomalite numpy", 150.0),
]


def test_the_names_are_the_ones_others_read() -> None:
    """A reader of the JSON finds each by its name; every environment is somebody's."""
    assert [peer.name for peer in PEERS] == NAMES
    assert {group for peer in PEERS for group in (peer.group, *(step.group for step in peer.steps))} == set(GROUPS)


def test_lines_are_those_between_the_marks() -> None:
    """Blank lines, comments, docstrings and what only the benchmark needs do not count; every file counts once."""
    source = f'"""What it is."""\n\n{BEGIN}\nimport a\n\n# why\ndef score(x):\n    """One."""\n    return a(x)\n\n{END}\nrest()\n'
    assert lines_a_user_writes([source]) == 3
    assert lines_a_user_writes([source, source]) == 6
    with pytest.raises(ValueError, match="What it is"):
        lines_a_user_writes(['"""What it is."""\nimport a\n'])


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_a_script_is_whole_and_only_ours_imports_us(peer: Peer) -> None:
    """It parses, its lines are counted, and a peer's environment has nothing of this repository."""
    assert lines_a_user_writes(peer.sources()) >= 4
    imported = {name.split(".")[0] for source in peer.sources() for name in _imports(source)}
    assert bool(imported & set(FORBIDDEN)) == peer.name.startswith(OURS)
    for step in peer.steps:
        assert not _imports((MAKING / f"{step.script}.py").read_text()) & set(FORBIDDEN)


def test_every_script_is_a_peers() -> None:
    """Nothing lies around that no row runs."""
    scripts = {name for peer in PEERS for name in (peer.script, *peer.modules)} | {"measured", "__init__"}
    assert {path.stem for path in SCRIPTS.glob("*.py")} == scripts
    making = {step.script for peer in PEERS for step in peer.steps} | {"trying"}
    assert {path.stem for path in MAKING.glob("*.py")} == making


def _imports(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_requirements_are_exact_and_name_no_address() -> None:
    """`name==version` and nothing else; pip's own configuration says where from."""
    assert {path.stem for path in REQUIREMENTS.iterdir()} == {group.requirements for group in GROUPS.values()}
    for file in REQUIREMENTS.iterdir():
        for line in file.read_text().splitlines()[1:]:
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line), f"{file.name}: {line}"


def test_what_we_use_too_is_what_we_are_tested_with() -> None:
    """The same engines and the same TensorFlow as in the constraints, or the comparison is with something else."""
    constraints = dict(
        line.lower().split("==")
        for line in (REPOSITORY / "constraints/dev.txt").read_text().splitlines()
        if "==" in line
    )
    for name in ("keras", "litert", "onnx", "numpy"):
        for line in (REQUIREMENTS / f"{name}.txt").read_text().lower().splitlines()[1:]:
            package, version = line.split("==")
            assert constraints.get(package, version) == version, f"{name}.txt: {line}"


def test_a_failing_peer_is_a_row_that_says_why() -> None:
    """In both tables, with dashes for what it did not get to; a bar in the message does not break the row."""
    row = next(row for row in table.rows(RESULTS) if row[0] == "tflite, flex")
    assert row == [
        "tflite, flex",
        "-",
        "-",
        "-",
        "-",
        "-",
        "12.3",
        "7",
        "**cannot be made: it has no Flex | delegate**",
    ]
    assert "cannot be made: it has no Flex | delegate" in table.text(RESULTS)
    lines = table.document(RESULTS, "a machine", "abc1234", 5).splitlines()
    assert {line.count("|") for line in lines if line.startswith("|")} == {len(table.HEADS) + 1}


def test_ratios_are_over_the_fastest_of_ours_and_over_the_bare_engine() -> None:
    """The targets are judged by them."""
    found = table.ratios(RESULTS)
    assert found == pytest.approx({
        "keras predict": 1000, "bare onnx": 2 / 3, "anomalite onnx": 1, "anomalite numpy": 5, "anomalite onnx / bare onnx": 1.5
    })  # fmt: skip
    said = "\n".join(table.conclusions(RESULTS))
    assert "anomalite onnx is 1,000 times as fast as keras predict (target 500 times: met)" in said
    assert "anomalite onnx takes 1.50 times bare onnx, 10.0 µs more" in said
    assert "1.50 MB is ours, 0.50 MB of it the runtime" in said


def test_without_ours_there_are_no_ratios() -> None:
    """Somebody may ask for one peer alone."""
    assert table.ratios(RESULTS[:1]) == {}
    assert "30,000" in table.text(RESULTS[:1])
    assert "Versions: keras 3.15.1." in table.document(RESULTS[:1], "a machine", "abc1234", 5)


def test_an_environment_that_cannot_be_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is tried again next time."""
    monkeypatch.setattr("benchmarks.peers.environments.REQUIREMENTS", tmp_path)
    (tmp_path / "odd.txt").write_text("# No such thing.\nnumpy==0.0.0 nonsense\n")
    for _ in range(2):
        with pytest.raises(PeerError, match=r"^cannot be installed: .*"):
            set_up(tmp_path / "environment", Group("odd", 1))


def test_sizes_and_versions_are_of_what_is_installed(tmp_path: Path) -> None:
    """Every file of site-packages counts."""
    site = tmp_path / "lib/python3.11/site-packages"
    (site / "thing-1.2.dist-info").mkdir(parents=True)
    (site / "thing-1.2.dist-info/METADATA").write_text("Name: thing\nVersion: 1.2\n")
    (site / "thing.py").write_bytes(b"x" * 100)
    environment = Environment(tmp_path)
    assert environment.sizes()["thing.py"] == 100
    assert environment.versions() == {"thing": "1.2"}


def test_a_pytorch_that_cannot_be_imported_says_so(tmp_path: Path) -> None:
    """It is a row, as every peer that fails."""
    (tmp_path / "lib/python3.11/site-packages/torch-2.0.dist-info").mkdir(parents=True)
    (tmp_path / "lib/python3.11/site-packages/torch-2.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.0\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\necho no libcudart >&2\nexit 1\n")
    (tmp_path / "bin/python").chmod(0o755)
    with pytest.raises(PeerError, match="cannot be imported: no libcudart"):
        Environment(tmp_path).versions()


def test_a_peer_that_calculates_something_else_meets_no_target() -> None:
    """Its time is of other work."""
    results = [
        each | {"status": "calculates something else"} if each["name"] == "keras predict" else each for each in RESULTS
    ]
    assert not any("keras predict (target" in each for each in table.conclusions(results))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What `reference.py` hands over, small; the "model" reconstructs zero."""
    readings = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32).astype(np.float64)
    np.save(tmp_path / "readings.npy", readings)
    np.save(tmp_path / "reconstruction.npy", np.zeros((16, 32, 4), np.float32))
    return tmp_path


def _script(files: Path, score: str, arguments: str) -> Path:
    path = files / "script.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\nfrom measured import measure\n{score}\nmeasure({arguments})\n"
    )
    return path


def test_a_process_says_its_first_score_and_its_figures(files: Path) -> None:
    """Windows in order, each call timed, memory its own, the reconstruction compared."""
    script = _script(
        files,
        "def score(window):\n    assert window.shape == (1, 32, 4) and window.dtype == 'float32'\n    return abs(window).mean()",
        "score, reconstruct=lambda window: window * 0 + 0.5",
    )
    said = run_once(Path(sys.executable), script, files)
    readings = np.load(files / "readings.npy")
    assert said["score"] == pytest.approx(np.abs(readings[:32]).mean(), rel=1e-6)
    assert said["calls"] == 200 - 31 - 1 - 20
    assert 0 < said["us_p50"] <= said["us_p99"]
    assert 5 < said["peak_mb"] < 200
    assert said["start_ms"] > 0
    assert said["off_by"] == 0.5
    assert summary([said, said])["status"] == "calculates something else: off by 5.0e-01"


def test_readings_come_in_order_until_there_is_a_score(files: Path) -> None:
    """As a stream: no reading twice, none left out."""
    script = _script(
        files,
        "seen = []\ndef score(time, values):\n    seen.append(time)\n    assert seen == [float(i) for i in range(len(seen))]\n"
        "    return values[0] if time >= 31 else None",
        "score, takes='reading'",
    )
    said = run_once(Path(sys.executable), script, files)
    assert said["score"] == np.load(files / "readings.npy")[31, 0]
    assert said["calls"] == 200 - 32 - 20
    assert "off_by" not in said


def test_a_process_that_fails_is_told_and_not_run_again(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has the last line of its error; the others go on."""
    monkeypatch.setattr("benchmarks.peers.rounds.SCRIPTS", files)
    (files / "bad.py").write_text("raise RuntimeError('no such kernel')\n")
    (files / "silent.py").write_text("print('hello')\n")
    good = {"us_p50": 1.0, "us_p99": 2.0, "calls": 3, "peak_mb": 4.0}
    (files / "good.py").write_text(f"print(0.1)\nprint({json.dumps(good)!r})\n")
    here = Environment(files)
    monkeypatch.setattr(Environment, "python", Path(sys.executable))
    told: list[str] = []
    peers = {Peer(name, name, "numpy", ""): here for name in ("bad", "silent", "good")}
    found = measure(peers, files, 2, told.append)
    assert found["bad"] == {"status": "fails: RuntimeError: no such kernel"}
    assert found["silent"] == {"status": "fails: expected a score, then JSON, got 'hello'"}
    assert found["good"]["status"] == "ok"
    assert found["good"]["us_p50_of_each"] == [1.0, 1.0]
    assert len([line for line in told if "no such kernel" in line]) == 1


def test_what_cannot_be_made_is_told_and_tried_again(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is kept with what its maker said; a maker that failed has made nothing."""
    monkeypatch.setattr("benchmarks.peers.files.MAKING", files)
    monkeypatch.setattr(Environment, "python", Path(sys.executable))
    peer = Peer("odd", "odd", "numpy", "", (Step("maker", "river"),))
    environments = {"river": Environment(files)}
    (files / "maker.py").write_text("import sys\nsys.exit('no such operator')\n")
    for _ in range(2):
        with pytest.raises(PeerError, match=r"^cannot be made: no such operator$"):
            make(peer, files, environments)
    (files / "maker.py").write_text("open('made', 'a').write('x')\nprint('the second way works')\n")
    assert [make(peer, files, environments) for _ in range(2)] == ["the second way works"] * 2
    assert (files / "made").read_text() == "x"


def test_processes_are_started_with_one_thread_and_without_our_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process was started with must not reach a peer's Python."""
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    variables = bare_environment()
    assert variables["OMP_NUM_THREADS"] == "1"
    assert not [name for name in variables if name.startswith("PYTHON")]


def test_help_names_every_peer() -> None:
    """So that `--only` can be used without reading the code."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "peers", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    said = " ".join(done.stdout.split())
    assert all(name in said for name in NAMES)
