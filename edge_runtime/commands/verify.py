"""`anomalite verify`: is the file whole, and does every installed engine decide as it must?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from edge_runtime.bundle import Bundle
from edge_runtime.cli import EXIT_BAD_INPUT, EXIT_DONE, write
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import EngineError
from edge_runtime.golden import GoldenResult, check_golden, read_golden
from edge_runtime.schema import encode


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status, 2 if any variant fails."""
    parser = argparse.ArgumentParser(
        prog="anomalite verify",
        description="Check the digest and every hash of a bundle, then score its golden readings with each installed engine.",
        epilog="example: anomalite verify pump.anomalite",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a file NAME.anomalite")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    bundle = Bundle.read(options.bundle)
    results, missing = verify(bundle)
    if options.json:
        write(json.dumps({"bundle": bundle.source, "results": encode(results), "not_installed": missing}))
    else:
        _write_table(bundle, results, missing)
    return EXIT_DONE if all(result.passed for result in results) else EXIT_BAD_INPUT


def verify(bundle: Bundle) -> tuple[list[GoldenResult], list[str]]:
    """Check the golden readings with every variant on every installed engine that runs it.

    Returns the results and the engines that are not installed. Raises `EngineError` if nothing could be checked.
    """
    golden = read_golden(bundle)
    pairs = [(variant, engine) for variant in bundle.manifest.variants for engine in variant.engines]
    usable = [(variant, engine) for variant, engine in pairs if engine in ENGINES and is_installed(engine)]
    missing = sorted({engine for _, engine in pairs} - {engine for _, engine in usable})
    if not usable:
        raise EngineError(f"{bundle.source}: expected one of the engines {', '.join(missing)}, none is installed")
    return [check_golden(bundle, golden, variant, engine) for variant, engine in usable], missing


def _write_table(bundle: Bundle, results: list[GoldenResult], missing: list[str]) -> None:
    write(f"{bundle.source}: digest and {len(bundle.members) + 1} members are right")
    write(
        f"{'variant':15}  {'engine':7}  {'scored':>6}  {'score difference':>16}  {'accepted':>8}  {'flipped':>7}  result"
    )
    for each in results:
        write(
            f"{each.variant:15}  {each.engine:7}  {each.scored:6}  {each.difference:16.1e}  {each.tolerance:8.0e}  "
            f"{each.flipped:7}  {'passed' if each.passed else 'FAILED'}"
        )
    if missing:
        write(f"not installed, not checked: {', '.join(missing)}")
    failed = [f"{each.variant} on {each.engine}" for each in results if not each.passed]
    if failed:
        write(f"do not use this bundle here: {', '.join(failed)} does not answer the golden readings as it must")
