"""The command line in a process of its own: answers on standard output, one line for whatever is wrong, the right status."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime import cli
from edge_runtime.bundle import Bundle
from edge_runtime.engines import installed_engines
from edge_runtime.golden import read_golden
from edge_runtime.manifest import Channel, Derived, PercentileThreshold, Sampling, Scaling, Waveform
from edge_runtime.schema import encode

Main = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "edge_runtime.cli"]
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user's shell starts it: standard output to a pipe or a file is buffered, and UTF-8."""
    for name in ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


def run(*arguments: str | Path, stdin: str | bytes | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `anomalite` and wait for it."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=data,
        capture_output="stdout" not in options,
        check=False,
        timeout=60,
        **options,
    )
    decoded = [
        stream.decode(errors="surrogateescape") if stream is not None else "" for stream in (done.stdout, done.stderr)
    ]
    return subprocess.CompletedProcess(done.args, done.returncode, *decoded)


@pytest.fixture
def main(capsys: pytest.CaptureFixture[str]) -> Main:
    """Run `anomalite` in this process: ten times faster, and an exception that would be a traceback fails the test."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as done:  # argparse
            status = int(str(done.code))
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return call


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Status 2, one line on standard error that holds the parts, no traceback, nothing that looks like an answer."""
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("anomalite: ")
    for part in parts:
        assert part in done.stderr


def table(
    rows: int = 12, channels: Sequence[str] = ("flow", "pressure", "temperature"), level: float = 20.0
) -> list[str]:
    """Lines of CSV that the tiny bundle scores, one a minute."""
    rng = np.random.default_rng(1)
    typical = dict(zip(("flow", "pressure", "temperature"), (level, 5.0, 60.0), strict=True))
    lines = [",".join(["time", *channels])]
    for row in range(rows):
        numbers = [f"{typical.get(channel, 1.0) + 0.1 * rng.normal():.3f}" for channel in channels]
        lines.append(",".join([f"2026-02-01T00:{row:02}:00Z", *numbers]))
    return lines


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "readings.csv"
    path.write_text("\n".join(table()) + "\n")
    return path


def broken(place: int, line: str) -> list[str]:
    """The table with one line replaced (1 is the header)."""
    lines = table()
    lines[place - 1] = line
    return lines


