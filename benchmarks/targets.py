"""`python -m benchmarks targets`: every target of the runtime's cost, what was measured for it here, and whether it is met.

It runs the benchmarks that measure, each as `python -m benchmarks NAME` whose last line is JSON, and reads those lines. What cannot be
measured here (no ARM userland, a peer that does not install) is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import markdown
from benchmarks.context import commit, machine
from benchmarks.peers.table import TARGETS as PEERS
from benchmarks.runtime import TARGETS, judged

SOURCES: dict[str, list[str]] = {
    "runtime": ["runtime"],
    "peers": ["peers"],
    "scaling": ["scaling", "--only", "stream"],
    "cost": ["cost"],
}
"""The benchmarks, and what each is called with."""
MOST_INSTRUCTIONS = 30_000
MOST_BYTES_A_READING, MOST_PERCENT_CHANGE = 1.0, 2.0

Line = Mapping[str, Any] | str
"""A benchmark's line, or why there is none."""


class Row(NamedTuple):
    """A line of the table."""

    measure: str
    target: str
    measured: str
    verdict: str
    """`met`, `MISSED by ...`, or `not measured: ...`."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks targets", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(SOURCES), help="run only this one")
    parser.add_argument(
        "--lines", metavar="DIR", type=Path, help="read NAME.json from there where it exists, write it there else"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer measurements of `runtime`: to try it, not to quote it"
    )
    markdown.add_option(parser, "targets")
    options = parser.parse_args(arguments)
    lines = {
        name: _line(name, options.lines, options.quick) if name in (options.only or SOURCES) else "not asked for"
        for name in SOURCES
    }
    rows = table(lines)
    measured_at = {line["commit"] for line in lines.values() if not isinstance(line, str)}
    context = {"machine": machine(), "commit": ", ".join(sorted(measured_at)) or commit()}
    print(text(rows))
    if options.markdown is not None:
        source = f"`python -m benchmarks targets` at commit {context['commit']}, {context['machine']}."
        markdown.insert(options.markdown, "targets", f"{text(rows)}\n\n{source}")
    print(json.dumps({"benchmark": "targets", **context, "results": [row._asdict() for row in rows]}))
    return 0


def table(lines: Mapping[str, Line]) -> list[Row]:
    """The rows, from each benchmark's line or the reason why there is none."""
    return [
        *_instructions(lines["cost"]),
        *_peers(lines["peers"]),
        *_runtime(lines["runtime"]),
        *_stream(lines["scaling"]),
    ]


def text(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    return markdown.table(("measure", "target", "measured", "verdict"), rows)


def last_line(output: str, name: str) -> Line:
    """The benchmark's line: the last one printed, if it is its own."""
    printed = output.strip().splitlines()
    try:
        line = json.loads(printed[-1])
    except (IndexError, ValueError):
        return "its last line is no JSON"
    if not isinstance(line, dict) or line.get("benchmark") != name:
        return f"its last line is not of the benchmark {name}"
    return line


def _line(name: str, folder: Path | None, quick: bool) -> Line:
    file = folder / f"{name}.json" if folder else None
    if file is not None and file.exists():
        return last_line(file.read_text(), name)
    print(f"python -m benchmarks {' '.join(SOURCES[name])}", file=sys.stderr, flush=True)
    quickly = ["--quick"] if quick and name == "runtime" else []
    command = [sys.executable, "-m", "benchmarks", *SOURCES[name], *quickly]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = last_line(done.stdout, name)
    if isinstance(line, str):
        said = (done.stderr.strip().splitlines() or [line])[-1]
        return f"exit status {done.returncode}: {said}" if done.returncode else line
    # A gate that found a change exits with another status: its line counts all the same. What was measured quickly is not kept.
    if file is not None and not quickly:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(line) + "\n")
    return line


def _row(measure: str, limit: float, unit: str, measured: float, is_least: bool = False) -> Row:
    sign = ">=" if is_least else "<="
    shown = f"{measured:,.0f}" if abs(measured) >= 1000 else f"{measured:.4g}"
    return Row(measure, f"{sign} {limit:,g} {unit}", f"{shown} {unit}", judged(measured, limit, is_least=is_least))


def _missing(measure: str, limit: float, unit: str, why: str, is_least: bool = False) -> Row:
    return Row(measure, f"{'>=' if is_least else '<='} {limit:,g} {unit}", "", f"not measured: {why}")


def _instructions(line: Line) -> list[Row]:
    measure, unit = "Detector.update above the bare engine", "ARM instructions"
    if isinstance(line, str):
        return [_missing(measure, MOST_INSTRUCTIONS, unit, line)]
    counts: dict[str, float] = {}
    for result in line["results"]:
        if result["name"].startswith("update/"):
            counts[result["name"]] = max(result["instructions"], counts.get(result["name"], 0))
    if not counts:
        return [_missing(measure, MOST_INSTRUCTIONS, unit, "no count of update in the line")]
    return [_row(f"{measure}, {name}", MOST_INSTRUCTIONS, unit, round(count)) for name, count in counts.items()]


def _peers(line: Line) -> list[Row]:
    if isinstance(line, str):
        return [_missing(f"faster than {peer}", least, "x", line, True) for peer, least in PEERS.items()]
    by_name = {result["name"]: result for result in line["results"]}
    ours = {
        name: result["us_p50"]
        for name, result in by_name.items()
        if name.startswith("anomalite ") and result["status"] == "ok"
    }
    rows = []
    for peer, least in PEERS.items():
        status = by_name.get(peer, {"status": "no such row"})["status"]
        why = status if status != "ok" else None if ours else "no row of ours is ok"
        if why is not None:
            rows.append(_missing(f"faster than {peer}", least, "x", why, True))
            continue
        fastest = min(ours, key=lambda name: ours[name])
        times = by_name[peer]["us_p50"] / ours[fastest]
        rows.append(_row(f"faster than {peer} ({fastest})", least, "x", times, True))
    return rows


def _runtime(line: Line) -> list[Row]:
    rows = []
    for target in TARGETS:
        results = [] if isinstance(line, str) else [each for each in line["results"] if each["case"] == target.case]
        if not results:
            why = line if isinstance(line, str) else f"no case {target.case} in the line"
            rows.append(_missing(target.measure, target.most, target.unit, why))
        for result in results:
            measure = target.measure + (f", {result['engine']}" if result["engine"] else "")
            if "fault" in result:
                rows.append(_missing(measure, target.most, target.unit, result["fault"]))
            else:
                rows.append(_row(measure, target.most, target.unit, result[target.key]))
    return rows


def _stream(line: Line) -> list[Row]:
    growth, slowing = "memory that grows with a stream", "time a reading, change from first to last tenth"
    if not isinstance(line, str) and "stream" not in line:
        line = "no stream in the line"
    if isinstance(line, str):
        return [
            _missing(growth, MOST_BYTES_A_READING, "bytes a reading", line),
            _missing(slowing, MOST_PERCENT_CHANGE, "%", line),
        ]
    stream = line["stream"]
    over = f", {stream['readings']:,} readings"
    return [
        _row(growth + over, MOST_BYTES_A_READING, "bytes a reading", stream["bytes_a_reading"]),
        _row(slowing + over, MOST_PERCENT_CHANGE, "%", 100 * abs(stream["last_to_first"] - 1)),
    ]
