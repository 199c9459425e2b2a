"""From readings to alarm on a real bearing: train, export, score through the sealed file, and draw what happened.

    python -m examples.ims_bearing.demo

from the repository's root. Everything is written to `runs/`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.baselines import HotellingT2, zero_detector
from edge_runtime import AnomaliteError, Verdicts, load
from edge_runtime.bundle import Bundle
from edge_runtime.cli import main as anomalite
from edge_runtime.engines import is_installed
from edge_runtime.plot import plot_verdicts
from edge_runtime.readings import from_microseconds, to_microseconds
from edge_runtime.tables import Table, read_table
from training import AlarmReport, Run, alarm_report, read_run
from training.report_page import PAGE

HERE = Path(__file__).parent
NORMAL_UNTIL = datetime(2004, 2, 16, tzinfo=UTC)
"""An alarm before this is a false one: the vibration has not changed yet."""


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.ims_bearing.demo", description="From readings to alarm on a real bearing."
    )
    parser.add_argument("--out", metavar="DIR", default="runs", help="where to write (default: runs)")
    out = Path(parser.parse_args().out)
    try:
        demo(out)
    except AnomaliteError as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 2
    return 0


def demo(out: Path) -> None:
    """The four steps, each with what it found."""
    run_directory, bundle_file, picture = out / "ims_bearing", out / "ims_bearing.anomalite", out / "report.png"
    config = Path(os.path.relpath(HERE / "train.toml"))
    say("1. Train an LSTM autoencoder on the first three days of the bearing's life.")
    command("train", str(config), "--out", str(run_directory), "--force")
    say("2. Export it, and prove every variant against the trained model.")
    command("export", str(run_directory), "--out", str(bundle_file))

    say("3. Score the rest of its life through the sealed file, with the runtime a gateway has.", "")
    run, bundle = read_run(run_directory), Bundle.read(bundle_file)
    table = read_table(HERE / "readings.csv", run.manifest.time_column, run.manifest.channel_names)
    trained_until = np.datetime64(datetime.fromisoformat(run.manifest.provenance.trained_to).replace(tzinfo=None))
    rest = table.datetimes > trained_until
    reports = variant_reports(bundle, table, rest) | baseline_reports(run, table, rest)
    say(*alarm_table(reports), "", "False alarms are those before 2004-02-16 00:00; the failure is the last row.", "")

    verdicts = load(bundle_file).score(table.values, table.datetimes)
    plot_verdicts(picture, run.manifest, table, verdicts, trained_until=trained_until)
    say(
        f"4. See it: {picture}",
        f"   All about the run, for a browser: {run_directory / PAGE}",
        f"   The file for the gateway: {bundle_file}",
    )


def command(*arguments: str) -> None:
    """Run `anomalite` as a user would. Ends the demo if it fails."""
    say("", f"$ anomalite {shlex.join(arguments)}")
    status = anomalite(arguments)
    if status != 0:
        raise SystemExit(status)
    say("")


def variant_reports(bundle: Bundle, table: Table, rest: npt.NDArray[np.bool_]) -> dict[str, AlarmReport]:
    """What each sealed variant says of the rows `rest` (N,), on every engine that is installed."""
    reports = {}
    for variant in bundle.manifest.variants:
        for engine in filter(is_installed, variant.engines):
            detector = load(bundle.source, engine=engine, variant=variant.name)
            verdicts = detector.score(table.values[rest], table.datetimes[rest])
            reports[f"{variant.name} on {engine}"] = _report(verdicts, table)
    return reports


def baseline_reports(run: Run, table: Table, rest: npt.NDArray[np.bool_]) -> dict[str, AlarmReport]:
    """What two detectors without a trained model say of the same rows (N,)."""
    zero = zero_detector(run.manifest, run.calibration_windows)
    t2 = HotellingT2(table.values[_rows(run, "fit", table)], table.values[_rows(run, "calibration", table)])
    return {
        "reference: reconstructs zero": _report(zero.score(table.values[rest], table.datetimes[rest]), table),
        "reference: Hotelling T2": _report(t2.score(table.values[rest], table.times[rest]), table),
    }


def _rows(run: Run, part: str, table: Table) -> npt.NDArray[np.bool_]:
    """Which rows (N,) of the table belong to a part of the training data."""
    record = run.record.parts[part]
    return (table.times >= to_microseconds(record.first)) & (table.times <= to_microseconds(record.last))


def _report(verdicts: Verdicts, table: Table) -> AlarmReport:
    return alarm_report(verdicts, from_microseconds(int(table.times[-1])), NORMAL_UNTIL)


def alarm_table(reports: dict[str, AlarmReport]) -> list[str]:
    """The reports in lines for people."""
    width = max(map(len, reports))
    lines = [f"{'detector':{width}}  alarm went up (UTC)  hours to failure  false alarms"]
    for name, report in reports.items():
        raised = f"{report.alarm_time:%Y-%m-%d %H:%M:%S}" if report.alarm_time else "never"
        hours = f"{report.lead_hours:.1f}" if report.lead_hours is not None else "-"
        lines.append(f"{name:{width}}  {raised:19}  {hours:>16}  {report.false_alarms:12}")
    return lines


def say(*lines: str) -> None:
    """Print lines at once, so that they stay in order with the progress display."""
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
