"""`anomalite bench`: latency, memory, start-up and size of a bundle on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from edge_runtime.bench.result import to_line
from edge_runtime.bench.run import measure
from edge_runtime.bench.table import lines
from edge_runtime.cli import EXIT_DONE, write


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    bench = measure(
        options.bundle, engine=options.engine, variant=options.variant, seconds=options.seconds, progress=_progress()
    )
    if not options.json:
        for line in lines(bench):
            write(line)
    write(to_line(bench))
    return EXIT_DONE


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
    return parser
