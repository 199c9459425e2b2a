"""Export completes the run's report with what was exported, and never fails because of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_run import Demo

import export.variants
from edge_runtime.manifest import Variant
from export import export_run
from export.outcome import VariantOutcome
from export.report import complete_report
from export.seal import ExportResult
from export.variants import RECIPES
from training import read_run
from training.report_page import PAGE, read_report


@pytest.fixture
def exported(demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ExportResult]:
    """A copy of the demo's run, exported again with the variant that converts in no time."""
    run = shutil.copytree(demo.run_directory, tmp_path / "run")
    monkeypatch.setattr(
        export.variants, "RECIPES", tuple(recipe for recipe in RECIPES if recipe.name == "numpy-float32")
    )
    return run, export_run(run, tmp_path / "again.anomalite")


def test_the_parity_table_is_in_the_report(demo: Demo) -> None:
    """The figures of the sealed file, for each variant and set of windows."""
    report = read_report(demo.run_directory)
    (section,) = (each for each in report.sections if each.key == "export")
    rows = section.tables[0].rows
    variants = read_variants(demo)
    assert len(rows) == 3 * len(variants)
    for row, (name, size, windows, check) in zip(
        rows, ((v.name, v.size, w, c) for v in variants for w, c in v.parity.items()), strict=True
    ):
        assert row[0] in (name, "")
        assert row[1] in (f"{size / 1000:.1f}", "")
        assert row[4] == f"{check.windows} {windows.replace('_', ' ')}"
        change = "" if check.average_precision is None else f"{check.average_precision:.1e}"
        assert row[5:] == (f"{check.reconstruction:.1e}", f"{check.score:.1e}", str(check.flipped), change)
        assert row[2] == "" or float(row[2]) > 0
    assert "Not exported yet" not in (demo.run_directory / PAGE).read_text()


def read_variants(demo: Demo) -> tuple[Variant, ...]:
    from edge_runtime.bundle import Bundle

    return Bundle.read(demo.bundle).manifest.variants


def test_a_second_export_takes_the_place_of_the_first(demo: Demo, exported: tuple[Path, ExportResult]) -> None:
    """Everything else is as training wrote it, and the run is still whole."""
    run, _ = exported
    before, after = read_report(demo.run_directory), read_report(run)
    assert [each for each in before.sections if each.key != "export"] == [
        each for each in after.sections if each.key != "export"
    ]
    (section,) = (each for each in after.sections if each.key == "export")
    assert {row[0] for row in section.tables[0].rows} == {"numpy-float32", ""}
    read_run(run)


@pytest.mark.parametrize(
    "damage", [lambda run: (run / "report.json").unlink(), lambda run: (run / "report.json").write_text("[")]
)
def test_a_run_without_a_report_is_exported_all_the_same(
    exported: tuple[Path, ExportResult], damage: Callable[[Path], object]
) -> None:
    """And it is said that the report was left as it was."""
    run, result = exported
    page = (run / PAGE).read_bytes()
    damage(run)
    said: list[str] = []
    complete_report(run, result, said.append)
    assert len(said) == 1
    assert said[0].startswith("report.html is left as it was: ")
    assert (run / PAGE).read_bytes() == page


def test_what_was_refused_is_in_the_report_with_its_reason(exported: tuple[Path, ExportResult]) -> None:
    """A variant that does not convert has no figures."""
    run, result = exported
    refused = VariantOutcome("onnx-float32", ("onnx",), 0, {}, "onnx: unexpected operator <Loop>")
    complete_report(run, ExportResult(result.path, result.bundle, (*result.outcomes, refused)), lambda line: None)
    assert "NO: onnx: unexpected operator &lt;Loop&gt;" in (run / PAGE).read_text()
