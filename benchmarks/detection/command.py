"""`python -m benchmarks detection`: every family on every data set that is there, beside what it has to beat."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.context import commit, machine
from benchmarks.detection import asd, budget, femto, hydraulic, ims, nab, skab
from benchmarks.detection.baselines import BASELINES
from benchmarks.detection.families import FAMILIES, is_seeded
from benchmarks.detection.jobs import Job, Result, run_jobs
from benchmarks.detection.ours import TRAINED, config_text
from benchmarks.detection.series import Series, find_data
from benchmarks.detection.table import Row, json_line, lines
from edge_runtime.errors import AnomaliteError, InputError

DATA: dict[str, ModuleType] = {module.NAME: module for module in (skab, asd, ims, femto, nab, hydraulic, budget)}
"""The data sets, by name."""
SHOWN = "onnx-float32"
"""The variant in the table's main row; the others follow where they differ."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        folder = find_data(options.data)
        for name in options.only or DATA:
            _measure(DATA[name], folder, options)
    except AnomaliteError as fault:
        print(f"benchmarks: {fault}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks detection",
        description=__doc__,
        epilog="example: ANOMALITE_DATA=data python -m benchmarks detection --only skab --seeds 5",
    )
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(DATA), help=f"of {', '.join(DATA)}")
    parser.add_argument("--data", metavar="DIR", help="the folder with the data sets (default: ANOMALITE_DATA)")
    parser.add_argument("--seeds", type=int, default=2, help="how often a family with random numbers is trained (2)")
    parser.add_argument("--family", metavar="NAME", action="append", choices=list(FAMILIES), help="default: all")
    parser.add_argument("--files", type=int, metavar="N", help="only the first N files of each data set")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    parser.add_argument("--cache", metavar="DIR", default="runs/detection", help="where results are kept")
    return parser


def _measure(data: ModuleType, folder: Path, options: argparse.Namespace) -> None:
    """Compute what is missing for one data set, and print its table and its line."""
    series = data.load(folder)[: options.files]
    if not series:
        raise InputError(f"{folder / data.FOLDER}: expected the files of {data.NAME}, found none")
    families = [name for name in options.family or FAMILIES if name in data.FAMILIES]
    jobs = _jobs(data, series, families, options.seeds)
    found: dict[tuple[str, int], dict[str, Result]] = {}
    started = time.monotonic()
    for done, (job, result, seconds) in enumerate(run_jobs(jobs, Path(options.cache), options.workers), 1):
        found.setdefault((job.method, job.seed), {})[job.series.name] = result
        took = f"{seconds:.0f} s" if seconds else "kept"
        passed = f"{time.monotonic() - started:.0f} s"
        where = f"{data.NAME} {job.series.name}"
        print(
            f"[{done}/{len(jobs)}, {passed}] {where}: {job.method} seed {job.seed}: {took}", file=sys.stderr, flush=True
        )
    rows = _rows(data, series, found)
    title = f"{data.NAME}: {len(series)} file{'s' if len(series) > 1 else ''}"
    for line in lines(title, data.COLUMNS, rows):
        print(line, flush=True)
    about = {"machine": machine(), "commit": commit()}
    print(json_line(data.NAME, len(series), data.COLUMNS, rows, about), flush=True)


def _jobs(data: ModuleType, series: Sequence[Series], families: Sequence[str], seeds: int) -> list[Job]:
    jobs = [Job(data.NAME, each, name, 1, None, settings=data.BASELINE) for name in BASELINES for each in series]
    for family in families:
        for seed in range(1, seeds + 1 if is_seeded(family) else 2):
            variants = None if seed == 1 else (SHOWN,)  # what conversion costs in accuracy does not need every seed
            for each in series:
                sampling = (data.PERIOD_S, data.LONGEST_GAP_S)
                config = config_text(each, sampling, data.SETTINGS, FAMILIES[family], seed, data.RESOLUTION)
                jobs.append(Job(data.NAME, each, family, seed, config, variants))
    return jobs


def _rows(data: ModuleType, series: Sequence[Series], found: dict[tuple[str, int], dict[str, Result]]) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for (method, seed), results in sorted(found.items(), key=lambda item: item[0][1]):
        variants = dict.fromkeys(variant for result in results.values() for variant in result.verdicts)
        failed = [f"{name}: {each.facts['fault']}" for name, each in results.items() if not each.verdicts]
        for variant in sorted(variants, key=lambda name: (name != SHOWN, name == TRAINED, name)):
            if variant == TRAINED and seed > 1:
                continue
            kind = "ours" if method in FAMILIES else "baseline"
            row = rows.setdefault((method, variant), Row(kind, method, variant))
            having = [each for each in series if variant in results[each.name].verdicts]
            row.seeds.append(data.measure([(each, results[each.name].verdicts[variant]) for each in having]))
            if variant not in ("", TRAINED, SHOWN):
                trained = data.measure([(each, results[each.name].verdicts[TRAINED]) for each in having])
                row.note = _change(row.seeds[-1], trained, len(having), len(series))
            elif failed:
                row.note = f"{len(failed)} of {len(series)} files failed, such as {failed[0]}"
    order = [*FAMILIES, *BASELINES]
    shown = sorted(rows.values(), key=lambda row: order.index(row.name))
    return [*shown, *(Row("published", name, seeds=[numbers]) for name, numbers in data.PUBLISHED)]


def _change(sealed: dict[str, float], trained: dict[str, float], files: int, of: int) -> str:
    """What conversion changed, over the files whose variant passed parity."""
    changes = ", ".join(f"{name} {sealed[name] - trained[name]:+.4f}" for name in ("f1", "ap") if name in sealed)
    where = f"in {files} of {of} files" if files < of else ""
    return "; ".join(filter(None, (where, f"less keras: {changes}" if changes else "")))