BAD_TABLES: dict[str, tuple[list[str] | bytes, str]] = {
    "empty file": (b"", "expected a line of column names, got an empty file"),
    "header only": (table()[:1], "expected rows of readings, got none"),
    "missing channel": (table(channels=("flow", "pressure")), "row 1: expected a channel 'temperature'"),
    "extra channel": (table(channels=("flow", "pressure", "temperature", "noise")), "row 1: expected the channels flow, pressure, temperature, got one more: 'noise'"),
    "repeated channel": (table(channels=("flow", "pressure", "temperature", "flow")), "row 1: expected each column once, got 'flow' twice"),
    "no time column": ([line.replace("time,", "when,") for line in table()], "row 1: expected a time column 'time'"),
    "text in a number column": (broken(5, "2026-02-01T00:03:00Z,20,off,60"), "row 5, column 'pressure': expected a number, got 'off'"),
    "too few cells": (broken(7, "2026-02-01T00:05:00Z,20,5"), "row 7: expected 4 cells, got 3"),
    "too many cells": (broken(7, "2026-02-01T00:05:00Z,20,5,60,1"), "row 7: expected 4 cells, got 5"),
    "infinite value": (broken(4, "2026-02-01T00:02:00Z,20,inf,60"), "row 4, column 'pressure': expected a finite number, got 'inf'"),
    "time going backwards": (broken(9, "2026-02-01T00:01:00Z,20,5,60"), "row 9, column 'time': expected a time after 2026-02-01T00:06:00+00:00"),
    "repeated time": (broken(9, "2026-02-01T00:06:00Z,20,5,60"), "row 9, column 'time': expected a time after 2026-02-01T00:06:00+00:00, got the same time again"),
    "bad time": (broken(3, "yesterday,20,5,60"), "row 3, column 'time': expected a time such as"),
    "not UTF-8": ("\n".join(table()).replace("time", "Zeit ö", 1).encode("latin-1"), "expected UTF-8 text, got the byte 0xf6"),
    "too few rows for one window": (table(7), "expected at least 8 rows for one window, got 7"),
    "all readings missing": ([table()[0], *(f"2026-02-01T00:{row:02}:00Z,,," for row in range(12))], "expected readings for any channel, got none: all 12 rows"),
    "a channel all missing": ([table()[0], *(f"2026-02-01T00:{row:02}:00Z,20,5,nan" for row in range(12))], "expected readings for temperature, got none"),
    "broken JSON": ([json.dumps({"time": 0, "flow": 20, "pressure": 5, "temperature": 60}), "{"], "row 2: expected a JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(main: Main, data: Path, case: str) -> None:
    """Each bad table of readings: file, place, expected and got on one line."""
    content, message = BAD_TABLES[case]
    data.write_bytes(content if isinstance(content, bytes) else "\n".join(content).encode())
    done = main("score", handmade.TINY, data, "--engine", "numpy")
    assert_refused(done, str(data), message)
    assert done.stdout == ""


def flipped() -> bytes:
    changed = bytearray(handmade.TINY.read_bytes())
    changed[20_000] ^= 1
    return bytes(changed)


BAD_BUNDLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "an empty file"),
    "a table": (lambda: b"time,a\n0,1\n", "expected an anomalite bundle"),
    "cut off": (lambda: handmade.TINY.read_bytes()[:-1], "cut off"),
    "altered": (flipped, "the file was altered"),
    "newer": (
        lambda: handmade.pack(handmade.rewrite(handmade.members_of(handmade.TINY), format=2).items()),
        "manifest.json: expected format 1, got 2 - at $.format; install a newer anomalite",
    ),
    "escaping member": (lambda: handmade.pack([("../x", b""), *handmade.members_of(handmade.TINY).items()]), "expected members with plain names, got '../x'"),
    "unexpected member": (lambda: handmade.pack([*handmade.members_of(handmade.TINY).items(), ("x", b"")]), "expected only members the manifest names, got 'x'"),
    "another shape": (
        lambda: handmade.pack(handmade.rewrite(handmade.members_of(handmade.TINY), window={"length": 9}).items()),
        "expected a model of windows (batch, 9, 3) as in the manifest, got",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_BUNDLES)
@pytest.mark.parametrize("command", ["score", "verify"])
def test_bad_bundles(main: Main, tmp_path: Path, data: Path, command: str, case: str) -> None:
    """Each bad bundle: file, place, expected and got on one line."""
    make, message = BAD_BUNDLES[case]
    bundle = tmp_path / "pump.anomalite"
    bundle.write_bytes(make())
    done = main(command, bundle, *([data] if command == "score" else []))
    assert_refused(done, str(bundle), message)
    assert done.stdout == "" or (command == "verify" and "FAILED" in done.stdout)


def test_missing_files(main: Main, tmp_path: Path, data: Path) -> None:
    """A bundle, a table, a folder where a file belongs."""
    for arguments in (["score", "none.anomalite", data], ["inspect", "none.anomalite"], ["verify", "none.anomalite"]):
        assert_refused(main(*arguments), "none.anomalite: cannot be read: No such file or directory")
    assert_refused(
        main("score", handmade.TINY, "none.csv", "--engine", "numpy"),
        "none.csv: cannot be read: No such file or directory",
    )
    assert_refused(main("inspect", tmp_path), "cannot be read: Is a directory")


def test_wrong_use(main: Main, data: Path) -> None:
    """An unknown command, engine or variant names the known ones; wrong arguments get a usage line. Always status 2."""
    assert_refused(
        main("scroe"),
        "unknown command 'scroe', known: train, export, score, evaluate, serve, replay, bench, inspect, verify",
    )
    assert_refused(
        main("score", handmade.TINY, data, "--engine", "tensorrt"),
        "unknown engine 'tensorrt', known: auto, onnx, litert, tflite, numpy",
    )
    assert_refused(
        main("score", handmade.TINY, data, "--variant", "best"), "expected one of the variants", "got 'best'"
    )
    for arguments in (["score"], ["score", handmade.TINY], ["inspect"], ["verify", handmade.TINY, "--fast"]):
        done = main(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: anomalite ")
        assert "Traceback" not in done.stderr


@pytest.mark.heavy
def test_bare_command_and_help() -> None:
    """Both list the commands; only one of them was asked for."""
    bare, helped = run(), run("--help")
    assert (bare.returncode, helped.returncode) == (2, 0)
    assert bare.stdout == helped.stdout
    assert bare.stderr == helped.stderr == ""
    for command in cli.COMMANDS:
        assert f"  {command} " in bare.stdout


@pytest.mark.parametrize("command", ["score", "inspect", "verify"])
def test_help_of_each_command_has_an_example(main: Main, command: str) -> None:
    """One that names the command."""
    done = main(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "example" in done.stdout
    assert f"anomalite {command} pump.anomalite" in done.stdout


def test_version() -> None:
    """Of the installed distribution."""
    try:
        expected = version("anomalite")
    except PackageNotFoundError:
        pytest.skip("runs from a checkout that is not installed")
    assert run("--version").stdout == f"anomalite {expected}\n"


def test_score_writes_a_table(main: Main, data: Path) -> None:
    """One row a reading, then what it comes to; nothing on standard error."""
    done = main("score", handmade.TINY, data)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["time", "(UTC)", "status", "score", "threshold", "anomalous", "alarm", "mostly"]
    assert len(lines) == 1 + 12 + 4 + sum(line.startswith("  ") for line in lines)
    assert lines[1].startswith("2026-02-01 00:00:00  warming_up")
    assert lines[8].startswith("2026-02-01 00:07:00  scored")
    assert "12 readings: 5 scored, 7 warming_up" in lines
    assert any(re.match(r"threshold 0\.19\d+ = 99th percentile x .*; false alarms: not known", line) for line in lines)


def test_score_writes_json(main: Main, data: Path) -> None:
    """One object a reading, its fields and their order as documented, equal for every installed engine within its tolerance."""
    answers = {}
    for engine in installed_engines():
        done = main("score", handmade.TINY, data, "--json", "--engine", engine)
        assert (done.returncode, done.stderr) == (0, "")
        verdicts = answers[engine] = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(verdicts) == 12
        for row, verdict in enumerate(verdicts):
            assert list(verdict) == [
                "time",
                "machine",
                "status",
                "score",
                "threshold",
                "anomalous",
                "alarm",
                "contributions",
                "fault_channels",
            ]
            assert verdict["time"] == f"2026-02-01T00:{row:02}:00+00:00"
            assert verdict["machine"] is None
            if row < 7:
                assert [verdict[key] for key in ("status", "score", "anomalous", "alarm", "contributions")] == [
                    "warming_up",
                    None,
                    None,
                    "quiet",
                    None,
                ]
            else:
                assert verdict["status"] == "scored"
                assert verdict["anomalous"] is (verdict["score"] > verdict["threshold"])
                assert list(verdict["contributions"]) == ["flow", "pressure", "temperature"]
                assert sum(verdict["contributions"].values()) == pytest.approx(verdict["score"])
        assert [verdict["score"] for verdict in verdicts[7:]] == pytest.approx(
            [verdict["score"] for verdict in answers["numpy" if "numpy" in answers else engine][7:]], rel=1e-4
        )


def test_score_takes_a_variant(main: Main, data: Path) -> None:
    """The named one, and no engine that does not run it."""
    assert main("score", handmade.TINY, data, "--variant", "numpy-float32").returncode == 0
    assert_refused(
        main("score", handmade.TINY, data, "--variant", "onnx-float32", "--engine", "numpy"),
        "expected a variant for numpy, got onnx-float32 (for onnx)",
    )


def test_fail_on_anomaly(main: Main, tmp_path: Path, data: Path) -> None:
    """Status 1 if anything is anomalous, and only if asked; the alarm is listed."""
    calm = handmade.manifest(8, 3, channels=Bundle.read(handmade.TINY).manifest.channels)
    calm = replace(calm, sampling=Sampling(60.0, 60.0), threshold=PercentileThreshold("percentile", 99.0, 1.0, 1e6))
    data.write_text("\n".join(table(30, level=35.0)))
    done = main("score", handmade.sealed(tmp_path / "calm.anomalite", calm), data, "--fail-on-anomaly")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 anomalous, 0 alarms" in done.stdout
    arguments = ["score", handmade.TINY, data, "--engine", "numpy"]
    for form in ([], ["--json"]):
        assert main(*arguments, *form).returncode == 0
        done = main(*arguments, "--fail-on-anomaly", *form)
        assert (done.returncode, done.stderr) == (1, "")
    assert "Z alarm raised: score " in main(*arguments).stdout


@pytest.mark.heavy
def test_extra_columns_can_be_ignored(data: Path) -> None:
    """With `--ignore-extra`, from a file and from a stream."""
    lines = "\n".join(table(channels=("flow", "noise", "pressure", "temperature"))) + "\n"
    data.write_text(lines)
    assert_refused(run("score", handmade.TINY, data), "got one more: 'noise'")
    assert run("score", handmade.TINY, data, "--ignore-extra").returncode == 0
    assert run("score", handmade.TINY, "-", "--ignore-extra", stdin=lines).returncode == 0


@pytest.mark.heavy
def test_a_stream_gives_the_table_s_answers(data: Path) -> None:
    """`-` reads standard input; CSV, JSON lines and a byte order mark alike; the same verdicts as for the file."""
    lines = table()
    names = lines[0].split(",")
    objects = [json.dumps(dict(zip(names, line.split(","), strict=True))) for line in lines[1:]]
    arguments = ["--json", "--engine", "numpy"]
    expected = [json.loads(line) for line in run("score", handmade.TINY, data, *arguments).stdout.splitlines()]
    for text in ("\n".join(lines), "\ufeff" + "\r\n".join(lines) + "\r\n", "\n".join(objects)):
        done = run("score", handmade.TINY, "-", *arguments, stdin=text)
        assert (done.returncode, done.stderr) == (0, "")
        got = [json.loads(line) for line in done.stdout.splitlines()]
        for one, other in zip(got, expected, strict=True):
            assert {**one, "score": 0, "contributions": 0} == {**other, "score": 0, "contributions": 0}
            assert one["score"] == (None if other["score"] is None else pytest.approx(other["score"], rel=1e-6))
    done = run("score", handmade.TINY, "-", "--engine", "numpy", stdin="\n".join(lines))
    assert "12 readings: 5 scored, 7 warming_up" in done.stdout


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "JSON"])
def test_a_stream_is_answered_as_it_goes(form: list[str]) -> None:
    """Each reading's answer can be read before the next reading is sent."""
    lines = table()
    process = subprocess.Popen(
        [*COMMAND, "score", str(handmade.TINY), "-", "--engine", "numpy", *form],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    impatience = threading.Timer(30, process.kill)  # an answer that never comes is a failure, not a test that hangs
    impatience.start()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines[0] + "\n")
        for number, line in enumerate(lines[1:]):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            if number == 0 and not form:
                assert process.stdout.readline().startswith("time (UTC)")
            answer = process.stdout.readline()
            assert f"00:{number:02}:00" in answer
            assert ("scored" in answer) == (number >= 7)
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    impatience.cancel()


@pytest.mark.heavy
def test_bad_streams() -> None:
    """What came before a bad row is answered; the row is named as for a file. A bad byte is a bad cell."""
    arguments = ["score", handmade.TINY, "-", "--engine", "numpy", "--json"]
    done = run(*arguments, stdin="\n".join(broken(10, "2026-02-01T00:08:00Z,20,off,60")))
    assert_refused(done, "standard input: row 10, column 'pressure': expected a number, got 'off'")
    assert len(done.stdout.splitlines()) == 8
    done = run(
        *arguments, stdin="\n".join(broken(3, "2026-02-01T00:01:00Z,20,5,60")).encode().replace(b"20,5", b"20,\xff")
    )
    assert_refused(done, "standard input: row 3, column 'pressure': expected a number, got ")
    assert_refused(run(*arguments, stdin=""), "standard input: expected a line of column names, got an empty file")
    assert_refused(
        run("score", handmade.TINY, "-", "--plot", "x.png", stdin=""), "--plot needs a file of readings, not a stream"
    )


@pytest.mark.heavy
def test_standard_input_that_cannot_be_read(tmp_path: Path) -> None:
    """Closed, or open for writing only."""
    with (tmp_path / "x").open("w") as file:
        done = subprocess.run(
            [*COMMAND, "score", str(handmade.TINY), "-"],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert_refused(done, "standard input: cannot be read: ")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "score", str(handmade.TINY), "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert_refused(done, "standard input: cannot be read: it is closed")


@pytest.mark.heavy
@full
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["score", "--help"],
        ["inspect", str(handmade.TINY)],
        ["verify", str(handmade.TINY)],
        ["score", str(handmade.TINY), "-"],
        ["score", str(handmade.TINY), "-", "--json"],
    ],
    ids=str,
)
def test_a_full_disk(arguments: list[str]) -> None:
    """Output that cannot be written is said on one line."""
    with Path("/dev/full").open("w") as device:
        done = run(*arguments, stdin="\n".join(table()), stdout=device, stderr=subprocess.PIPE)
    assert_refused(done, "standard output: cannot be written: No space left on device")


