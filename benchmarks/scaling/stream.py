"""A stream of millions of readings through one detector: does it grow, does it slow down?

    python -m benchmarks.scaling.stream BUNDLE ENGINE READINGS

Memory is the process's resident set after every block of readings; its slope over the readings, after the first tenth, is least squares.

The machine's own speed drifts by more than what is looked for. So what counts is the process's CPU time, not the clock on the wall, and in the
first and in the last tenth every block takes turns with one of a twin: a fresh process that does the same work. Twins are started anew twenty times
in each, since no two processes are equally fast. The ratios in the two tenths are compared, and how
far the twins differ is the uncertainty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.instructions_update import NoEngine
from benchmarks.reference_bundle import reference_manifest
from benchmarks.scaling.fit import line
from edge_runtime import Reading, load
from edge_runtime.detector import Detector

NO_ENGINE = "none"
"""In place of an engine's name: one that does nothing."""
READINGS = 10_000_000
BLOCKS = 5_000
TENTH = BLOCKS // 10
TWINS = 20
"""In each of the two tenths."""
PAGE = os.sysconf("SC_PAGE_SIZE")

Take = Callable[[int], object]
"""Does what is to be done with the reading of a step, counted from 0."""
Block = Callable[[int], int]
"""Lets so many steps happen, and returns their CPU time in nanoseconds."""


def watch(block: Block, readings: int, twin: Callable[[], AbstractContextManager[Block]]) -> dict[str, Any]:
    """Let `block` take `readings` steps in `BLOCKS` pieces, and in the first and the last tenth a new `twin` as many in turn.

    Returns `bytes_a_reading` with its standard error, `last_to_first` with its standard error, and `us_first`, `us_last` (CPU time a
    reading, medians of blocks).
    """
    size = max(readings // BLOCKS, 1)
    # Written to once here: pages that are touched for the first time later would look like growth.
    ours, resident, ratios = (np.full(BLOCKS, -1.0) for _ in range(3))

    def run(first: int, last: int, other: Block | None = None) -> None:
        for index in range(first, last):
            ours[index] = block(size)
            resident[index] = resident_bytes()
            if other is not None:
                ratios[index] = ours[index] / other(size)

    def run_beside_twins(first: int) -> None:
        for part in range(TWINS):
            with twin() as other:
                run(first + part * TENTH // TWINS, first + (part + 1) * TENTH // TWINS, other)

    run_beside_twins(0)
    run(TENTH, BLOCKS - TENTH)
    run_beside_twins(BLOCKS - TENTH)
    slope, slope_error = line(size * np.arange(TENTH, BLOCKS), resident[TENTH:])
    (first, first_error), (last, last_error) = _typical(ratios[:TENTH]), _typical(ratios[-TENTH:])
    return {
        "readings": size * BLOCKS,
        "bytes_a_reading": slope,
        "bytes_a_reading_error": slope_error,
        "last_to_first": last / first,
        "last_to_first_error": float(last / first * np.hypot(last_error / last, first_error / first)),
        "us_first": float(np.median(ours[:TENTH])) / size / 1e3,
        "us_last": float(np.median(ours[-TENTH:])) / size / 1e3,
        "mb_first": float(np.median(resident[TENTH : 2 * TENTH])) / 1e6,
        "mb_last": float(np.median(resident[-TENTH:])) / 1e6,
    }


def stream(bundle: Path, engine: str, readings: int) -> dict[str, Any]:
    """`watch` with `Detector.update` of one machine; `engine` may be "none", which takes the bundle's place too."""
    detector = opened(bundle, engine)

    @contextmanager
    def twin() -> Iterator[Block]:
        command = [sys.executable, "-m", "benchmarks.scaling.stream", str(bundle), engine]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            asked, answers = process.stdin, process.stdout

            def block(size: int) -> int:
                print(size, file=asked, flush=True)
                return int(answers.readline())

            block(readings // BLOCKS + 1)
            yield block
            asked.close()

    result = watch(blocks_of(reading_taker(detector)), readings, twin)
    return {
        "engine": detector.engine_name or engine,
        "family": detector.manifest.family,
        "variant": detector.variant_name,
        **result,
    }


def be_a_twin(bundle: Path, engine: str) -> None:
    """Take as many readings as each line of standard input says, and print their CPU time in nanoseconds."""
    block = blocks_of(reading_taker(opened(bundle, engine)))
    for line_ in sys.stdin:
        print(block(int(line_)), flush=True)


def blocks_of(take: Take) -> Block:
    """`take`, step after step, a block at a time."""
    following = 0

    def block(size: int) -> int:
        nonlocal following
        begin = time.process_time_ns()
        for step in range(following, following + size):
            take(step)
        taken = time.process_time_ns() - begin
        following += size
        return taken

    return block


def reading_taker(detector: Detector) -> Take:
    """Gives the detector the reading of a step: noise, and now and then a value missing, a gap, or a burst that is out of the ordinary."""
    channels = len(detector.manifest.channels)
    usual = [tuple(row) for row in np.random.default_rng(1).normal(0.0, 0.5, (64, channels)).tolist()]
    missing, burst = (np.nan, *usual[0][1:]), (20.0,) * channels
    late = 0.0

    def take(step: int) -> object:
        nonlocal late
        row = usual[step % 64]
        if step % 997 == 0:
            row = missing
        elif step % 2003 < 6:
            row = burst
        elif step % 4999 == 0:
            late += 60.0
        return detector.update(Reading(1e9 + step + late, row))

    return take


def opened(bundle: Path, engine: str) -> Detector:
    """With that engine, or "none"."""
    return Detector(reference_manifest(), NoEngine(0.0)) if engine == NO_ENGINE else load(bundle, engine=engine)


def _typical(ratios: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The mean of the medians beside each twin, and its standard error."""
    parts = [float(np.median(part)) for part in np.array_split(ratios, TWINS)]
    return float(np.mean(parts)), float(np.std(parts, ddof=1) / np.sqrt(len(parts)))


def resident_bytes() -> int:
    """What the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    if len(sys.argv) > 3:
        print(json.dumps(stream(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
    else:
        be_a_twin(Path(sys.argv[1]), sys.argv[2])
