"""`anomalite evaluate` on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import handmade
import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.digest import sha256
from edge_runtime.manifest import PercentileThreshold
from edge_runtime.opening import load
from edge_runtime.readings import from_microseconds
from edge_runtime.tables import read_table
from training.evaluate import evaluate_verdicts

ROOT = Path(__file__).parents[2]
ROWS = 60


@pytest.fixture
def bundle(tmp_path):
    """For windows (4, 2), with a threshold that some of the readings below exceed."""
    m = handmade.manifest(4, 2, threshold=PercentileThreshold("percentile", 99.0, 1.0, 0.9))
    return handmade.sealed(tmp_path / "small.anomalite", m)


@pytest.fixture
def data(tmp_path):
    """Labelled readings, separated by semicolons, with a gap; ten of them are anomalous and larger."""
    values, times = handmade.stream(ROWS, 2)
    values[30:40] *= 3
    times[50:] += 3600 * handmade.SECOND
    lines = ["time;c0;c1;anomaly"]
    for row, (time, (a, b)) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        lines.append(f"{time / 1e6};{a!r};{b!r};{'true' if 30 <= row < 40 else 'FALSE'}")
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(capsys, *arguments):
    """The status, what was printed, and what was said on standard error."""
    try:
        status = main(["evaluate", *map(str, arguments)])
    except SystemExit as done:
        status = done.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def refused(capsys, *arguments):
    """The one line that says why."""
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    return err


def test_json_is_the_evaluation_of_the_library(bundle, data, capsys):
    """The same figures as `evaluate_verdicts` on the detector's own verdicts."""
    status, out, err = run(capsys, bundle, data, "--json", "--engine", "numpy")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    table = read_table(data, "time", ("c0", "c1"), label="anomaly")
    verdicts = load(bundle, engine="numpy").score(table.values, table.datetimes)
    expected = evaluate_verdicts(verdicts, table.labels).to_json()
    head = {"bundle": str(bundle), "data": str(data), "variant": "numpy-float32", "engine": "numpy", "trained_on": 0}
    assert answer == {**head, **expected}
    assert answer["statuses"]["gap"] + answer["statuses"]["warming_up"] == 6
    assert answer["labelled"]["counts"]["true_positives"] > 0


def test_the_table_has_the_same_figures(bundle, data, capsys):
    """For people: every figure of the JSON, in words."""
    answer = json.loads(run(capsys, bundle, data, "--json", "--engine", "numpy")[1])
    status, out, _ = run(capsys, bundle, data, "--engine", "numpy")
    assert status == 0
    labelled, counts = answer["labelled"], answer["labelled"]["counts"]
    assert f"{answer['readings']}, 2023-11-14 22:13:20 to " in out
    assert f"{counts['true_positives']} of 10 anomalous readings" in out
    for name in ("precision", "recall", "f1", "false_alarm_rate", "missed_alarm_rate", "average_precision", "roc_auc"):
        assert re.search(rf"\b{labelled[name]:.3f}\b", out), name
    statuses = answer["statuses"]
    assert f"without a score: {statuses['warming_up']} warming_up, {statuses['gap']} gap" in out
    assert "0 anomalous (missed), 6 normal" in out
    assert f"{answer['false_alarms']['alarms']} alarm" in out
    event = labelled["events"][0]
    assert re.search(rf"2023-11-14 22:13:50  2023-11-14 22:13:59 +10 +10 +{event['score_delay_s']:g} s", out)


def test_without_labels_it_estimates_false_alarms(bundle, data, capsys):
    """And says on what assumption; nothing is printed of precision or events."""
    data.write_text(data.read_text().replace("anomaly", "note", 1))
    status, out, _ = run(capsys, bundle, data, "--ignore-extra")
    assert status == 0
    assert "if all normal" in out
    assert "if the machine was normal throughout" in out
    assert "precision" not in out
    assert "event" not in out


def test_a_run_to_failure(bundle, data, capsys):
    """Lead time to the failure, false alarms before `--normal-until`."""
    data.write_text(data.read_text().replace("anomaly", "note", 1))
    options = ["--ignore-extra", "--failure", "2023-11-14T22:13:59", "--normal-until", "2023-11-14T22:13:50"]
    status, out, _ = run(capsys, bundle, data, *options)
    assert status == 0
    assert "while the machine was known to be normal" in out
    assert "lead time" in out
    answer = json.loads(run(capsys, bundle, data, *options, "--json")[1])
    assert answer["normal_by"] == "normal_until"
    assert answer["false_alarms"]["readings"] == 27
    out = run(capsys, bundle, data, "--ignore-extra", "--failure", "2023-11-14T22:13:59")[1]
    assert "false alarms  are not known: nothing says until when the machine was normal (--normal-until)" in out
    assert set(answer["failure"]) == {"alarm_time", "lead_hours", "false_alarms"}


def test_bad_input(bundle, data, capsys, tmp_path):
    """One line each, status 2."""
    assert "labelled.csv: row 1: expected a column of labels 'fault'" in refused(
        capsys, bundle, data, "--label", "fault"
    )
    assert "--failure: expected a time such as" in refused(capsys, bundle, data, "--failure", "soon")
    assert "got both: the labels say it" in refused(capsys, bundle, data, "--normal-until", "2023-11-14T22:13:50")
    assert "expected failure after the first reading" in refused(capsys, bundle, data, "--failure", "2001-01-01")
    assert "none.csv: cannot be read" in refused(capsys, bundle, tmp_path / "none.csv")
    assert "none.anomalite: cannot be read" in refused(capsys, tmp_path / "none.anomalite", data)
    data.write_text(data.read_text().replace("true", "maybe", 1))
    assert "row 32, column 'anomaly': expected a label 0, 1, true or false, got 'maybe'" in refused(
        capsys, bundle, data
    )
    data.write_text("time,c0\n1,2\n")
    assert "expected a channel 'c1', got the columns time, c0" in refused(capsys, bundle, data)


def test_help_has_an_example(capsys):
    """--help shows how to call it."""
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert "examples: anomalite evaluate pump.anomalite labelled.csv" in out


def test_it_needs_numpy_and_an_engine_only(bundle, data):
    """So it runs on the device: nothing of the extra `train` is imported."""
    code = (
        "import sys\nfrom edge_runtime.cli import main\n"
        f"assert main(['evaluate', {str(bundle)!r}, {str(data)!r}, '--engine', 'numpy']) == 0\n"
        "print(sorted(name for name in ('tensorflow', 'keras', 'pandas', 'matplotlib', 'jinja2', 'sklearn', 'scipy', 'rich') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_the_bundle_was_trained_on_is_left_out(data, tmp_path, capsys):
    """And said, in both forms."""
    m = handmade.manifest(4, 2)
    times = handmade.stream(ROWS, 2)[1]
    provenance = replace(
        m.provenance,
        data_sha256={"x.csv": sha256(data.read_bytes())},
        trained_to=from_microseconds(int(times[19])).isoformat(),
    )
    bundle = handmade.sealed(tmp_path / "own.anomalite", replace(m, provenance=provenance))
    assert "20 up to the end of training" in run(capsys, bundle, data)[1]
    answer = json.loads(run(capsys, bundle, data, "--json")[1])
    assert (answer["trained_on"], answer["readings"]) == (20, ROWS - 20)
    assert np.isfinite(answer["score_quantiles"]["50"])
