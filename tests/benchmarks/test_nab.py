"""NAB's score, against figures worked out by hand from the paper's definition."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import nab
from edge_runtime.readings import RAISED, Verdicts

WEIGHTS = {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.11}


def sigmoid(position: float) -> float:
    """The paper's, written out."""
    return 2 / (1 + math.exp(5 * position)) - 1


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([], -1.0),  # a missed window costs 1
        ([10], 1.0),  # its first row gives the most
        ([19], sigmoid(-0.1) / sigmoid(-1)),  # its last row a tenth of a window before its end
        ([10, 15, 19], 1.0),  # the earliest one counts
        ([19, 15], sigmoid(-0.5) / sigmoid(-1)),  # whatever the order
        ([5], -1.0 - 0.11),  # before any window: the whole price
        ([28], -1.0 + 0.11 * sigmoid(9 / 9)),  # a window's length behind it: nearly the whole price
        ([60], -1.0 - 0.11),  # far behind
        ([10, 28, 5], 1.0 + 0.11 * sigmoid(1) - 0.11),
    ],
)
def test_raw_score_of_one_window(detections: list[int], expected: float) -> None:
    """One incident on rows 10 to 19."""
    assert nab.raw_score(np.array(detections), [(10, 19)], WEIGHTS) == pytest.approx(expected)


def test_saying_nothing_is_worth_0_and_hitting_every_window_at_once_100(data: Path) -> None:
    """And every alarm outside costs; what is raised in probation is not looked at."""
    (series,) = nab.load(data)
    assert (series.train, series.test.start) == (slice(0, 60), 60)  # 15 % of 400 rows
    assert series.truth["windows"] == [(295, 324)]

    def score(*raised: int) -> dict[str, float]:
        verdicts = Verdicts(400, ("value",), one_machine=True)
        verdicts.alarm_codes[list(raised)] = RAISED
        return nab.measure([(series, verdicts)])

    assert score() == {"nab": 0, "windows": 1, "found": 0, "false_alarms": 0}
    assert score(295)["nab"] == pytest.approx(100)
    assert score(10, 295)["nab"] == pytest.approx(100)
    assert score(100, 295) == {"nab": pytest.approx(100 - 11 / 2), "windows": 1, "found": 1, "false_alarms": 1}
