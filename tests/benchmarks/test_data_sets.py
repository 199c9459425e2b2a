"""The loaders and measures of the data sets, on small made-up files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import asd, budget, femto, hydraulic, ims, skab
from benchmarks.detection.baselines import BASELINES, verdicts
from benchmarks.detection.command import DATA, main
from benchmarks.detection.series import Series, find_data
from edge_runtime.errors import InputError
from edge_runtime.readings import ACTIVE, RAISED, SCORED, WARMING_UP, Verdicts


def said(series: Series, anomalous: np.ndarray, channels: tuple[str, ...] | None = None) -> Verdicts:
    """Verdicts with the given decisions (N,)."""
    found = Verdicts(len(anomalous), channels or series.channels, one_machine=True)
    found.times[:] = series.times.view("datetime64[us]")
    found.scores[:] = anomalous
    found.thresholds[:] = 0.5
    found.status_codes[:] = SCORED
    found.contributions[:] = 0
    return found


def test_skab_counts_are_pooled_over_the_test_rows_and_an_unscored_row_is_not_anomalous(data: Path) -> None:
    """Half of the fault found and ten false rows; then a fault that could not be scored."""
    (series,) = skab.load(data)
    assert (series.name, series.channels, series.train) == ("valve9/1", ("flow", "pressure"), slice(0, 400))
    anomalous = np.zeros(500)
    anomalous[:400] = 1  # training rows do not count
    anomalous[465:490] = 1
    answers = said(series, anomalous)
    found = skab.measure([(series, answers)])
    assert found["f1"] == pytest.approx(15 / (15 + (10 + 15) / 2))
    assert (found["far"], found["mar"]) == (pytest.approx(10 / 70), 0.5)
    answers.status_codes[465:490] = WARMING_UP
    assert skab.measure([(series, answers)])["mar"] == 1


def test_asd_events_false_alarms_and_channels_at_fault(data: Path) -> None:
    """One event of two, one false alarm, and the right channels first; an input that is no channel is passed over."""
    (series,) = asd.load(data)
    assert (series.train, series.test) == (slice(0, 400), slice(400, 600))
    anomalous = np.zeros(600)
    anomalous[455:465] = anomalous[500:503] = 1
    answers = said(series, anomalous, ("m1", "m2", "m3", "time_of_day"))
    answers.contributions[:] = [0.1, 2.0, 1.0, 9.0]
    found = asd.measure([(series, answers)])
    assert (found["events"], found["events_found"], found["false_alarms"], found["hit_rate"]) == (1, 1, 1, 1)
    assert (found["precision"], found["recall"]) == (pytest.approx(10 / 13), 0.5)
    answers.contributions[:] = [5.0, 2.0, 1.0, 9.0]
    assert asd.measure([(series, answers)])["hit_rate"] == 0.5


def test_bearing_protocols() -> None:
    """Lead time is counted from the alarm that stays; an early alarm is one before half of the life."""
    times = np.arange(100) * 3_600_000_000 + ims.NORMAL_UNTIL - 20 * 3_600_000_000
    series = Series("x", ("a",), times, np.zeros((100, 1)), slice(0, 10), slice(10, 100))
    answers = said(series, np.zeros(100))
    answers.alarm_codes[15], answers.alarm_codes[40], answers.alarm_codes[41:] = RAISED, RAISED, ACTIVE
    assert ims.measure([(series, answers)]) == {"lead_h": 59, "false_alarms": 1}
    assert femto.measure([(series, answers)]) == {"bearings": 1, "alarmed": 1, "early_false": 1}
    answers.alarm_codes[15] = answers.alarm_codes[40] = 0
    answers.alarm_codes[41:] = 0
    answers.alarm_codes[80:] = ACTIVE
    assert femto.measure([(series, answers)]) == {"bearings": 1, "alarmed": 1, "early_false": 0}


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_baselines_use_the_past_alone(name: str, data: Path) -> None:
    """Changing the last rows changes no verdict before them; contributions add up to the score."""
    for module in (skab, asd):
        (series,) = module.load(data)
        before = verdicts(name, series, module.BASELINE, 1)
        changed = series.values.copy()
        changed[-20:] += 100
        after = verdicts(name, Series(**{**vars(series), "values": changed}), module.BASELINE, 1)
        assert np.array_equal(before.scores[:-20], after.scores[:-20], equal_nan=True)
        assert np.array_equal(before.anomalous[:-20], after.anomalous[:-20])
        scored = before.scored
        assert np.allclose(before.contributions[scored].sum(axis=1), before.scores[scored])


def test_every_data_set_says_what_its_measures_are_called(data: Path) -> None:
    """The columns of each table are what `measure` gives, in whatever files are there."""
    for module in DATA.values():
        for series in module.load(data)[:1]:
            found = module.measure([(series, verdicts("Hotelling T2", series, module.BASELINE, 1))])
            assert set(module.COLUMNS) <= set(found)
    assert ims.load(data) == femto.load(data) == hydraulic.load(data) == []


def test_without_data_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unset variable, no folder, no files."""
    monkeypatch.delenv("ANOMALITE_DATA", raising=False)
    assert main(["--only", "skab"]) == 2
    assert "set the environment variable ANOMALITE_DATA or use --data DIR" in capsys.readouterr().err
    with pytest.raises(InputError, match="expected a folder with the data sets"):
        find_data(str(tmp_path / "nowhere"))
    assert main(["--only", "skab", "--data", str(tmp_path)]) == 2
    assert "expected the files of skab, found none" in capsys.readouterr().err


def test_a_budget_is_judged_on_later_normal_readings(data: Path) -> None:
    """Two thirds are learned; the rest is normal, so every alarm is false, and a Poisson count of the promise is kept."""
    (series,) = budget.load(data)
    assert (series.train, series.test, len(series.times), series.labels) == (slice(0, 267), slice(267, 400), 400, None)
    answers = said(series, np.zeros(400))
    answers.alarm_codes[[10, 300, 350]] = RAISED
    found = budget.measure([(series, answers)])
    assert (found["alarms"], found["machines"]) == (2, 1)
    assert found["promised"] == pytest.approx(132 * 300 / 86_400 / 5)
    assert found["kept"] == 0
    assert [budget.most(mean) for mean in (0.01, 0.1, 2.0)] == [0, 1, 5]  # scipy.stats.poisson.ppf(0.95, mean)
