"""`anomalite replay`: an alert of the gateway computed again from the readings that were stored with it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from edge_runtime.cli import EXIT_ANOMALIES, EXIT_DONE, write
from edge_runtime.engines import ENGINES
from edge_runtime.gateway.replay import Outcome, open_bundle, read_evidence, replay
from edge_runtime.readings import from_microseconds

EXIT_DIFFERENT = EXIT_ANOMALIES


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 the same to the bit, 1 not. Raises `StoreError`, `BundleError`, `EngineError`."""
    options = _parser().parse_args(arguments)
    folder = options.store
    if folder is None:
        from edge_runtime.gateway.config_file import read_config

        folder = read_config(options.config).storage.folder
    evidence = read_evidence(folder, options.alert)
    outcome = replay(evidence, open_bundle(evidence, options.bundle), options.engine, options.variant)
    if options.json:
        write(json.dumps({"alert": options.alert, **outcome.to_json()}))
    else:
        for line in _lines(options.alert, outcome):
            write(line)
    return EXIT_DONE if outcome.is_same else EXIT_DIFFERENT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomalite replay",
        description="Compute an alert of the gateway again from the readings stored with it, with the same engine and variant, and say whether "
        "every number is the same to the bit (exit status 0) or not (1). May be run while the gateway runs.",
        epilog="example: anomalite replay 3f2a9c01d4e5b678 --config gateway.toml",
    )
    parser.add_argument("alert", metavar="ALERT_ID", help="`alert` in the message, or on the status page")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--config", metavar="GATEWAY.toml", help="the gateway's configuration, which says where its store is"
    )
    where.add_argument("--store", metavar="FOLDER", help="or the store's folder")
    parser.add_argument("--bundle", metavar="FILE", help="where the bundle is now, if not where it was")
    parser.add_argument("--engine", metavar="NAME", help=f"another engine than then: {', '.join(ENGINES)}")
    parser.add_argument("--variant", metavar="NAME", help="another of the bundle's variants than then")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def _lines(alert: str, outcome: Outcome) -> list[str]:
    """For people."""
    then, past = outcome.evidence, outcome.evidence.past
    shown = min(outcome.window, len(past.times))
    lines = [
        f"alert {alert} of {then.machine}, raised {_moment(then.time)}",
        f"bundle {then.bundle}, digest {then.digest[:12]}, {then.variant} on {then.engine}",
        f"the last {shown} of {len(past.times)} readings stored:",
    ]
    times = [_moment(time) for time in past.times[-shown:].tolist()]
    columns = [
        [name, *(f"{value:.6g}" for value in values)]
        for name, values in zip(then.channels, past.values[-shown:].T.tolist(), strict=True)
    ]
    lines += _aligned([["time", *times], *columns])
    rows: list[tuple[str, float, float | None]] = [
        ("score", then.score, outcome.score),
        ("threshold", then.threshold, outcome.threshold),
    ]
    rows += [(name, share, outcome.contributions.get(name)) for name, share in then.contributions.items()]
    told = ["", "score", "threshold", *(f"of the score, {name}" for name in then.contributions)]
    before = ["then", *(repr(was) for _, was, _ in rows)]
    now = ["now", *("none" if each is None else repr(each) for _, _, each in rows)]
    return [*lines, *_aligned([told, before, now]), _conclusion(outcome)]


def _conclusion(outcome: Outcome) -> str:
    then = outcome.evidence
    if outcome.is_same:
        return "the same to the bit"
    if (outcome.engine, outcome.variant) != (then.engine, then.variant):
        return f"DIFFERENT: now on {outcome.variant} on {outcome.engine}, then on {then.variant} on {then.engine}"
    return "DIFFERENT: another version of the engine or of numpy, or another kind of CPU than then, rounds otherwise"


def _moment(microseconds: int) -> str:
    return from_microseconds(microseconds).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _aligned(columns: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in columns]
    first, *others = zip(columns, widths, strict=True)
    cells = [
        [each.ljust(first[1]) for each in first[0]],
        *([each.rjust(width) for each in column] for column, width in others),
    ]
    return ["  ".join(row) for row in zip(*cells, strict=True)]
