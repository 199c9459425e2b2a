"""`anomalite score`: a table or a stream of readings in, verdicts out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from edge_runtime.cli import EXIT_ANOMALIES, EXIT_DONE, flush, write
from edge_runtime.detector import Detector
from edge_runtime.engines import ENGINES
from edge_runtime.errors import InputError, TableError
from edge_runtime.manifest import Threshold
from edge_runtime.opening import load
from edge_runtime.readings import STATUSES, Alert, Verdict
from edge_runtime.tables import Table, check_not_all_missing, holds_snapshots, read_stream, read_table
from edge_runtime.threshold_text import false_alarms_text, threshold_text


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    detector = load(options.bundle, engine=options.engine, variant=options.variant)
    if options.data == "-":
        if options.plot:
            raise InputError("--plot needs a file of readings, not a stream")
        verdicts = _score_stream(detector, options.ignore_extra)
    else:
        verdicts = _score_file(detector, options.data, options.ignore_extra, options.plot)
    scored, anomalous = _write_json(verdicts) if options.json else _write_table(verdicts, detector.manifest.threshold)
    if options.fail_on_anomaly and not scored:
        raise InputError(
            f"{options.data}: expected readings that can be scored, got none: nothing is known of the machine"
        )
    return EXIT_ANOMALIES if options.fail_on_anomaly and anomalous else EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomalite score",
        description="Score readings with a bundle. Every reading is answered; the status says why one has no score.",
        epilog="examples: anomalite score pump.anomalite readings.csv --plot scores.png; "
        "tail -f readings.csv | anomalite score pump.anomalite - --json",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a file NAME.anomalite")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="CSV or JSON lines; raw snapshots: npz or a folder of CSV files; - reads standard input, line by line",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--engine", metavar="NAME", default="auto", help=f"auto, {', '.join(ENGINES)}")
    parser.add_argument("--variant", metavar="NAME", help="one of the bundle's variants (see anomalite inspect)")
    parser.add_argument("--plot", metavar="FILE", help="draw readings, score, threshold and alarm (extra: plot)")
    parser.add_argument("--ignore-extra", action="store_true", help="leave out columns the bundle does not know")
    parser.add_argument("--fail-on-anomaly", action="store_true", help="exit with status 1 if anything is anomalous")
    return parser


def _score_file(detector: Detector, path: str, ignore_extra: bool, plot: str | None) -> Iterable[Verdict]:
    manifest = detector.manifest
    if holds_snapshots(path):
        from edge_runtime.snapshots import read_snapshots

        table = read_snapshots(path, manifest.waveform)
    else:
        has_grid = manifest.sampling.grid is not None  # and with it a policy for late and repeated times
        table = read_table(
            path, manifest.time_column, manifest.channel_names, ignore_extra=ignore_extra, any_order=has_grid
        )
    _check_scorable(table, manifest.preparation.readings_needed)
    verdicts = detector.score(table.values, table.datetimes)
    if plot:
        from edge_runtime.plot import plot_verdicts

        plot_verdicts(plot, manifest, table, verdicts)
    return verdicts


def _check_scorable(table: Table, length: int) -> None:
    if len(table.times) < length:
        raise TableError(f"{table.source}: expected at least {length} rows for one window, got {len(table.times)}")
    check_not_all_missing(table)


def _score_stream(detector: Detector, ignore_extra: bool) -> Iterable[Verdict]:
    manifest = detector.manifest
    if sys.stdin is None:
        raise InputError("standard input: cannot be read: it is closed")
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]  # a bad byte becomes a bad cell, with its row
    readings = read_stream(
        sys.stdin,
        "standard input",
        manifest.time_column,
        manifest.channel_names,
        ignore_extra=ignore_extra,
        any_order=manifest.sampling.grid is not None,
    )
    for reading in readings:
        yield detector.update(reading)
        flush()


def _write_json(verdicts: Iterable[Verdict]) -> tuple[int, int]:
    """Write a line for each verdict; returns how many have a score and how many are anomalous."""
    scored = anomalous = 0
    for verdict in verdicts:
        scored += verdict.score is not None
        anomalous += verdict.anomalous is True
        write(json.dumps(verdict.to_json()))
    return scored, anomalous


def _write_table(verdicts: Iterable[Verdict], threshold: Threshold) -> tuple[int, int]:
    """Write a row for each verdict and a summary; returns how many have a score and how many are anomalous."""
    counts = dict.fromkeys(STATUSES, 0)
    faults: dict[str, int] = {}
    anomalous = 0
    alerts: list[Alert] = []
    write(f"{'time (UTC)':19}  {'status':12}  {'score':>10}  {'threshold':>10}  {'anomalous':9}  {'alarm':7}  mostly")
    for verdict in verdicts:
        counts[verdict.status] += 1
        anomalous += verdict.anomalous is True
        for channel in verdict.fault_channels:
            faults[channel] = faults.get(channel, 0) + 1
        if (alert := verdict.alert()) is not None:
            alerts.append(alert)
        write(_row(verdict))
    write("")
    write(f"{sum(counts.values())} readings: " + ", ".join(f"{n} {status}" for status, n in counts.items() if n))
    if faults:
        write("sensors at fault: " + ", ".join(f"{channel} in {n} readings" for channel, n in faults.items()))
    write(f"{anomalous} anomalous, {sum(alert.kind == 'raised' for alert in alerts)} alarms")
    write(f"threshold {threshold_text(threshold)}; false alarms: {false_alarms_text(threshold)}")
    for alert in alerts:
        write(f"  {alert}")
    return counts["scored"], anomalous


def _row(verdict: Verdict) -> str:
    time = f"{verdict.time:%Y-%m-%d %H:%M:%S}  {verdict.status:12}"
    if verdict.score is None or verdict.contributions is None:
        row = f"{time}  {'-':>10}  {verdict.threshold:10.4g}  {'-':9}  {verdict.alarm:7}  {', '.join(verdict.fault_channels)}"
        return row.rstrip()
    contributions = verdict.contributions
    top = max(contributions, key=lambda name: contributions[name])
    answer = "yes" if verdict.anomalous else "no"
    return f"{time}  {verdict.score:10.4g}  {verdict.threshold:10.4g}  {answer:9}  {verdict.alarm:7}  {top}"
