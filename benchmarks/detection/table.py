"""What came out, in a table for people and a line of JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RATES = frozenset(("f1", "far", "mar", "ap", "auc", "precision", "recall", "hit_rate"))


@dataclass
class Row:
    """One detector on one data set."""

    kind: str
    """ours, baseline or published."""
    name: str
    variant: str = ""
    seeds: list[dict[str, float]] = field(default_factory=list)
    """The measures, by seed."""
    note: str = ""

    def mean(self, column: str) -> float:
        """The mean over the seeds; NaN where it is not known."""
        return float(np.mean([seed.get(column, math.nan) for seed in self.seeds])) if self.seeds else math.nan

    def spread(self, column: str) -> float:
        """The standard deviation over the seeds."""
        return float(np.std([seed[column] for seed in self.seeds], ddof=1)) if len(self.seeds) > 1 else 0.0


def lines(title: str, columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The table of one data set."""
    width = max(len(_label(row)) for row in rows)
    head = f"{'':9} {'detector':{width}}  " + "  ".join(f"{column:>13}" for column in columns)
    return [title, head, *(_line(row, width, columns) for row in rows), ""]


def _label(row: Row) -> str:
    return f"{row.name} {row.variant}".strip()


def _line(row: Row, width: int, columns: Sequence[str]) -> str:
    cells = "  ".join(f"{_cell(row, column):>13}" for column in columns)
    return f"{row.kind:9} {_label(row):{width}}  {cells}{f'  {row.note}' if row.note else ''}".rstrip()


def _cell(row: Row, column: str) -> str:
    mean, spread = row.mean(column), row.spread(column)
    if math.isnan(mean):
        return "-"
    text = f"{mean:.3f}" if column in RATES else f"{mean:.1f}" if column in ("lead_h", "nab") else f"{mean:g}"
    return f"{text} ±{spread:.2g}" if spread else text


def json_line(data: str, files: int, columns: Sequence[str], rows: Sequence[Row], about: dict[str, str]) -> str:
    """The design's line: rates are fractions, counts plain; `_sd` is the spread over the seeds."""
    results: list[dict[str, Any]] = []
    for row in rows:
        numbers = {column: row.mean(column) for column in columns if not math.isnan(row.mean(column))}
        spreads = {f"{column}_sd": row.spread(column) for column in numbers if len(row.seeds) > 1}
        rounded = {name: round(value, 6) for name, value in {**numbers, **spreads}.items()}
        results.append({"kind": row.kind, "name": row.name, "variant": row.variant, "seeds": len(row.seeds), **rounded})
    return json.dumps({"benchmark": "detection", "data": data, "files": files, **about, "results": results})
