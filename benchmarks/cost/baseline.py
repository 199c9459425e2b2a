"""`benchmarks/baseline.json`: what everything cost when somebody last said that it should, and whether that still holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "baseline.json"
LIMIT = 0.03
"""How far a count may move, either way, before somebody has to say so."""
SETTLED = 0.01
"""A count that moved less is left as it is when the file is written again: memory lies elsewhere after every change."""

Counts = dict[int, dict[str, int]]
"""Instructions by board and name."""


@dataclass(frozen=True)
class Row:
    """One case, then and now."""

    name: str
    board: int
    expected: int | None
    """None: not in the file."""
    got: int | None
    """None: not counted any more."""

    @property
    def change(self) -> float | None:
        """As a fraction of what was expected."""
        if self.expected is None or self.got is None:
            return None
        return (self.got - self.expected) / abs(self.expected)

    @property
    def fault(self) -> str | None:
        """What is wrong with it, on one line; None: nothing."""
        where = f"{self.name} on a Pi {self.board}"
        if self.expected is None:
            return f"{where}: expected an entry in {FILE.name}, got none (counted: {self.got:,})"
        if self.got is None:
            return f"{where}: expected {self.expected:,} instructions, got none: it is not counted any more"
        change = self.change or 0.0
        if abs(change) <= LIMIT:
            return None
        way = "more" if change > 0 else "fewer"
        return f"{where}: expected {self.expected:,} instructions within {LIMIT:.0%}, got {self.got:,}: {abs(change):.1%} {way}"


@dataclass(frozen=True)
class Baseline:
    """The file."""

    versions: Mapping[str, str]
    """Of what was counted and what counted it. With others the counts are others."""
    instructions: Counts

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Raises `ValueError` if it is not as `write` writes it; none is an empty one."""
        if not path.exists():
            return cls({}, {})
        content = json.loads(path.read_text())
        boards = {name: content[name] for name in content if name != "versions"}
        return cls(content["versions"], {int(name.removeprefix("Pi ")): counts for name, counts in boards.items()})

    def write(self, path: Path) -> None:
        """Sorted, a line an entry."""
        content: dict[str, object] = {"versions": dict(sorted(self.versions.items()))}
        for board, counts in sorted(self.instructions.items()):
            content[f"Pi {board}"] = dict(sorted(counts.items()))
        path.write_text(json.dumps(content, indent=2) + "\n")

    def other_versions(self, versions: Mapping[str, str]) -> list[str]:
        """What the file was made with and this is not."""
        return [
            f"{name}: {self.versions.get(name, 'none')} in {FILE.name}, {versions.get(name, 'none')} here"
            for name in sorted({*self.versions, *versions})
            if self.versions.get(name) != versions.get(name)
        ]

    def compare(self, counted: Counts, select: Callable[[str], bool]) -> list[Row]:
        """A row for each case of the boards counted, which `select` takes, here or there; by board and name."""
        rows = []
        for board, counts in sorted(counted.items()):
            expected = self.instructions.get(board, {})
            names = sorted(name for name in {*counts, *expected} if select(name))
            rows += [Row(name, board, expected.get(name), counts.get(name)) for name in names]
        return rows

    def updated(self, rows: list[Row], versions: Mapping[str, str]) -> Baseline:
        """With what was counted; what hardly moved stays, unless the versions are others."""
        instructions = {board: dict(counts) for board, counts in self.instructions.items()}
        is_comparable = not self.other_versions(versions)
        for row in rows:
            counts = instructions.setdefault(row.board, {})
            if row.got is None:
                del counts[row.name]
            elif not is_comparable or row.change is None or abs(row.change) > SETTLED:
                counts[row.name] = row.got
        return Baseline(versions, {board: counts for board, counts in instructions.items() if counts})
