"""Completes the run's report with what was exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import ExtraMissingError, OutputError, RunError
from export.outcome import answer_text, counted_boards
from training.report_page import PAGE, Section, Table, read_report, write_report

if TYPE_CHECKING:
    from export.outcome import VariantOutcome
    from export.seal import ExportResult


def complete_report(folder: Path, result: ExportResult, say: Callable[[str], None]) -> None:
    """Write the report of a run directory again, with the parity table.

    The bundle is sealed by then and does not depend on it: what keeps the report from being written (a folder that may only be
    read, a run without a report) is told to `say`.
    """
    try:
        write_report(folder, read_report(folder).with_section(export_section(result)))
    except (RunError, OutputError, ExtraMissingError) as fault:
        say(f"{PAGE} is left as it was: {' '.join(str(fault).splitlines())}")


def export_section(result: ExportResult) -> Section:
    """What each variant costs, and how far it is, read back from the sealed file, from the trained model."""
    size = result.path.stat().st_size / 1000
    boards = counted_boards(result.outcomes)
    return Section(
        "export",
        "Exported variants",
        (
            f"{result.path.name}, {size:.1f} kB. Each variant was read back from the sealed file and compared with the trained "
            "model on held-out normal windows, on disturbed ones, on ones near the threshold, and on labelled ones where the "
            "configuration names some. A variant over its budget is not in the bundle.",
        ),
        (),
        (
            Table(
                (
                    "variant",
                    "kB",
                    "microseconds",
                    *(f"k instructions, {board}" for board in boards),
                    "in the bundle",
                    "windows",
                    "largest difference, output",
                    "score",
                    "decisions flipped",
                    "average precision",
                ),
                tuple(row for outcome in result.outcomes for row in _rows(outcome, boards)),
                "Differences are relative; a flipped decision is a window on the other side of the threshold; microseconds a window "
                "are those of the machine that exported, one window at a time.",
            ),
        ),
    )


def _rows(outcome: VariantOutcome, boards: list[str]) -> Iterator[tuple[str, ...]]:
    counted = outcome.instructions or {}
    first = (
        outcome.name,
        f"{outcome.size / 1000:.1f}",
        "" if outcome.microseconds is None else f"{outcome.microseconds:.0f}",
        *(f"{counted[board]:.0f}" if board in counted else "" for board in boards),
        answer_text(outcome),
    )
    if not outcome.parity:
        yield (*first, "", "", "", "", "")
    for windows, check in outcome.parity.items():
        which = f"{check.windows} {windows.replace('_', ' ')}"
        change = "" if check.average_precision is None else f"{check.average_precision:.1e}"
        yield (*first, which, f"{check.reconstruction:.1e}", f"{check.score:.1e}", str(check.flipped), change)
        first = ("",) * len(first)
