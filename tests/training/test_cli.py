"""`anomalite train` on the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.cli import main
from training import read_run

ROOT = Path(__file__).parents[2]
MODEL = 'family = "dense_autoencoder"\nhidden = [6]\nlatent = 3'
COMMAND = [sys.executable, "-m", "edge_runtime.cli", "train"]


def start(*arguments: object) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_trains_and_says_what_came_of_it(workshop, capsys):
    """The summary names model, windows, epochs, threshold and where the run is; progress goes to standard error."""
    out = workshop.folder / "run"
    assert main(["train", str(workshop.config), "--out", str(out)]) == 0
    run, printed = read_run(out), capsys.readouterr()
    assert f"dense_autoencoder, {run.record.parameters} parameters" in printed.out
    assert "fit             165 windows of 168 rows, 2024-01-01 00:00:00 to 2024-01-01 02:47:00" in printed.out
    assert "3 epochs in" in printed.out
    assert f"{run.manifest.threshold.value:.6g} = 95th percentile x 1.5" in printed.out
    assert f"report          {out}/report.html" in printed.out
    assert "training: epoch 3/3, loss" in printed.err


def test_a_linear_model_has_no_epochs_to_count(workshop, capsys):
    """It is computed, and the summary and the progress say so."""
    workshop.write_config((MODEL, 'family = "linear_autoencoder"\nvariance = 0.9'))
    assert main(["train", str(workshop.config), "--out", str(workshop.folder / "run")]) == 0
    printed = capsys.readouterr()
    assert re.search(r"^training +in closed form in \d+\.\d s \(held-out loss \d\.\d{4}\)$", printed.out, re.MULTILINE)
    assert "training: epoch 1/1, loss" in printed.err


def test_json_in_a_process_of_its_own(workshop):
    """--json prints one object on standard output; standard error has our own lines only, none of TensorFlow's."""
    out = workshop.folder / "run"
    process = start(workshop.config, "--out", out, "--json")
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 0, stderr
    summary = json.loads(stdout)
    run = read_run(out)
    assert summary["run"] == str(out)
    assert Path(summary["report"]).read_text().startswith("<!DOCTYPE html>")
    assert summary["windows"] == {"fit": 165, "early_stopping": 33, "calibration": 33}
    assert summary["threshold"] == run.manifest.threshold.value
    assert summary["epochs"] == 3
    foreign = [
        line for line in stderr.splitlines() if not re.match(r"windows of |starting TensorFlow|training: ", line)
    ]
    assert foreign == []


def test_interrupt_says_so_and_leaves_nothing(workshop):
    """A real Ctrl-C while training: one line, status 2, and the folder as it was."""
    workshop.write_config(("epochs = 3", "epochs = 100000\npatience = 100000"))
    before = sorted(workshop.folder.iterdir())
    process = start(workshop.config, "--out", workshop.folder / "run")
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith("training: epoch"))
    assert "/100000" in line
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert stdout == ""
    assert stderr.splitlines()[-1] == "anomalite: interrupted: no run was written"
    assert "Traceback" not in stderr
    assert sorted(workshop.folder.iterdir()) == before


FAULTS = {
    "missing configuration": (lambda shop: shop.config.unlink(), "train.toml: cannot be read: No such file"),
    "unknown key": (lambda shop: shop.write_config(("latent", "laten")), "unknown key 'laten', did you mean 'latent'?"),
    "missing data": (
        lambda shop: (shop.folder / "readings.csv").unlink(),
        "readings.csv: cannot be read: No such file",
    ),
    "empty data": (lambda shop: (shop.folder / "readings.csv").write_text(""), "readings.csv: .*got an empty file"),
    "text in a number column": (
        lambda shop: (shop.folder / "readings.csv").write_text("time,flow\n2024-01-01,fast\n"),
        "readings.csv: row 2, column 'flow': expected a number, got 'fast'",
    ),
    "too few rows": (
        lambda shop: (shop.folder / "readings.csv").write_text("time,flow\n2024-01-01,1\n2024-01-02,2\n2024-01-03,1\n"),
        "readings.csv: the fit part: expected at least 4 unbroken rows for one window, got 2 rows",
    ),
    "constant channel": (
        lambda shop: (shop.folder / "readings.csv").write_text(
            "time,flow\n" + "".join(f"2024-01-01T00:{minute:02},5\n" for minute in range(60))
        ),
        "channel 'flow': expected readings that vary, got 5 in all 42 rows",
    ),
}


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_one_line_and_status_2(workshop, capsys, damage, message):
    """Bad input gets one line on standard error, status 2, and leaves nothing behind."""
    damage(workshop)
    before = sorted(workshop.folder.iterdir())
    assert main(["train", str(workshop.config), "--out", str(workshop.folder / "run")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(message, printed.err)
    assert len(printed.err.splitlines()) == 1
    assert sorted(workshop.folder.iterdir()) == before


def test_help_has_an_example(capsys):
    """--help shows how to call it."""
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "example: anomalite train examples/ims_bearing/train.toml" in capsys.readouterr().out
