"""The report that training writes: every section is there, it refers to nothing outside, and its numbers are the run's."""

from __future__ import annotations

import re
import typing
from dataclasses import replace

import numpy as np
import pytest
from html_page import Page, assert_self_contained

from edge_runtime.errors import InputError, TableError
from edge_runtime.threshold_rules import ThresholdRule
from training import read_run, train
from training.calibrate import Calibration, reconstruct
from training.fault_recall import SIZES
from training.faults import FAULTS
from training.report_page import read_report
from training.report_sections import USUAL_RULES, mean_shares, rule_thresholds

SECTIONS = ["held-out", "scores", "contributions", "faults", "data", "training", "export", "card"]
EVALUATION = """\
[evaluation]
file = "labelled.csv"

[card]
purpose = "Says when the pump <leaks>."
data_licence = "ours"
contact = "the workshop"

[fit]
"""


@pytest.fixture(scope="module")
def report(trained):
    return read_report(trained)


@pytest.fixture(scope="module")
def judged(make_workshop, make_normal, tmp_path_factory):
    """A run whose configuration names labelled readings, and a channel with a hostile name."""
    shop = make_workshop(tmp_path_factory.mktemp("judged"))
    channels = ("<script>alert(1)</script>", "$x_{")
    shop.write_readings(channels=channels)
    values = make_normal(120)
    values[80:100] += 5
    path = shop.write_readings("labelled.csv", first_row=1_000, values=values, channels=channels)
    lines = path.read_text().splitlines()
    rows = (f"{line},{int(80 <= row < 100)}" for row, line in enumerate(lines[1:]))
    path.write_text("\n".join((f"{lines[0]},anomaly", *rows)) + "\n")
    shop.write_config(("[fit]\n", EVALUATION))
    return train(shop.config, shop.folder / "run")


def section(report, key):
    return next(each for each in report.sections if each.key == key)


def cells(each):
    return [row for table in each.tables for row in table.rows]


def test_every_section_is_there(report, trained):
    """In the page too, which refers to nothing outside."""
    assert [each.key for each in report.sections] == SECTIONS
    page = assert_self_contained((trained / "report.html").read_text())
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == SECTIONS
    assert sum(tag == "img" for tag, _ in page.elements) == 5


def test_the_numbers_are_the_run_s(report, trained):
    """Rows, windows, times, hashes, losses, threshold: as in the record and the manifest."""
    run = read_run(trained)
    record, m = run.record, run.manifest
    data = cells(section(report, "data"))
    for (name, part), row in zip(record.parts.items(), data, strict=False):
        assert row[0] == name.replace("_", " ")
        assert row[1:5] == (str(part.rows), str(part.windows), f"{part.first:%F %T}", f"{part.last:%F %T}")
    assert ("readings.csv", record.data_sha256["readings.csv"]) in data
    assert "0 of 240 rows of the files are not used." in section(report, "data").text[1]
    best = record.history[record.best_epoch - 1]
    assert (
        f"kept epoch {record.best_epoch}: held-out loss {best.held_out_loss:.6g}" in section(report, "training").text[0]
    )
    assert dict(report.summary)["threshold"].startswith(f"{m.threshold.value:.6g} ")
    card = dict(cells(section(report, "card"))[:9])
    assert card["versions"] == ", ".join(f"{name} {version}" for name, version in record.versions.items())
    assert card["configuration"] == record.config_path
    assert card["purpose"].startswith("not stated")


def test_thresholds_are_compared_on_the_calibration_scores(report, trained):
    """The rule in use gives the manifest's threshold; how many windows are above each is counted on the same scores."""
    run = read_run(trained)
    outputs = reconstruct(run.load_model(), run.calibration_windows)
    whitened = (outputs - run.calibration_windows).astype(np.float64) @ np.array(run.manifest.score.whitening)
    scores = (whitened**2).mean(axis=(1, 2))
    rows = {name: (value, above) for name, value, above in cells(section(report, "scores"))}
    in_use = next(name for name in rows if name.startswith("in use: "))
    assert float(rows[in_use][0]) == pytest.approx(run.manifest.threshold.value, rel=1e-5)
    calibration = Calibration(run.manifest.score, run.manifest.threshold, {}, (scores,), len(scores) * 60 / 86_400)
    compared = rule_thresholds(calibration, run.config.alarm)
    for name, value in compared.items():
        assert (name in rows) == (value is not None)
        if value is not None:
            assert float(rows[name][0]) == pytest.approx(value, rel=1e-4)
            assert rows[name][1] == f"{int((scores > value).sum())} of {len(scores)}"
    not_supported = " ".join(section(report, "scores").text)
    assert compared["budget (days 7, confidence 0.9)"] is None
    assert "Not supported by these scores: " in not_supported
    assert "budget (days 7, confidence 0.9)" in not_supported


