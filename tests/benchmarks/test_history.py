from __future__ import annotations

import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asv.results import Results, iter_results_for_machine
from asv_runner.discovery import disc_benchmarks
from demo_run import REPOSITORY

from benchmarks import history_command
from benchmarks.history import subjects
from benchmarks.history_command import Tree, configuration, figures, latest, main, record
from benchmarks.reference_bundle import Reference, reference_bundle

SUITES = REPOSITORY / "benchmarks" / "history"


def tiny(reference: Reference, folder: Path) -> Path:
    """A small bundle of the same family and channels, for the numpy engine."""
    small = replace(reference, length=4, units=4, variants=("numpy-float32",))
    return reference_bundle(folder, small)


def test_every_suite_runs(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each benchmark that asv finds does once what it measures, on a tiny bundle."""
    folder = tmp_path_factory.mktemp("bundles")
    monkeypatch.setattr(subjects, "bundle_of", lambda reference: tiny(reference, folder))
    monkeypatch.syspath_prepend(SUITES.parent)  # as asv does, so the package is called `history` there
    monkeypatch.chdir(tmp_path)
    names = set()
    for benchmark in disc_benchmarks(str(SUITES)):
        engine, *values = [each[0] for each in benchmark._params] or [None]
        arguments = () if engine is None else ("numpy", *values)
        done = benchmark.func(*arguments)
        if benchmark.type == "track":
            assert 10e6 < done < 1e9
        if "timeraw" in benchmark.name:
            statement, setup = done if isinstance(done, tuple) else (done, "")
            subprocess.run([sys.executable, "-c", f"{setup}\n{statement}"], check=True)
        names.add(benchmark.name.rsplit(".", 1)[-1])
    ways = {"update", "update_many", "score"}
    assert names >= {f"{kind}_{way}" for kind in ("time", "peakmem") for way in ways}
    assert names >= {"time_load", "timeraw_edge_runtime", "track_peak_memory", "peakmem_nothing"}


def test_the_suites_names_do_not_change_what_they_want() -> None:
    """Every bundle a suite asks for is made before."""
    from benchmarks.history.scoring import Channels, Family, Length

    wanted = [suite().reference(value) for suite in (Family, Length, Channels) for value in suite.params[1]]
    assert {*wanted, subjects.STANDARD} <= set(subjects.REFERENCES)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of recorded runs; no bundles are made."""
    folder = tmp_path / "results"

    def elsewhere() -> Any:
        conf = configuration()
        conf.results_dir = str(folder)
        return conf

    monkeypatch.setattr(history_command, "configuration", elsewhere)
    monkeypatch.setattr(history_command, "make_bundles", lambda folder: None)
    return folder


ONE = ["--only", "peakmem_nothing", "--machine", "bench"]


def test_a_run_is_compared_with_the_last_recorded_one(
    results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first has nothing to be compared with and says so; a part of the suites is never recorded."""
    assert main(ONE) == 0
    said = capfd.readouterr().out
    assert "Nothing to compare with yet" in said
    assert "Not recorded: only a part was run" in said
    assert latest(results, "bench") is None

    (fresh,) = iter_results_for_machine(str(results.parent / "run"), "bench")
    (figure,) = figures(fresh)
    assert 15 < figure["peak_mb"] < 500
    tree = Tree("abc", ())
    monkeypatch.setattr(Tree, "now", lambda: tree)
    whole = Namespace(only=None, quick=False, machine="bench")
    assert record(results.parent / "run", results, fresh, tree, False, whole).startswith("Recorded as abc on bench")

    assert main(ONE) == 0
    said = capfd.readouterr().out
    assert "peakmem_nothing" in said.partition("stayed the same")[2]


@pytest.mark.parametrize(
    ("tree", "failed", "reason"),
    [
        (Tree("abc", ("edge_runtime/score.py",)), False, r"1 file is not as in abc \(edge_runtime/score.py\)"),
        (Tree("abc", ()), True, "a benchmark failed"),
        (Tree("earlier", ()), False, "changed meanwhile"),
    ],
)
def test_what_would_falsify_the_history_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Tree, failed: bool, reason: str
) -> None:
    """Files that are not as in the commit, a suite that failed, a checkout that moved while it ran."""
    monkeypatch.setattr(Tree, "now", lambda: replace(tree, head="abc"))
    options = Namespace(only=None, quick=False, machine="bench")
    said = record(tmp_path, tmp_path / "results", Results.unnamed(), tree, failed, options)
    assert said.startswith("Not recorded: ")
    assert re.search(reason, said)
    assert not (tmp_path / "results").exists()
