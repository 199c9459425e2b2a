"""The cost gate: ARM instructions of a window, a reading and a start, counted under emulation and compared with benchmarks/baseline.json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.context import commit, machine
from benchmarks.cost.baseline import FILE, Baseline, Counts, Row
from benchmarks.cost.cases import BOARDS, Start, Work, jobs
from benchmarks.cost.root import Root
from edge_runtime.errors import ExportError

ADVICE = "If that is meant: run `python -m benchmarks cost --update` and commit benchmarks/baseline.json with the change that explains it."


def main(arguments: Sequence[str]) -> int:
    """Count, compare or write; returns the exit status: 1 if anything moved or cannot be compared."""
    options = _options(arguments)

    def select(name: str) -> bool:
        return any(fnmatchcase(name, f"{pattern}*") for pattern in options.only or ["*"])

    boards = sorted(set(options.board or BOARDS))
    parts = jobs(boards, select)
    if not parts:
        raise SystemExit(
            f"expected --only to be the beginning or pattern of a case's name, got {' '.join(options.only)}"
        )
    baseline = Baseline.read(options.baseline)
    try:
        root = Root(options.root, options.cache)
        versions = root.versions()
        others = baseline.other_versions(versions)
        if others and (not options.update or options.only or boards != list(BOARDS)):
            print(*others, sep="\n", file=sys.stderr)
            print(
                "Counts with other versions cannot be compared: make the same ones, or count everything:",
                file=sys.stderr,
            )
            print(ADVICE, file=sys.stderr)
            return 1
        counted = _count(root, parts, boards, options.jobs)
    except ExportError as fault:
        raise SystemExit(str(fault)) from None
    rows = baseline.compare(counted, select)
    faults = [row.fault for row in rows if row.fault]
    results = [{"name": row.name, "board": row.board, "instructions": row.got} for row in rows if row.got is not None]
    line = {"benchmark": "cost", "machine": machine(), "commit": commit(), "versions": versions, "results": results}
    _print(rows)
    if options.update:
        baseline.updated(rows, versions).write(options.baseline)
        print(f"{options.baseline} written, {len(faults)} of {len(rows)} counts moved by more than the gate allows")
    elif faults:
        print(*faults, ADVICE, sep="\n", file=sys.stderr)
    print(json.dumps(line))
    return 1 if faults and not options.update else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cost", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the file instead of comparing with it")
    parser.add_argument(
        "--only", metavar="PATTERN", action="append", help="cases whose name begins so, as update or window/*/onnx"
    )
    parser.add_argument("--board", type=int, action="append", choices=BOARDS, help="default: 4 and 5")
    parser.add_argument("--jobs", type=int, default=1, help="emulated processes at a time (default: 1)")
    parser.add_argument("--root", type=Path, help="made by pi/make-root (default: what `nox -s cost` made)")
    parser.add_argument("--baseline", metavar="FILE", type=Path, default=FILE, help="default: benchmarks/baseline.json")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, default=Path("runs/benchmarks"), help="where bundles are kept"
    )
    return parser.parse_args(arguments)


def _count(root: Root, parts: Sequence[Work | Start], boards: Sequence[int], workers: int) -> Counts:
    counts: Counts = {board: {} for board in boards}
    with ThreadPoolExecutor(workers) as pool:
        for part, found in zip(parts, pool.map(lambda part: part.count(root), parts), strict=True):
            counts[part.board] |= {name: round(count) for name, count in found.items()}
            print(f"Pi {part.board}: {part.names[0]}: counted", file=sys.stderr, flush=True)
    return counts


def _print(rows: Sequence[Row]) -> None:
    print(f"{'instructions':58} {'board':5} {'baseline':>13} {'now':>13} {'change':>8}")
    for row in rows:
        expected, got = ("-" if count is None else f"{count:,}" for count in (row.expected, row.got))
        change = "" if row.change is None else f"{row.change:+.2%}"
        print(f"{row.name:58} {f'Pi {row.board}':5} {expected:>13} {got:>13} {change:>8}{'  <' if row.fault else ''}")
