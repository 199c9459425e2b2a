"""`python -m benchmarks scaling`: how time and memory grow with T, C, hidden size, batch and machines, and whether a long stream stays as it is.

Times are CPU time, memory is what the process's peak is above numpy and the engine's package (for machines: above one machine).
Every size is measured in a fresh process, all of them in turn, several times; the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.arguments import at_least_one
from benchmarks.context import ONE_THREAD, commit, machine
from benchmarks.reference_bundle import Reference, reference_bundle
from benchmarks.scaling.fit import growth, line
from benchmarks.scaling.stream import NO_ENGINE, READINGS
from edge_runtime.engines import ENGINES, installed_engines

STREAM_FAMILY = "linear_autoencoder"
"""The quickest, so that ten million readings take minutes."""
STREAM_TARGETS = {"bytes_a_reading": 1.0, "change": 0.02}
KB_A_MACHINE = 4.0


@dataclass(frozen=True)
class Axis:
    """What grows, everything else as in the reference bundle: T=32, C=4, LSTM(32) autoencoder."""

    case: str
    """In `benchmarks.scaling.cases`."""
    sizes: tuple[int, ...]
    bundle_field: str | None = None
    """Of `Reference`, which the size is."""
    unit: str = "a reading"
    """What the time is of."""

    def reference(self, size: int) -> Reference:
        """The bundle of that size."""
        return Reference(variants=(), **({self.bundle_field: size} if self.bundle_field else {}))


AXES = {
    "T": Axis("window", (8, 16, 32, 64, 128, 256), "length"),
    "C": Axis("window", (1, 4, 16, 64), "channels"),
    "hidden": Axis("window", (8, 16, 32, 64, 128), "units"),
    "batch": Axis("batch", (1, 4, 16, 64, 256), unit="a window"),
    "machines": Axis("machines", (1, 10, 100, 1000, 10_000), unit="a machine"),
}
STREAM = "stream"


@dataclass
class Sweep:
    """One engine along one axis."""

    against: str
    engine: str
    runs: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By size."""

    def points(self, key: str) -> list[float]:
        """The medians of a figure, by size."""
        return [median(run[key] for run in runs) for runs in self.runs.values()]

    def result(self) -> dict[str, Any]:
        """For the line of JSON."""
        sizes, us, mb = list(self.runs), self.points("us"), self.points("mb")
        time, memory = growth(sizes, us), growth(sizes, mb) if min(mb) > 0 else None
        result: dict[str, Any] = {
            "against": self.against,
            "engine": self.engine,
            "points": [list(point) for point in zip(sizes, us, mb, strict=True)],
            "variants": [runs[0]["variant"] for runs in self.runs.values()],
            "exponent_time": time.exponent,
            "exponent_time_error": time.error,
            "exponents_time": [time.lowest, time.highest],
            "off_time": time.off,
            "exponent_memory": memory and memory.exponent,
            "exponent_memory_error": memory and memory.error,
            "off_memory": memory and memory.off,
            "time": str(time),
            "memory": str(memory or "nothing to measure at the smallest size"),
        }
        if self.against == "machines":
            kept = self.points("kept_mb")
            result["kb_a_machine"] = line(sizes, kept)[0] * 1000
            result["kb_a_machine_peak"] = line(sizes, mb)[0] * 1000
        return result


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    os.environ.update(ONE_THREAD)
    names = options.only or [*AXES, STREAM]
    cache = Path(options.cache)
    report: dict[str, Any] = {"benchmark": "scaling", "machine": machine(), "commit": commit(), "results": []}
    for name in names:
        if name == STREAM:
            continue
        sweeps = _sweep(name, options.engine or installed_engines(), cache, options.rounds)
        report["results"] += [sweep.result() for sweep in sweeps]
        print(_table(name, report["results"][-len(sweeps) :]), flush=True)
    if options.plot and report["results"]:
        from benchmarks.scaling.plot import draw

        draw(report["results"], options.plot)
        print(f"drawn: {options.plot}")
    if STREAM in names:
        report["stream"] = _stream(cache, options)
        print(_stream_row(report["stream"]), flush=True)
    print(json.dumps(report))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    names = [*AXES, STREAM]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help=f"of {', '.join(names)}")
    parser.add_argument(
        "--engine", metavar="NAME", action="append", choices=list(ENGINES), help="default: all installed"
    )
    parser.add_argument(
        "--rounds", type=at_least_one, default=3, metavar="N", help="how often each size is measured (3)"
    )
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw it (extra `plot`)")
    parser.add_argument(
        "--readings", type=at_least_one, default=READINGS, metavar="N", help=f"of the stream ({READINGS:,})"
    )
    parser.add_argument(
        "--stream-engine", metavar="NAME", default="auto", help=f"default: auto; {NO_ENGINE}: without any"
    )
    parser.add_argument("--stream-family", metavar="NAME", default=STREAM_FAMILY, help=f"default: {STREAM_FAMILY}")
    parser.add_argument("--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept")
    return parser


