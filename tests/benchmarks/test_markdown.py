"""Tables that a command writes into a document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import instructions, markdown, targets
from benchmarks.peers import command as peers

BEGIN, END = markdown.marks("peers")


def test_the_table_goes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    """As often as one likes."""
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for content in ("new", "newer"):
        markdown.insert(file, "peers", content)
        assert file.read_text() == f"before\n{BEGIN}\n{content}\n{END}\nafter\n"


@pytest.mark.parametrize("main", [peers.main, targets.main, instructions.main])
def test_a_document_without_the_marks_is_refused_before_anything_is_measured(
    tmp_path: Path, main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """And left alone; so is one that has them the wrong way round, or is not there."""
    file = tmp_path / "README.md"
    file.write_text(f"{END}\n{BEGIN}\n")
    for name in (file, tmp_path / "nowhere.md"):
        with pytest.raises(SystemExit):
            main(["--markdown", str(name)])
        assert "expected a file with the marks" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected the marks"):
        markdown.insert(file, "peers", "new")
    assert file.read_text() == f"{END}\n{BEGIN}\n"


def test_a_bar_does_not_end_a_cell() -> None:
    """Reasons come from elsewhere."""
    assert markdown.table(("a", "b"), [("1 | 2", "3")]) == "| a | b |\n| --- | --- |\n| 1 / 2 | 3 |"