@pytest.mark.heavy
def test_a_reader_that_has_seen_enough(data: Path) -> None:
    """`| head -1` ends it quietly, however much is left to write."""
    lines = [f"{1_770_000_000 + 60 * row},20.0,5.0,60.0" for row in range(5000)]
    data.write_text("\n".join([table()[0], *lines]))
    for name in (str(data), "-"):
        command = f'"$@" < "{data}" | head -1'
        done = subprocess.run(
            [
                "bash",
                "-o",
                "pipefail",
                "-c",
                command,
                "sh",
                *COMMAND,
                "score",
                str(handmade.TINY),
                name,
                "--engine",
                "numpy",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.heavy
def test_standard_output_that_is_closed() -> None:
    """Nobody reads it: the work is done, the status tells."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "verify", str(handmade.TINY)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.heavy
def test_a_terminal_without_the_signs(tmp_path: Path) -> None:
    """Units such as °C and names of files in any bytes are written as far as the terminal can."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("inspect", handmade.TINY, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "temperature (\\xb0C)" in done.stdout
    odd = os.fsencode(tmp_path) + b"/\xff.anomalite"
    Path(os.fsdecode(odd)).write_bytes(handmade.TINY.read_bytes())
    done = run("verify", os.fsdecode(odd))
    assert (done.returncode, done.stderr) == (0, "")


def test_inspect(main: Main, tmp_path: Path) -> None:
    """What the bundle holds, for people and as the whole manifest in JSON."""
    done = main("inspect", handmade.TINY)
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "tiny",
        "lstm_autoencoder",
        "8 readings",
        "flow (l/s)",
        "valid from 0 to 40",
        "tflite-int8",
        "seed 7",
        "readings.csv",
    ):
        assert part in done.stdout
    done = main("inspect", handmade.TINY, "--json")
    manifest = json.loads(done.stdout)
    assert manifest == json.loads(json.dumps(encode(Bundle.read(handmade.TINY).manifest)))
    assert len(done.stdout.splitlines()) == 1


@pytest.fixture
def of_waveform(tmp_path: Path) -> Path:
    """A bundle for snapshots, with a derived input and a channel that is none."""
    waveform = Waveform(1000.0, 16, {"b1": "g"}, features=("rms", "kurtosis"))
    channels = (Channel("rms_b1", "g", 0.0, 50.0), Channel("kurtosis_b1", "1", is_input=False))
    derived = (Derived("rolling_std", "rms_b1", 3), Derived("time_of_day"))
    scaling = Scaling("robust", (1.0, 0.1, 0.0, 0.0), (0.2, 0.1, 1.0, 1.0), 10.0)
    m = handmade.manifest(4, 2, channels=channels, derived=derived, scaling=scaling, waveform=waveform)
    return handmade.sealed(tmp_path / "wave.anomalite", m)


def test_inspect_says_what_is_derived(main: Main, of_waveform: Path) -> None:
    """Waveform, clip, derived inputs, and which channel the model is not given."""
    done = main("inspect", of_waveform)
    for part in (
        "snapshots of 16 samples at 1000 Hz of b1, hann window",
        "robust, clipped at 10",
        "kurtosis_b1 (1), not given to the model",
        "rms_b1.rolling_std_3",
        "time_of_day.cos",
    ):
        assert part in done.stdout


def test_score_takes_snapshots(main: Main, of_waveform: Path, tmp_path: Path) -> None:
    """A verdict each, with contributions by the inputs' names; a file that does not fit is refused by name."""
    samples = np.random.default_rng(1).normal(0, 1, (9, 16, 1))
    np.savez(tmp_path / "snapshots.npz", time=1.7e9 + np.arange(9), samples=samples)
    done = main("score", of_waveform, tmp_path / "snapshots.npz", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["status"] for each in verdicts] == ["warming_up"] * 5 + ["scored"] * 4
    names = ["rms_b1", "rms_b1.rolling_std_3", "time_of_day.sin", "time_of_day.cos"]
    assert list(verdicts[-1]["contributions"]) == names

    np.savez(tmp_path / "short.npz", time=1.7e9 + np.arange(9), samples=samples[:, :15])
    assert_refused(
        main("score", of_waveform, tmp_path / "short.npz"), "short.npz: snapshot 1: expected samples (16, 1)"
    )
    np.savez(tmp_path / "few.npz", time=1.7e9 + np.arange(5), samples=samples[:5])
    assert_refused(main("score", of_waveform, tmp_path / "few.npz"), "expected at least 6 rows for one window, got 5")
    assert_refused(
        main("score", handmade.TINY, tmp_path / "few.npz"), "few.npz: expected a table of readings, got snapsh"
    )


def test_verify(main: Main, tmp_path: Path) -> None:
    """Every variant on every installed engine; what is not installed is said."""
    done = main("verify", handmade.TINY)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{handmade.TINY}: digest and 6 members are right" in done.stdout
    done = main("verify", handmade.TINY, "--json")
    answer = json.loads(done.stdout)
    assert list(answer) == ["bundle", "results", "not_installed"]
    pairs = {(result["variant"], result["engine"]) for result in answer["results"]}
    assert pairs == {
        (variant.name, engine)
        for variant in Bundle.read(handmade.TINY).manifest.variants
        for engine in variant.engines
        if engine in installed_engines()
    }
    assert all(result["passed"] for result in answer["results"])
    assert set(answer["not_installed"]) == {"onnx", "litert", "tflite"} - set(installed_engines())


@pytest.mark.parametrize("how", ["zeroed", "shuffled"])
def test_verify_finds_damaged_weights(main: Main, tmp_path: Path, how: str) -> None:
    """Sealed with right hashes and digest: status 2, and the table says which variant fails; the others still pass."""
    members = handmade.members_of(handmade.TINY)
    with np.load(io.BytesIO(members["model.npz"])) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    rng = np.random.default_rng(1)
    for name in arrays:
        if name != "layers":
            flat = arrays[name].ravel()
            arrays[name] = (np.zeros_like(flat) if how == "zeroed" else rng.permutation(flat)).reshape(
                arrays[name].shape
            )
    bundle = tmp_path / "damaged.anomalite"
    bundle.write_bytes(handmade.pack(handmade.rewrite({**members, "model.npz": handmade.npz(**arrays)}).items()))
    done = main("verify", bundle)
    assert done.returncode == 2
    assert_refused(done, str(bundle), "do not use it here", "numpy-float32 on numpy")
    rows = {
        tuple(line.split()[:2]): line.split()[-1]
        for line in done.stdout.splitlines()
        if line.split()[-1:] in (["passed"], ["FAILED"])
    }
    assert {pair for pair, result in rows.items() if result == "FAILED"} == {("numpy-float32", "numpy")}
    answer = json.loads(main("verify", bundle, "--json").stdout)
    assert [result["variant"] for result in answer["results"] if not result["passed"]] == ["numpy-float32"]


def test_verify_with_nothing_to_verify(main: Main, tmp_path: Path) -> None:
    """No golden readings, or no engine for any variant: an error, never a pass."""
    bundle = handmade.sealed(tmp_path / "plain.anomalite", golden=False)
    assert_refused(main("verify", bundle), "plain.anomalite: expected golden readings to verify with, found none")
    members = handmade.members_of(handmade.TINY)
    only = [each for each in json.loads(members["manifest.json"])["variants"] if each["name"] == "numpy-float32"]
    only[0]["engines"] = ["tensorrt"]
    kept = {name: members[name] for name in ("manifest.json", "model.npz", "golden.npz")}
    bundle.write_bytes(handmade.pack(handmade.rewrite(kept, variants=only).items()))
    assert_refused(main("verify", bundle), "plain.anomalite: expected one of the engines tensorrt, none is installed")
    assert_refused(main("score", bundle, "x.csv"), "got numpy-float32 (for tensorrt)")


@pytest.mark.heavy
def test_the_command_is_main_in_a_process(main: Main, tmp_path: Path, data: Path) -> None:
    """The same answers, messages and statuses."""
    altered = tmp_path / "altered.anomalite"
    altered.write_bytes(flipped())
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(BAD_TABLES["text in a number column"][0]))
    score = ["score", handmade.TINY, data, "--engine", "numpy"]
    for arguments, status in (
        (score, 0),
        ([*score[:2], bad, "--engine", "numpy"], 2),
        (["score", altered, data], 2),
        (["verify", handmade.TINY], 0),
        (["scroe"], 2),
    ):
        real, called = run(*arguments), main(*arguments)
        assert (real.returncode, real.stdout, real.stderr) == (called.returncode, called.stdout, called.stderr)
        assert real.returncode == status


