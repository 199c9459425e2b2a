"""What a window of a bundle costs on each Raspberry Pi, bare engine, batch 1: thousands of ARM instructions, counted under emulation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.context import commit, machine
from benchmarks.reference_bundle import reference_bundle
from edge_runtime.bundle import Bundle
from edge_runtime.errors import ExportError
from export.arm import find_root, installed, instructions

BOARDS = (3, 4, 5)


def main(arguments: Sequence[str]) -> int:
    """Count each variant with each engine that the root holds; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks instructions", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, nargs="?", help="default: the benchmarks' own")
    parser.add_argument("--board", type=int, action="append", choices=(2, *BOARDS), help="default: 3, 4 and 5")
    parser.add_argument(
        "--root", type=Path, help="made by pi/make-root (default: ANOMALITE_PI_ROOT, or what `nox -s pi` made)"
    )
    parser.add_argument(
        "--cache", metavar="DIR", default="runs/benchmarks", help="where the benchmarks' bundle is kept"
    )
    markdown.add_option(parser, "instructions")
    options = parser.parse_args(arguments)
    root = options.root.resolve() if options.root else find_root()
    if root is None:
        raise SystemExit("no ARM userland to count in: `nox -s pi` makes them, pi/README.md says how to make one")
    path = options.bundle or reference_bundle(Path(options.cache))
    boards = options.board or BOARDS
    print(f"k instructions a window in {root.name}: {path}")
    print(f"{'variant':24} {'engine':7}" + "".join(f"{f'Pi {board}':>9}" for board in boards), flush=True)
    results: list[dict[str, Any]] = []
    for variant in Bundle.read(path).manifest.variants:
        for engine in (each for each in variant.engines if each in installed(root)):
            print(f"{variant.name:24} {engine:7}", end="", flush=True)
            for board in boards:
                try:
                    count = instructions(root, path, engine, variant.name, board)
                except ExportError as fault:
                    raise SystemExit(f"\n{fault}") from None
                results.append(
                    {"variant": variant.name, "engine": engine, "board": board, "instructions": round(count)}
                )
                print(f"{count / 1000:9,.1f}", end="", flush=True)
            print(flush=True)
    context = {"machine": machine(), "commit": commit()}
    if options.markdown is not None:
        content = (
            f"{table(results, Bundle.read(path))}\n\n`python -m benchmarks instructions` at commit {context['commit']}."
        )
        markdown.insert(options.markdown, "instructions", content)
    print(json.dumps({"benchmark": "instructions", **context, "results": results}))
    return 0


def table(results: Sequence[dict[str, Any]], bundle: Bundle) -> str:
    """A row for each variant and engine, a column for each board, in thousands; the fewest of a board are bold."""
    boards = sorted({result["board"] for result in results})
    fewest = {board: min(each["instructions"] for each in results if each["board"] == board) for board in boards}
    counts = {(each["variant"], each["engine"], each["board"]): each["instructions"] for each in results}
    rows = []
    for variant, engine in dict.fromkeys((each["variant"], each["engine"]) for each in results):
        row = [f"`{variant}`", engine]
        for board in boards:
            count = counts[variant, engine, board]
            row.append(f"**{count / 1000:,.0f}**" if count == fewest[board] else f"{count / 1000:,.0f}")
        rows.append([*row, f"{bundle.variant(variant).size / 1000:,.0f}"])
    return markdown.table(("variant", "engine", *(f"Pi {board}" for board in boards), "file, kB"), rows)
