"""What the suites measure: detectors on the reference bundles, and readings to feed them.

asv would open a detector anew for every call if the suites had a `setup`; so it is opened in the call that wants it first,
while asv finds out how many calls make a sample.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.reference_bundle import FAMILIES, Reference, reference_bundle
from edge_runtime import Detector, Reading, load
from edge_runtime.engines import installed_engines

# asv takes PYTHONPATH away; what the suites start anew has to import this checkout too, not an installed one.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent.parent)

VERSION = hashlib.sha256(
    "".join(ast.dump(ast.parse(path.read_text())) for path in sorted(Path(__file__).parent.glob("*.py"))).encode()
).hexdigest()[:12]
"""Of all suites, by which asv tells whether two figures are of the same thing. By itself it would look at a benchmark's own lines only, not at
those here."""
FOLDER_VARIABLE = "ANOMALITE_HISTORY_BUNDLES"
"""Names the folder of the reference bundles."""
ENGINES = tuple(installed_engines())
LENGTHS = (8, 128)
CHANNELS = (1, 16)
BATCHES = (1, 16, 64)
MACHINES = 64
"""That `update_many` takes a reading of."""
READINGS = 256
"""In the table that `score` gets."""

STANDARD = Reference(variants=())
REFERENCES = (
    *(Reference(family=family, variants=()) for family in FAMILIES),
    *(Reference(length=length, variants=()) for length in LENGTHS),
    *(Reference(channels=channels, variants=()) for channels in CHANNELS),
)
"""All bundles the suites want, each with the variants an export makes by default."""


Call = Callable[[], object]


def bundle_of(reference: Reference) -> Path:
    """The reference bundle, which has to be there. Raises `RuntimeError`."""
    path = reference_bundle(Path(os.environ.get(FOLDER_VARIABLE, "runs/benchmarks")), reference)
    if "tensorflow" in sys.modules:
        raise RuntimeError(f"{path}: expected to find it, had to make it: nothing measured in this process counts")
    return path


def make_bundles(folder: Path) -> None:
    """Make those that are not there yet, in a process of their own."""
    subprocess.run([sys.executable, "-m", "benchmarks.history.subjects", str(folder)], check=True)


def update(engine: str, reference: Reference) -> Call:
    """One call of `Detector.update` with a window that is full."""
    detector = load(bundle_of(reference), engine=engine)
    rows = [tuple(row) for row in _rows(64, reference.channels).tolist()]
    now = 0

    def call() -> object:
        nonlocal now
        now += 1
        return detector.update(Reading(float(now), rows[now % 64]))

    for _ in range(2 * reference.length):
        call()
    return call


def update_many(engine: str, reference: Reference, machines: int = MACHINES, batch: int | None = None) -> Call:
    """One call of `Detector.update_many` with a reading of each machine, their windows full."""
    detector = load(bundle_of(reference), engine=engine, machines=machines, batch=batch)
    ids, rows = np.arange(machines), _rows(16 * machines, reference.channels).reshape(16, machines, -1)
    now = 0

    def call() -> object:
        nonlocal now
        now += 1
        return detector.update_many(ids, rows[now % 16], float(now))

    for _ in range(reference.length + 1):
        call()
    return call


def score(engine: str, reference: Reference, batch: int | None = None) -> Call:
    """One call of `Detector.score` with a table of `READINGS` readings."""
    detector: Detector = load(bundle_of(reference), engine=engine, batch=batch)
    rows, times = _rows(READINGS, reference.channels), np.arange(float(READINGS))
    return lambda: detector.score(rows, times)


def _rows(count: int, channels: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0.0, 0.5, (count, channels))


if __name__ == "__main__":
    for each in REFERENCES:
        reference_bundle(Path(sys.argv[1]), each)
