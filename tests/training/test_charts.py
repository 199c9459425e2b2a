"""The pictures: they can be drawn of whatever there is, hold the names as text, and refer to nothing outside."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from edge_runtime.readings import ACTIVE, SCORED, WARMING_UP, Verdicts
from training.charts import (
    MOST_POINTS,
    _thinned,
    contribution_chart,
    fault_chart,
    loss_chart,
    precision_recall_chart,
    score_chart,
    timeline_chart,
)
from training.fault_recall import SIZES, FaultRecall
from training.fit import Epoch

NAMES = (
    "<script>",
    "$x_{",
    "_hidden",
    'flow & "return"',
    "温度",
    "a very long name of a channel that nobody should have",
)


def make_verdicts(rows, unscored=3):
    verdicts = Verdicts(rows, ("flow",), one_machine=True)
    verdicts.times[:] = np.datetime64("2024-01-01") + np.arange(rows) * np.timedelta64(1, "m")
    verdicts.status_codes[:] = SCORED
    verdicts.scores[:] = np.random.default_rng(1).exponential(1, rows)
    verdicts.scores[:unscored], verdicts.status_codes[:unscored] = np.nan, WARMING_UP
    verdicts.thresholds[:] = 2.0
    verdicts.alarm_codes[rows // 2 :] = ACTIVE
    return verdicts


def texts(svg):
    """What the picture says; it must be well-formed, and refer to nothing outside of itself."""
    root = ET.fromstring(svg)
    assert not re.search(r"<script|<image|url\((?!#)|href=\"(?!#)|<!DOCTYPE", svg)
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("text")]


def test_the_threshold_in_use_and_every_rule_are_drawn():
    """With their values; with any number of rules, and of a few or equal scores."""
    scores = np.random.default_rng(1).exponential(1, 200)
    rules = {f"rule {i}": 1.0 + i for i in range(12)}
    said = texts(score_chart(scores, ("evt", 7.25), rules))
    assert "in use, evt: 7.25" in said
    assert {f"{name}: {value:.4g}" for name, value in rules.items()} <= set(said)
    for few in (np.array([1.0]), np.zeros(30), np.full(30, 1e-9)):
        assert "in use, evt: 7.25" in texts(score_chart(few, ("evt", 7.25), {}))


@pytest.mark.parametrize("rows", [1, 2, 50, 3 * MOST_POINTS])
def test_timelines_of_any_length(rows):
    """Also of one reading, of none with a score, and of scores of zero."""
    verdicts = make_verdicts(rows, unscored=min(3, rows - 1))
    assert {"alarm", "no score", "score", "threshold"} <= set(texts(timeline_chart(verdicts)))
    assert "labelled anomalous" in texts(timeline_chart(verdicts, np.arange(rows) % 7 == 0))
    verdicts.scores[-1] = 0.0
    timeline_chart(verdicts)
    timeline_chart(make_verdicts(rows, unscored=rows))


@pytest.mark.parametrize("step_us", [1_000, 10**6, 7 * 10**7, 36 * 10**8, 864 * 10**8, 31 * 864 * 10**8])
@pytest.mark.parametrize("rows", [5, 100])
def test_timelines_of_any_span(rows, step_us):
    """From milliseconds to years: a warning of the drawing library would fail here."""
    verdicts = make_verdicts(rows)
    verdicts.times[:] = np.datetime64("2024-01-31T23:59:59.5", "us") + np.arange(rows) * np.timedelta64(step_us, "us")
    assert "time (UTC)" in texts(timeline_chart(verdicts))


def test_a_long_timeline_keeps_its_peaks():
    """The least and the greatest score of each piece are drawn."""
    scores = make_verdicts(50 * MOST_POINTS).scores
    scores[12_345], scores[54_321] = 1e6, -1e6
    rows = _thinned(scores)
    assert len(rows) <= 3 * MOST_POINTS
    assert {12_345, 54_321} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()


def test_names_are_shown_as_they_are():
    """No markup, no mathematics, no glyph that is missing here stops the picture; a long name is cut."""
    shares = {"normal": np.full(len(NAMES), 1 / len(NAMES)), "anomalous": np.arange(len(NAMES)) / 15}
    said = texts(contribution_chart(shares, NAMES))
    assert {"normal", "anomalous", *NAMES[:-1]} <= set(said)
    assert "a very long name of a chann…" in said
    contribution_chart({"normal": np.zeros(200)}, [f"c{i}" for i in range(200)])


def test_other_pictures():
    """Losses, precision against recall with and without a point, and faults by kind."""
    assert "epoch" in texts(loss_chart([Epoch(1.0, 1.0), Epoch(0.5, 0.7)]))
    verdicts = make_verdicts(50)
    labels = np.arange(50) < 10
    said = texts(precision_recall_chart(verdicts, labels, (0.5, 0.5)))
    assert "the frozen threshold" in said
    assert "the frozen threshold" not in texts(precision_recall_chart(verdicts, labels, None))
    recall = FaultRecall(10, 0.1, {"level_shift": (0.1,) * len(SIZES), "spike": (0.9,) * len(SIZES)})
    assert {"level shift", "spike", "no fault"} <= set(texts(fault_chart(recall)))


def test_drawing_changes_no_settings_and_repeats_itself():
    """A user's own pictures look as before; the same data give the same bytes."""
    before = dict(mpl.rcParams)
    assert timeline_chart(make_verdicts(20)) == timeline_chart(make_verdicts(20))
    assert dict(mpl.rcParams) == before