def test_main_returns_the_status(main: Main, data: Path) -> None:
    """The same function that the command calls."""
    assert main().returncode == 2
    assert main("score", handmade.TINY, data, "--engine", "numpy").returncode == 0
    assert main("inspect", handmade.TINY).stdout == run("inspect", handmade.TINY).stdout
    assert_refused(main("score", handmade.TINY, "none.csv"), "none.csv: cannot be read")


@pytest.mark.parametrize("engine", ["onnx", "litert", "tflite"])
def test_an_engine_that_is_not_installed(main: Main, monkeypatch: pytest.MonkeyPatch, data: Path, engine: str) -> None:
    """Asked for: which extra to install. Not asked for: the others do, and verify says what it could not check."""
    monkeypatch.setattr("edge_runtime.engines.find_spec", lambda package: None)
    monkeypatch.setattr("edge_runtime.engines.sys", SimpleNamespace(version_info=(3, 11)))
    assert_refused(main("score", handmade.TINY, data, "--engine", engine), f"pip install 'anomalite[{engine}]'")
    assert main("score", handmade.TINY, data).returncode == 0
    done = main("verify", handmade.TINY)
    assert done.returncode == 0
    assert "not installed, not checked: litert, onnx, tflite" in done.stdout


def test_ctrl_c(main: Main, monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """One line, status 2."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_runtime.commands.score.load", interrupt)
    assert_refused(main("score", handmade.TINY, data), "interrupted")


def test_a_message_of_several_lines_is_printed_on_one(main: Main, tmp_path: Path) -> None:
    """A name may hold anything."""
    assert_refused(main("inspect", tmp_path / "a\nb"), "a b: cannot be read")


def test_a_plot_without_matplotlib(main: Main, monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    """Says which extra to install, and writes nothing."""
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    done = main("score", handmade.TINY, data, "--plot", tmp_path / "x.png")
    assert_refused(done, "needs the package 'matplotlib', which is not installed: pip install 'anomalite[plot]'")
    assert done.stdout == ""
    assert not (tmp_path / "x.png").exists()


def test_a_plot_of_another_kind(main: Main, data: Path, tmp_path: Path) -> None:
    """Names the kinds it can be, before matplotlib is looked for."""
    for name in ("x.gif", "x", ".png"):
        assert_refused(
            main("score", handmade.TINY, data, "--plot", tmp_path / name),
            f"{name}: expected a picture ending in .png, .svg, .pdf",
        )


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib (extra: plot)")
def test_a_plot(main: Main, data: Path, tmp_path: Path) -> None:
    """Is written beside the table; a target that cannot be written is said, and nothing is left."""
    done = main("score", handmade.TINY, data, "--plot", tmp_path / "x.png", "--engine", "numpy")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "12 readings" in done.stdout
    done = main("score", handmade.TINY, data, "--plot", data / "x.png", "--engine", "numpy")
    assert_refused(done, f"{data / 'x.png'}: cannot be written: Not a directory")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["readings.csv", "x.png"]


def test_golden_readings_stream_to_the_golden_scores(tmp_path: Path) -> None:
    """The whole path: the readings in the bundle, through the command, give the scores in the bundle."""
    bundle = Bundle.read(handmade.TINY)
    golden = read_golden(bundle)
    lines = []
    for time, row in zip(golden.times.tolist(), golden.values.tolist(), strict=True):
        numbers = [
            None if np.isnan(number) else min(number, 1e300) for number in row
        ]  # JSON lines may not hold infinity
        lines.append(json.dumps({"time": time / 1e6, **dict(zip(bundle.manifest.channel_names, numbers, strict=True))}))
    done = run("score", handmade.TINY, "-", "--json", "--variant", "numpy-float32", stdin="\n".join(lines))
    got = [json.loads(line)["score"] for line in done.stdout.splitlines()]
    expected = [None if np.isnan(score) else pytest.approx(score, rel=1e-4) for score in golden.scores["numpy-float32"]]
    assert got == expected


def test_fail_on_anomaly_with_nothing_scored_is_no_success(main: Main, tmp_path: Path) -> None:
    """A script must not take silence for health: status 2 and one line."""
    path = tmp_path / "late.csv"
    names = ",".join(Bundle.read(handmade.TINY).manifest.channel_names)
    column = Bundle.read(handmade.TINY).manifest.time_column
    rows = [f"2024-01-01T{hour:02}:00:00,1,1,1" for hour in range(24)]  # each after a gap
    path.write_text("\n".join([f"{column},{names}", *rows]) + "\n")
    assert main("score", handmade.TINY, path).returncode == 0
    done = main("score", handmade.TINY, path, "--fail-on-anomaly")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected readings that can be scored, got none" in done.stderr


@pytest.mark.heavy
def test_evaluate_runs_where_the_workstation_s_packages_are_not_installed(small: Path, tmp_path: Path) -> None:
    """Judging a bundle needs numpy and an engine: it can be done on the device."""
    values, times = handmade.stream(20, 2)
    rows = zip(times.tolist(), values.tolist(), strict=True)
    lines = [f"{time / 1e6};{a!r};{b!r};{int(index > 15)}" for index, (time, (a, b)) in enumerate(rows)]
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(["time;c0;c1;anomaly", *lines]) + "\n")
    hidden = ("tensorflow", "keras", "pandas", "pyarrow", "matplotlib", "jinja2", "rich", "sklearn", "scipy")
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\nfrom edge_runtime.cli import main\n"
        f"sys.exit(main(['evaluate', {str(small)!r}, {str(path)!r}, '--json', '--engine', 'numpy']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["readings"], answer["statuses"]["warming_up"]) == (20, 3)
    assert answer["labelled"]["events"][0]["readings"] == 4