def test_every_kind_of_rule_is_compared():
    """A new one without a place in the report fails here."""
    assert {type(rule) for rule in USUAL_RULES} == set(typing.get_args(ThresholdRule))


def test_faults_are_there_by_kind_and_size(report):
    """A row a kind, and one of no fault; large ones are found more often than small ones."""
    (table,) = section(report, "faults").tables
    assert [row[0] for row in table.rows] == [*(name.replace("_", " ") for name in FAULTS), "no fault"]
    assert all(len(row) == 1 + len(SIZES) for row in table.rows)
    shares = {row[0]: [float(cell.rstrip("%")) for cell in row[1:]] for row in table.rows}
    assert shares["level shift"][-1] > shares["level shift"][0]


def test_what_was_not_tested_is_said(report, judged):
    """No labelled readings, no claim."""
    assert any("Real faults" in row[0] for row in cells(section(report, "card")))
    assert not any("Real faults" in row[0] for row in cells(section(read_report(judged.path), "card")))


def test_labelled_readings_are_judged(judged):
    """Events, confusion matrix and curve come first; the figures are those of the library."""
    report = read_report(judged.path)
    assert [each.key for each in report.sections] == ["evaluation", *SECTIONS]
    evaluation = section(report, "evaluation")
    assert len(evaluation.pictures) == 2
    (anomalous, tp, fn), (normal, fp, tn) = evaluation.tables[0].rows
    assert (anomalous, normal) == ("labelled anomalous", "labelled normal")
    assert int(tp) + int(fn) == 20
    assert int(fp) + int(tn) == 100 - 3
    assert "3 normal ones, left out" in evaluation.tables[0].note
    figures = dict(evaluation.tables[1].rows)
    assert figures["recall"] == f"{int(tp) / 20:.3f}"
    assert figures["false-alarm rate (FAR)"] == f"{int(fp) / 97:.3f}"
    assert figures["event recall, by score"] == "1.000"
    assert dict(report.summary)["events found"] == "1 of 1"
    assert [row[2] for row in evaluation.tables[2].rows] == ["20"]
    assert "117 scored; without a score: 3 warming up." in evaluation.text[1]


def test_labels_change_nothing_that_is_learned(judged, make_workshop, tmp_path):
    """The same weights and threshold as without them."""
    shop = make_workshop(tmp_path / "plain")
    shop.write_readings(channels=("<script>alert(1)</script>", "$x_{"))
    plain = train(shop.config, shop.folder / "run")
    assert plain.manifest.threshold == judged.manifest.threshold
    assert plain.manifest.calibration == judged.manifest.calibration


def test_a_channel_s_name_is_text(judged):
    """And the model card says what the configuration says."""
    html = (judged.path / "report.html").read_text()
    page = assert_self_contained(html)
    assert "<script" not in html
    assert "<script>alert(1)</script>" in page.text
    assert "Says when the pump <leaks>." in page.text
    assert {"ours", "the workshop"} <= set(page.text)


def test_a_machine_that_is_off_at_times_and_inputs_that_are_derived(workshop, make_normal):
    """What has no score is counted by its reason; contributions and the first answer go by the inputs, the data by the channels."""
    values = make_normal(240)
    values[np.arange(240) % 80 < 20] = 0
    workshop.write_readings(values=values)
    sections = """\
[operating]
when = "flow > 5"
[[channels]]
name = "flow"
[[channels]]
name = "pressure"
unit = "bar"
is_input = false
[[derived]]
kind = "rolling_std"
channel = "pressure"
length = 3
[fit]
"""
    model = 'family = "dense_autoencoder"\nhidden = [6]\nlatent = 3'
    workshop.write_config((model, 'family = "linear_autoencoder"\nfolds = 3'), ("[fit]\n", sections))
    report = read_report(train(workshop.config, workshop.folder / "run").path)
    assert dict(report.summary)["first answer after"] == "6 readings, 0:06:00"
    assert "Without a score: 15 warming up, 60 off." in section(report, "held-out").text[1]
    assert {row[0] for row in cells(section(report, "contributions"))} == {"flow", "pressure.rolling_std_3"}
    assert ("pressure", "bar", "", "") in cells(section(report, "data"))


