"""`anomalite bench`: latency, memory, start-up and size of a bundle on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from edge_runtime.bench.choose import choice_lines, choose
from edge_runtime.bench.compare import compare, comparison_lines, read_earlier
from edge_runtime.bench.plot import check_target, plot_bench
from edge_runtime.bench.result import Bench, to_line
from edge_runtime.bench.run import measure
from edge_runtime.bench.table import lines
from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.schema import encode


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    earlier = prepare(options)
    bench = measure(
        options.bundle, engine=options.engine, variant=options.variant, seconds=options.seconds, progress=_progress()
    )
    if not options.json:
        for line in lines(bench):
            write(line)
    line = to_line(bench)
    try:
        line = use(options, bench, earlier, line)
    finally:  # what took minutes to measure is not lost with what was to be done with it
        write(line)
    return EXIT_DONE


def prepare(options: argparse.Namespace) -> Bench | None:
    """Find what would fail after the measurement, before it; returns the run to compare with. Raises `InputError`, `ExtraMissingError`."""
    if options.plot:
        check_target(options.plot)
    return read_earlier(options.compare) if options.compare else None


def use(options: argparse.Namespace, bench: Bench, earlier: Bench | None, line: str) -> str:
    """Compare, draw and choose as asked; returns the JSON line with what came of it."""
    said: list[str] = []
    added: dict[str, Any] = {}
    if earlier is not None:
        comparison = compare(bench, earlier)
        said += ["", *comparison_lines(comparison)]
        added["comparison"] = encode(comparison)
    if options.choose:
        choice, target = choose(options.bundle, bench)
        said += ["", *choice_lines(choice, target)]
        added["choice"] = encode(choice)
    if options.plot:  # last: a picture that cannot be written costs nothing else
        plot_bench(options.plot, bench)
    if not options.json:
        for each in said:
            write(each)
    return json.dumps({**json.loads(line), **added}) if added else line


def _progress() -> Callable[[str], None]:
    """Says what is being measured, on one line of the terminal, if standard error is one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return lambda _: None
    return lambda what: print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomalite bench",
        description="Measure a bundle on this machine: time a reading, cold start, memory and size, for each installed engine "
        "and each variant that runs here. The last line is JSON, for --compare later.",
        epilog="example: anomalite bench pump.anomalite | tee before.txt",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a file NAME.anomalite")
    parser.add_argument("--engine", metavar="NAME", default="all", help="only this engine (default: all installed)")
    parser.add_argument(
        "--variant", metavar="NAME", help="only this variant of the bundle (default: all that run here)"
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=float,
        default=10.0,
        help="how long to time each of them; all else takes about as long again (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="the JSON line alone, no table")
    parser.add_argument(
        "--compare",
        metavar="OLD",
        help="a file that ends with an earlier run's JSON line: what is faster or slower since",
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="write the fastest variant that passed parity beside the bundle; it is taken on this board from then on",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw how long readings take, .png, .svg or .pdf (extra: plot)")
    return parser
