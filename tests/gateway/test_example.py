"""The example keeps what its README promises: what it says is done, with a real broker, and the alarm is seen in three places."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from broker import free_port, running
from demo_run import REPOSITORY, Demo

EXAMPLE = REPOSITORY / "examples" / "gateway"
COMMANDS = re.findall(r"^\$ (.*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
RAISED = "2004-02-16T04:22:39+00:00"
"""What examples/ims_bearing/README.md says of this bearing."""

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="the example's bundle is trained by make demo")


class Bench:
    """A folder as the README's reader has it after `make demo`, and the commands of the README on ports of its own."""

    def __init__(self, folder: Path, port: int, http_port: int) -> None:
        self.folder, self.http_port = folder, http_port
        self._ports = {"1883": str(port), "8080": str(http_port)}
        config = folder / "examples" / "gateway" / "gateway.toml"
        text = config.read_text()
        assert 'host = "localhost"\n' in text
        config.write_text(self._moved(text.replace('host = "localhost"\n', f'host = "localhost"\nport = {port}\n')))
        self._options = {"replay.py": ["--port", str(port)], "mosquitto_sub": ["-p", str(port)]}
        self._running: list[subprocess.Popen[str]] = []

    def _moved(self, text: str) -> str:
        return re.sub(r"\b(1883|8080)\b", lambda found: self._ports[found[0]], text)

    def command(self, start: str, *more: str, **named: str) -> list[str]:
        """The README's first command that starts so, with these options more, and `named` words replaced."""
        line = next(each for each in COMMANDS if each.startswith(start))
        words = [named.get(word, word) for word in shlex.split(self._moved(line))]
        for program, options in self._options.items():
            if program in line:
                words += options
        return [*words, *more]

    def run(self, words: list[str] | str) -> str:
        """What a command that ends by itself prints."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            shell=isinstance(words, str),
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def shell(self, start: str) -> str:
        """The same, of a line with a pipe."""
        return self.run(self._moved(next(each for each in COMMANDS if each.startswith(start))))

    def start(self, words: list[str], out: Path) -> subprocess.Popen[str]:
        """A command that goes on, with what it prints in a file."""
        with out.open("w") as file:
            running = subprocess.Popen(
                words, cwd=self.folder, env=self._environment(), stdout=file, stderr=subprocess.STDOUT, text=True
            )
        self._running.append(running)
        return running

    def get(self, path: str) -> str:
        """What the page's server answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def machine(self) -> dict[str, Any]:
        """The one machine, as the page has it."""
        (machine,) = json.loads(self.get("/status.json"))["machines"]
        return dict(machine)

    def end(self) -> None:
        """End what still runs."""
        for each in self._running:
            each.kill()
            each.wait()

    @staticmethod
    def _environment() -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def until(holds: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
    """What `holds` answers as soon as it is true."""
    end = time.monotonic() + within_s
    while True:
        try:
            found = holds()
        except OSError:
            found = None
        if found:
            return found
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def bench(tmp_path: Path, demo: Demo) -> Iterator[Bench]:
    """Example and bundle in a folder, and a broker that runs."""
    (tmp_path / "runs").mkdir()
    shutil.copy(demo.bundle, tmp_path / "runs")
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "gateway")
    (tmp_path / "examples" / "ims_bearing").mkdir()
    shutil.copy(REPOSITORY / "examples" / "ims_bearing" / "readings.csv", tmp_path / "examples" / "ims_bearing")
    with running(tmp_path / "broker") as broker:
        bench = Bench(tmp_path, broker.port, free_port())
        try:
            yield bench
        finally:
            bench.end()


def test_the_alarm_is_in_mqtt_in_the_metrics_and_on_the_page(bench: Bench) -> None:
    """As the README says, ten times as fast; then the score comes out again, and a gateway that was killed goes on as it was."""
    assert "bearing-rig" in bench.run(bench.command("anomalite serve examples/gateway/gateway.toml --check"))
    serve = bench.command("anomalite serve examples/gateway/gateway.toml")[:3]
    gateway = bench.start(serve, bench.folder / "gateway.log")
    heard = bench.folder / "heard"
    until(lambda: json.loads(bench.get("/status.json")).get("is_connected"), "the gateway has found the broker")
    bench.start(bench.command("mosquitto_sub"), heard)
    until(lambda: "anomalite/hall-2/status" in heard.read_text(), "the retained status")

    assert "984 readings published" in bench.run(bench.command("python", "--speed", "120000"))

    def alerts() -> list[dict[str, Any]]:
        lines = heard.read_text().splitlines()
        topic = "anomalite/hall-2/alerts/bearing-rig "
        return [json.loads(line.removeprefix(topic)) for line in lines if line.startswith(topic)]

    (alert,) = until(alerts, "an alert in MQTT")
    assert (alert["kind"], alert["machine"], alert["time"]) == ("raised", "bearing-rig", RAISED)
    assert max(alert["contributions"], key=alert["contributions"].get) == "mean_abs_b1"
    until(lambda: bench.machine()["state"] == "alarm", "the alarm on the page")
    assert bench.machine()["alert"] == alert["alert"]
    metrics = bench.shell("curl -s http://127.0.0.1:8080/metrics")
    assert re.search(r'^anomalite_alerts_total\{.*machine="bearing-rig".*\} 1\.0$', metrics, re.MULTILINE)
    assert alert["alert"] in bench.shell("curl -s http://127.0.0.1:8080/status.json")

    answer = bench.run(bench.command("anomalite replay", ID=alert["alert"]))
    assert repr(alert["score"]) in answer
    assert answer.endswith("the same to the bit\n")

    gateway.send_signal(signal.SIGKILL)
    gateway.wait()
    bench.start(serve, bench.folder / "again.log")
    until(lambda: json.loads(bench.get("/status.json")).get("is_connected"), "the gateway that was killed is back")
    until(lambda: bench.machine()["state"] == "alarm", "its machine is in alarm")
    assert bench.machine()["alert"] == alert["alert"]
    assert {each["id"] for each in alerts()} == {alert["id"]}