def test_a_run_of_one_part_has_nothing_held_out(workshop):
    """Nothing is divided, and what the model was fitted to is not called held out."""
    workshop.write_config(('family = "dense_autoencoder"\nhidden = [6]\nlatent = 3', 'family = "linear_autoencoder"'))
    report = read_report(train(workshop.config, workshop.folder / "run").path)
    data = section(report, "data")
    assert data.text[0].startswith("Not divided")
    assert cells(data)[0][:3] == ("all", "240", "237")
    assert "in 200 normal windows" in section(report, "faults").text[0]
    said = "".join(str(replace(section(report, key), pictures=())) for key in ("held-out", "contributions", "data"))
    captions = [picture.caption for picture in section(report, "held-out").pictures]
    assert "held-out" not in said.replace("key='held-out'", "") + "".join(captions)


def test_a_run_to_failure_without_labels(workshop):
    """The same file as was trained on: what was trained on does not count, and the lead time is said."""
    values = np.concatenate([np.random.default_rng(1).normal(10, 1, (240, 2)), np.full((20, 2), 30.0)])
    workshop.write_readings(values=values)
    addition = """\
[evaluation]
file = "readings.csv"
failure = 2024-01-01T04:19:00
normal_until = 2024-01-01T04:00:00

[fit]
"""
    workshop.write_config(('"time"\n', '"time"\nend = 2024-01-01T03:49:00\n'), ("[fit]\n", addition))
    report = read_report(train(workshop.config, workshop.folder / "run").path)
    assert dict(report.summary)["lead time to failure"] == "0.3 hours"
    text = " ".join(section(report, "evaluation").text)
    assert "the 230 readings up to the end of training do not count" in text
    assert "while the machine was known to be normal: 0 in 10 minutes" in text
    assert re.search(r"The alarm of 2024-01-01 04:00:00 stayed until the failure: 0\.32 hours ahead", text)
    assert section(report, "evaluation").tables == ()
    assert "30 of 260 rows of the files are not used. Used is what lies to 2024-01-01 03:49:00." in " ".join(
        section(report, "data").text
    )


@pytest.mark.parametrize(
    ("section", "content", "error", "message"),
    [
        ('file = "none.csv"', None, TableError, r"none\.csv: cannot be read"),
        ('file = "x.csv"', "time,flow\n1,2\n", TableError, "expected a channel 'pressure'"),
        ('file = "x.csv"\nlabel = "fault"', "time,flow,pressure\n1,2,3\n", TableError, "a column of labels 'fault'"),
        ('file = "x.csv"', "time,flow,pressure,anomaly\n1,2,3,4\n", TableError, "expected a label 0, 1, true or false"),
        ('file = "readings.csv"', None, TableError, "that the model was not trained on, got none"),
    ],
)
def test_bad_evaluation_data_is_found_before_training(workshop, section, content, error, message):
    """And nothing is written."""
    workshop.write_config(("[fit]\n", f"[evaluation]\n{section}\n\n[fit]\n"))
    if content is not None:
        (workshop.folder / "x.csv").write_text(content)
    with pytest.raises(error, match=message) as caught:
        train(workshop.config, workshop.folder / "run")
    assert isinstance(caught.value, InputError)
    assert not (workshop.folder / "run").exists()


def test_mean_shares_of_nothing_are_zero(judged):
    """No reading above the threshold, no division by zero."""
    from edge_runtime.readings import Verdicts

    verdicts = Verdicts(3, ("a", "b"), one_machine=True)
    assert mean_shares(verdicts, np.zeros(3, bool)).tolist() == [0, 0]
    verdicts.contributions[:] = [[1, 3], [0, 4], [2, 0]]
    assert mean_shares(verdicts, np.array([True, True, False])).tolist() == [1 / 8, 7 / 8]


def test_the_page_is_well_formed(trained, judged):
    """Every element is closed."""
    for folder in (trained, judged.path):
        assert Page((folder / "report.html").read_text()).open == []
