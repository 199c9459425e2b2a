"""Tables that a command writes into a document, between two marks that name it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def marks(name: str) -> tuple[str, str]:
    """The two comments between which the benchmark `name` writes."""
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def add_option(parser: argparse.ArgumentParser, name: str) -> None:
    """The option `--markdown FILE`; a file without the marks is wrong use, said before anything is measured."""
    begin, end = marks(name)

    def marked(text: str) -> Path:
        content = Path(text).read_text() if Path(text).is_file() else ""
        if not 0 <= content.find(begin) < content.find(end):
            raise argparse.ArgumentTypeError(f"expected a file with the marks {begin} and {end}, got {text!r}")
        return Path(text)

    parser.add_argument(
        "--markdown", metavar="FILE", type=marked, help=f"put the table between {begin} and {end} of this file"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar in a cell would end it, so it becomes a slash."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def insert(file: Path, name: str, content: str) -> None:
    """Put `content` between the two marks of a document, in place of what is there. Raises `ValueError` without them."""
    begin, end = marks(name)
    before, begins, rest = file.read_text().partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise ValueError(f"{file}: expected the marks {begin} and {end}, one after the other")
    file.write_text(f"{before}{begin}\n{content}\n{end}{after}")
