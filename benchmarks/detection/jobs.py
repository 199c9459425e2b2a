"""What is to be computed, in worker processes, and kept: an interrupted run goes on where it stopped.

A result's name holds the data, the configuration and the source it came from, so that nothing stale is ever taken for new.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.baselines import Settings, verdicts
from benchmarks.detection.series import Series
from edge_runtime.errors import AnomaliteError
from edge_runtime.readings import Verdicts

REPOSITORY = Path(__file__).parents[2]
COLUMNS = ("times", "machines", "status_codes", "scores", "thresholds", "alarm_codes", "contributions")


@dataclass(frozen=True)
class Job:
    """One detector on one series."""

    data: str
    series: Series
    method: str
    """A family of ours, or a baseline."""
    seed: int
    config: str | None
    """The training configuration; None for a baseline."""
    variants: tuple[str, ...] | None = None
    """Those to export; None: all."""
    settings: Settings | None = None
    """A baseline's."""

    @property
    def key(self) -> str:
        """A name that changes with whatever could change the result."""
        digest = hashlib.sha256(_sources().encode())
        for part in (
            self.data,
            self.series.name,
            self.method,
            self.seed,
            self.config,
            self.variants,
            self.settings,
            self.series.train,
        ):
            digest.update(repr(part).encode())
        for array in (self.series.times, self.series.values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:24]


@dataclass(frozen=True)
class Result:
    """What came of a job: verdicts on every row of the series, by variant; none, and a `fault` among the facts, if it failed."""

    verdicts: dict[str, Verdicts]
    facts: dict[str, Any]


def run_jobs(jobs: Iterable[Job], cache: Path, workers: int) -> Iterator[tuple[Job, Result, float]]:
    """The results as they come, kept ones first, each with the seconds it took (0 for a kept one)."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = []
    for job in jobs:
        kept = cache / f"{job.key}.npz"
        if kept.exists():
            yield job, _read(kept), 0.0
        else:
            missing.append(job)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    # A worker is replaced now and then: TensorFlow keeps a little of every model it has built.
    with context.Pool(workers, initializer=_one_thread, maxtasksperchild=40) as pool:
        tasks = [(job, cache / f"{job.key}.npz") for job in missing]
        for job, seconds in pool.imap_unordered(_compute, tasks):
            yield job, _read(cache / f"{job.key}.npz"), seconds


def _one_thread() -> None:
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[variable] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _compute(task: tuple[Job, Path]) -> tuple[Job, float]:
    job, target = task
    started = time.perf_counter()
    if job.config is None:
        assert job.settings is not None
        result = Result({"": verdicts(job.method, job.series, job.settings, job.seed)}, {})
    else:
        from benchmarks.detection import ours
        from training.extra import import_keras, quiet_tensorflow

        with quiet_tensorflow():
            keras = import_keras()
        keras.backend.clear_session()
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = Result(*ours.verdicts(job.series, job.config, Path(folder), job.variants))
            except (
                AnomaliteError
            ) as fault:  # too few readings for this family, or no variant within its budget: that is a result
                result = Result({}, {"fault": str(fault).replace(f"{folder}/", "")})
    _write(target, result)
    return job, time.perf_counter() - started


def _write(path: Path, result: Result) -> None:
    arrays: dict[str, Any] = {"facts": np.array(json.dumps(result.facts))}
    for variant, answers in result.verdicts.items():
        arrays[f"{variant}|channels"] = np.array(answers.channels)
        for column in COLUMNS:
            numbers = getattr(answers, column)
            arrays[f"{variant}|{column}"] = numbers.astype(np.float32) if column == "contributions" else numbers
    partial = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez_compressed(partial, **arrays)
    partial.replace(path)


def _read(path: Path) -> Result:
    with np.load(path, allow_pickle=False) as arrays:
        variants = dict.fromkeys(name.split("|")[0] for name in arrays.files if "|" in name)
        found = {}
        for variant in variants:
            channels = tuple(arrays[f"{variant}|channels"].tolist())
            answers = Verdicts(len(arrays[f"{variant}|times"]), channels, one_machine=True)
            for column in COLUMNS:
                getattr(answers, column)[:] = arrays[f"{variant}|{column}"]
            found[variant] = answers
        return Result(found, json.loads(str(arrays["facts"])))


def _sources(found: list[str] = []) -> str:  # noqa: B006 - computed once a process
    """A digest of the code that results depend on."""
    if not found:
        digest = hashlib.sha256()
        packages = [
            path for name in ("edge_runtime", "training", "export") for path in (REPOSITORY / name).rglob("*.py")
        ]
        detectors = [Path(__file__).with_name(name) for name in ("ours.py", "baselines.py")]
        for path in sorted([*packages, *detectors]):
            digest.update(path.read_bytes())
        found.append(digest.hexdigest())
    return found[0]
