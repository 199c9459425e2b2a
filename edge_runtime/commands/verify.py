"""`anomalite verify`: is the file whole, and does every installed engine decide as it must?"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence

from edge_runtime.bundle import Bundle
from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.cpu import cpu_kind
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import EngineError
from edge_runtime.golden import GoldenReadings, GoldenResult, check_golden, read_golden
from edge_runtime.manifest import Variant
from edge_runtime.opening import obstacle
from edge_runtime.schema import encode


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status. Raises `EngineError` if any variant fails."""
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
        rows = [{**encode(each), "difference": each.difference if each.scored else None} for each in results]
        write(json.dumps({"bundle": bundle.source, "results": rows, "not_installed": missing}))
    else:
        _write_table(bundle, results, missing)
    failed = [result for result in results if not result.passed]
    if failed:
        which = ", ".join(
            f"{each.variant} on {each.engine}{f' ({each.fault})' if each.fault else ''}" for each in failed
        )
        raise EngineError(f"{bundle.source}: do not use it here: the golden readings are not answered right by {which}")
    return EXIT_DONE


def verify(bundle: Bundle) -> tuple[list[GoldenResult], list[str]]:
    """Check the golden readings with every variant on every installed engine that runs it.

    Returns the results and the engines that are not installed. Raises `EngineError` if nothing could be checked.
    """
    golden = read_golden(bundle)
    pairs = [(variant, engine) for variant in bundle.manifest.variants for engine in variant.engines]
    here = [(variant, engine) for variant, engine in pairs if engine in ENGINES and is_installed(engine)]
    usable = [(variant, engine) for variant, engine in here if obstacle(variant, engine, cpu_kind()) is None]
    missing = sorted({engine for _, engine in pairs} - {engine for _, engine in here})
    if here and not usable:
        raise EngineError(f"{bundle.source}: expected a variant for this machine, got {'; '.join(ruled_out(bundle))}")
    if not usable:
        raise EngineError(f"{bundle.source}: expected one of the engines {', '.join(missing)}, none is installed")
    return [_check(bundle, golden, variant, engine) for variant, engine in usable], missing


def ruled_out(bundle: Bundle) -> list[str]:
    """What cannot run here by what the manifest requires, for people; `verify` leaves it out, and `load` never takes it."""
    pairs = [(variant, engine) for variant in bundle.manifest.variants for engine in variant.engines]
    reasons = [(each.name, engine, obstacle(each, engine, cpu_kind())) for each, engine in pairs if engine in ENGINES]
    return [f"{name} on {engine}: {reason}" for name, engine, reason in reasons if reason is not None]


def _check(bundle: Bundle, golden: GoldenReadings, variant: Variant, engine: str) -> GoldenResult:
    """One engine that cannot run the model does not hide what the others answer."""
    try:
        return check_golden(bundle, golden, variant, engine)
    except EngineError as fault:
        return GoldenResult(variant.name, engine, 0, math.inf, variant.tolerance, 0, passed=False, fault=str(fault))


def _write_table(bundle: Bundle, results: list[GoldenResult], missing: list[str]) -> None:
    write(f"{bundle.source}: digest and {len(bundle.members) + 1} members are right")
    write(
        f"{'variant':23}  {'engine':7}  {'scored':>6}  {'score difference':>16}  {'accepted':>8}  {'flipped':>7}  result"
    )
    for each in results:
        write(
            f"{each.variant:23}  {each.engine:7}  {each.scored:6}  {each.difference:16.1e}  {each.tolerance:8.0e}  "
            f"{each.flipped:7}  {'passed' if each.passed else 'FAILED'}"
        )
    for line in ruled_out(bundle):
        write(f"not for this machine, not checked: {line}")
    if missing:
        write(f"not installed, not checked: {', '.join(missing)}")