def _sweep(name: str, engines: Sequence[str], cache: Path, rounds: int) -> list[Sweep]:
    axis = AXES[name]
    sweeps = [Sweep(name, engine, {size: [] for size in axis.sizes}) for engine in engines]
    bundles = {size: reference_bundle(cache, axis.reference(size)).resolve() for size in axis.sizes}
    for _ in range(rounds):
        for size, bundle in bundles.items():
            for sweep in sweeps:
                sweep.runs[size].append(fresh("scaling.cases", axis.case, str(bundle), sweep.engine, str(size)))
    return sweeps


def _stream(cache: Path, options: argparse.Namespace) -> dict[str, Any]:
    bundle = reference_bundle(cache, Reference(family=options.stream_family, variants=())).resolve()
    return fresh("scaling.stream", str(bundle), options.stream_engine, str(options.readings))


def fresh(module: str, *arguments: str) -> dict[str, Any]:
    """What the module, run in a fresh process, prints. Raises `SystemExit` with what it said if it failed."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _table(name: str, results: list[dict[str, Any]]) -> str:
    axis = AXES[name]
    rows = [f"\n{name}: us {axis.unit}, MB", f"{'':8}" + "".join(f"{size:>16,}" for size in axis.sizes)]
    for result in results:
        cells = "".join(f"{us:9.1f} {mb:6.2f}" for _, us, mb in result["points"])
        rows += [
            f"{result['engine']:8}{cells}",
            f"{'':8}  time ~ {name}^{result['time']}",
            f"{'':8}  memory ~ {name}^{result['memory']}",
        ]
        if len(set(result["variants"])) > 1:
            rows.append(f"{'':8}  variants: {', '.join(result['variants'])}")
        if "kb_a_machine" in result:
            kb = result["kb_a_machine"]
            verdict = "met" if kb <= KB_A_MACHINE else "MISSED"
            rows.append(
                f"{'':8}  {kb:.2f} kB for one more machine (target {KB_A_MACHINE:g}: {verdict}), {result['kb_a_machine_peak']:.2f} with what a call needs"
            )
    return "\n".join(rows)


def _stream_row(result: dict[str, Any]) -> str:
    slope, change = result["bytes_a_reading"], result["last_to_first"] - 1
    most, widest = STREAM_TARGETS["bytes_a_reading"], STREAM_TARGETS["change"]
    return (
        f"\nstream: {result['readings']:,} readings, {result['family']}, {result['engine']}, {result['us_first']:.1f} us of CPU a reading\n"
        f"  memory {slope:+.4f} ± {result['bytes_a_reading_error']:.4f} bytes a reading (target below {most:g}: {'met' if slope < most else 'MISSED'}), "
        f"{result['mb_first']:.1f} MB in the second tenth, {result['mb_last']:.1f} in the last\n"
        f"  time of the last tenth against the first, each beside fresh twins: {change:+.2%} ± {result['last_to_first_error']:.2%} "
        f"(target within {widest:.0%}: {'met' if abs(change) <= widest else 'MISSED'})"
    )
