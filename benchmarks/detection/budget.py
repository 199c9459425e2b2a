"""A false-alarm budget, held against normal readings that came later: the normal part of the ASD machines.

The first 20 of 30 normal days are learned, with a threshold for at most one false alarm in five days; every alarm raised in the ten
days after is a false one. `promised` is what the budget allows in those days. A machine keeps its budget if it raises no more than
the 95 % quantile of a Poisson distribution of that mean. The other detectors have no budget; their alarms show what is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.detection import asd
from benchmarks.detection.baselines import Settings
from benchmarks.detection.series import Series
from edge_runtime.readings import ACTIVE, RAISED, Verdicts

NAME, FOLDER = "budget", asd.FOLDER
PERIOD_S, LONGEST_GAP_S = asd.PERIOD_S, asd.LONGEST_GAP_S
DAYS = 5.0
SETTINGS = f"""{asd.SETTINGS}
[threshold]
kind = "budget"
days = {DAYS}
"""
"""Everything in the training configuration that is not a default, the same for every file."""
RESOLUTION = asd.RESOLUTION
BASELINE = Settings(window=5, variance=0.95)
FAMILIES = ("linear_autoencoder",)
"""The promise is the rule's, whatever the model; one family is enough to hold it against the readings."""
COLUMNS = ("machines", "days", "promised", "alarms", "kept")
PUBLISHED: tuple[tuple[str, dict[str, float]], ...] = ()
LEARNED = 2 / 3


def load(folder: Path) -> list[Series]:
    """The normal part of every machine in the folder."""
    normal = []
    for series in asd.load(folder):
        rows = series.train.stop
        border = round(LEARNED * rows)
        normal.append(
            replace(
                series,
                times=series.times[:rows],
                values=series.values[:rows],
                labels=None,
                train=slice(0, border),
                test=slice(border, rows),
            )
        )
    return normal


def measure(results: Sequence[tuple[Series, Verdicts]]) -> dict[str, float]:
    """False alarms in all, and how many machines kept to the budget."""
    days = promised = 0.0
    alarms = kept = 0
    for series, verdicts in results:
        codes = verdicts.alarm_codes[series.test]
        raised = int((codes == RAISED).sum()) + int(codes[0] == ACTIVE)  # one that was up already is one, too
        length = float(np.ptp(series.times[series.test])) / 86_400e6
        days, promised, alarms = days + length, promised + length / DAYS, alarms + raised
        kept += raised <= most(length / DAYS)
    return {"machines": len(results), "days": days, "promised": promised, "alarms": alarms, "kept": kept}


def most(mean: float, probability: float = 0.95) -> int:
    """The least count that a Poisson distribution of that mean does not exceed with this probability."""
    count, term = 0, math.exp(-mean)
    below = term
    while below < probability:
        count += 1
        term *= mean / count
        below += term
    return count
