"""`anomalite serve` as a process: how it begins, goes on, takes another configuration, and ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import broker
import handmade
import numpy as np
import pytest
from broker import Broker
from process import Plant, Served, configuration, fetch, group, once, reading, serving, wait_page

from edge_runtime import load

START = 1_790_000_000.0
TOPIC = "plant/a/readings"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    """A broker that everybody may log in to."""
    with broker.running(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """`pump.anomalite`: T = 4, C = 2, a reading a second, gaps of 3 s, threshold 1."""
    return handmade.sealed(tmp_path / "pump.anomalite")


ARRIVAL = group().replace('payload = { time = "ts" }\n', "")
"""A machine whose readings have the time at which they arrive."""


def readings(count: int, *faults: range, start: float = START, machine: int = 0) -> list[dict[str, float]]:
    """A second apart, normal but for the rows of the faults."""
    values = np.random.default_rng(machine).normal(0, 0.2, (count, 2))
    for fault in faults:
        values[fault.start : fault.stop] += 6
    return [{"ts": start + row, "c0": float(a), "c1": float(b)} for row, (a, b) in enumerate(values)]


def expected(bundle: Path, stream: list[dict[str, float]]) -> list[tuple[str, float]]:
    """Kind and time of the alerts of a detector that nothing interrupts."""
    verdicts = load(bundle).score([[row["c0"], row["c1"]] for row in stream], [row["ts"] for row in stream])
    return [(alert.kind, alert.time.timestamp()) for alert in verdicts.alerts()]


def told(alerts: list[dict[str, Any]], machine: str = "a") -> list[tuple[str, float]]:
    """The same of what the gateway published."""
    return [
        (alert["kind"], datetime.fromisoformat(alert["time"]).timestamp())
        for alert in alerts
        if alert["machine"] == machine
    ]


def wait_readings(port: int, machine: str, count: int) -> dict[str, Any]:
    """Until /status.json says that so many of the machine's readings were taken; returns the page."""

    def is_there(_: int, body: str) -> bool:
        return any(
            each["name"] == machine and each["readings"] >= count for each in json.loads(body).get("machines", ())
        )

    page: dict[str, Any] = json.loads(wait_page(port, "/status.json", is_there))
    return page


# How it ends, and begins again


@pytest.mark.parametrize("kept", ["journal", "store", "nothing"])
def test_sigterm_saves_everything(tmp_path: Path, mosquitto: Broker, bundle: Path, kept: str) -> None:
    """Within 5 s and with exit status 0; the next process goes on in the middle of a window, also from the store alone: a fault right
    after the restart is seen at its first reading, and not when a window has filled again, as where nothing is kept."""
    http = broker.free_port()
    config = configuration(tmp_path, mosquitto, group(), f"http = {{ port = {http} }}")
    cut = 21
    stream = readings(30, range(8, 11), range(cut, 30), start=time.time() - cut)
    want = expected(bundle, stream)
    with Plant(mosquitto.port) as plant:
        with serving(config) as served:
            plant.wait_online()
            plant.send_all(TOPIC, stream[:cut])
            plant.wait_alerts(2)
            wait_readings(http, "a", cut)
            assert served.stop() < 5
        assert ("anomalite/hall/status", {"online": False}) in plant.heard
        if kept != "journal":
            shutil.rmtree(tmp_path / "journal")
        if kept == "nothing":
            shutil.rmtree(tmp_path / "store")
        with serving(config) as served:
            plant.wait_online(2)
            plant.send_all(TOPIC, stream[cut:])
            plant.wait_alerts(len(want))
            assert served.stop() < 5
    assert (told(plant.alerts()) == want) == (kept != "nothing")


def test_messages_under_way_at_the_end_are_scored_once(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """Readings without a time cannot be told from repeats: what was scored is acknowledged, the rest comes to the next process."""
    http = broker.free_port()
    config = configuration(tmp_path, mosquitto, ARRIVAL, f"http = {{ port = {http} }}")
    with Plant(mosquitto.port) as plant:
        for life in range(3):
            with serving(config) as served:
                plant.wait_online(life + 1)
                infos = [plant.send(TOPIC, {"c0": 0.1, "c1": 0.1}) for _ in range(400)]
                wait_readings(http, "a", 1)
                assert served.stop() < 5
            for info in infos:
                info.wait_for_publish(30)
        with serving(config) as served:
            plant.wait_online(4)
            plant.send_all(TOPIC, [b"last"])
            served.wait_line("message_refused")  # it stood behind all others
            served.stop()
    with reading(tmp_path / "store") as store:
        counted = sum(sum(row.counts) for row in store.history("a"))
    assert counted == 1200


# SIGHUP


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_messages_as_large_as_the_configuration_says(
    tmp_path: Path, mosquitto: Broker, bundle: Path, version: str
) -> None:
    """What a group takes comes through the connection as well, and what is larger than any group takes is counted and left."""
    http = broker.free_port()
    groups = group().replace('payload = { time = "ts" }', 'payload = { time = "ts", max_kb = 2048 }')
    top, mqtt = f"http = {{ port = {http} }}", f'version = "{version}"'
    config = configuration(tmp_path, mosquitto, groups, top, mqtt)
    large, *rest = readings(2)
    with Plant(mosquitto.port) as plant, serving(config) as served:
        plant.wait_online()
        plant.send_all(TOPIC, [{**large, "note": "x" * 3 * 2**19}, {**large, "note": "x" * 3 * 2**20}, *rest])
        wait_readings(http, "a", 2)
        served.stop()


def test_sighup_takes_the_configuration_that_is_there_then(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """A machine more, work on another, another port of the page: all are in force, and nothing published meanwhile is lost."""
    first, second = broker.free_port(), broker.free_port()
    config = configuration(tmp_path, mosquitto, group(machines=["a", "b"]), f"http = {{ port = {first} }}")
    streams = {name: readings(60, range(30, 36), range(48, 52), machine=row) for row, name in enumerate("abc")}
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        for row in range(60):
            if row == 20:
                work = '[[maintenance]]\nmachines = ["b"]\nstart = 2020-01-01T00:00:00Z\nend = 2100-01-01T00:00:00Z\n'
                configuration(
                    tmp_path, mosquitto, group(machines=["a", "b", "c"]) + work, f"http = {{ port = {second} }}"
                )
                served.reload()
            for name, stream in streams.items():
                plant.send(f"plant/{name}/readings", stream[row])
        want = {name: expected(bundle, stream) for name, stream in streams.items()}
        served.wait_ready(2)
        wait_readings(second, "b", 20)
        plant.wait_alerts(len(want["a"]), "raised", "cleared")
        assert told(plant.alerts(), "a") == want["a"]
        assert told(plant.alerts(), "b") == []
        with pytest.raises(OSError, match="refused"):
            fetch(first, "/healthz")
        plant.send_all("plant/c/readings", readings(20, range(8, 12), start=START + 100))
        plant.wait(
            lambda: told(plant.alerts("raised"), "c")[-1:] == [("raised", START + 108)], "the new machine's alarm"
        )
        assert [each for each in served.said if each.get("RELOADING") == "1" and each["MONOTONIC_USEC"].isdigit()]
        served.stop()
    with reading(tmp_path / "store") as store:
        assert {alert.in_maintenance for alert in store.alerts() if alert.machine == "b"} == {True}
        assert [alert.machine for alert in store.alerts()].count("b") == sum(kind == "raised" for kind, _ in want["b"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('name = "hall', "expected TOML"),
        ("nonsense = 1", "nonsense"),
        ("missing.anomalite", "missing.anomalite"),
        ("port", "in use"),
    ],
)
def test_sighup_with_a_configuration_that_cannot_be_used(
    tmp_path: Path, mosquitto: Broker, bundle: Path, change: str, says: str
) -> None:
    """It is logged, and the old one goes on, with its windows and alarms."""
    http = broker.free_port()
    top = f"http = {{ port = {http} }}"
    config = configuration(tmp_path, mosquitto, group(), top)
    stream = readings(30, range(8, 20))
    with serving(config) as served, Plant(mosquitto.port) as plant, socket.create_server(("127.0.0.1", 0)) as taken:
        plant.wait_online()
        plant.send_all(TOPIC, stream[:10])
        plant.wait_alerts(1, "raised")
        if change.endswith("anomalite"):
            configuration(tmp_path, mosquitto, group(change), top)
        elif change == "port":
            configuration(tmp_path, mosquitto, group(), f"http = {{ port = {taken.getsockname()[1]} }}")
        else:
            config.write_text(change + "\n" + config.read_text())
        served.reload()
        served.wait_line("reload_failed", says)
        served.wait_ready(2)
        plant.send_all(TOPIC, stream[10:])
        want = expected(bundle, stream)
        plant.wait_alerts(len(want), "raised", "cleared")
        assert told(plant.alerts()) == want
        assert fetch(http, "/healthz")[0] == 200
        served.stop()


def test_a_bundle_replaced(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """SIGHUP opens the new file: the old one's open alert is cleared, and says why."""
    config = configuration(tmp_path, mosquitto, group())
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        plant.send_all(TOPIC, readings(10, range(8, 10)))
        (raised,) = plant.wait_alerts(1, "raised")
        handmade.sealed(tmp_path / "new.anomalite", model=handmade.dense_model(4, 2))
        (tmp_path / "new.anomalite").replace(bundle)
        served.reload()
        (cleared,) = plant.wait_alerts(1, "cleared")
        assert (cleared["alert"], cleared["reason"]) == (raised["alert"], "bundle replaced")
        served.wait_ready(2)
        plant.send_all(TOPIC, readings(20, range(8, 12), start=START + 100))
        again = plant.wait_alerts(2, "raised")[1]
        assert again["digest"] != raised["digest"]
        served.stop()


def test_a_topic_that_is_gone_is_not_heard_any_more(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """The broker keeps the subscriptions of a session: those that the configuration does not have any more are taken back."""
    http = broker.free_port()
    top = f"http = {{ port = {http} }}"
    config = configuration(tmp_path, mosquitto, group() + group(topic="old/{machine}", machines=["o"]), top)
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        configuration(tmp_path, mosquitto, group(), top)
        served.reload()
        served.wait_ready(2)
        plant.wait_online(2)
        plant.send_all("old/o", [{"ts": START, "c0": 0.0, "c1": 0.0}])
        plant.send_all(TOPIC, readings(3))
        page = wait_readings(http, "a", 3)
        assert page["counters"]["messages"] == 3
        served.stop()


def test_signals_in_quick_succession(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """Reloads that come while one is under way, and then the end: it ends as ever, and what was open is open."""
    config = configuration(tmp_path, mosquitto, group())
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        plant.send_all(TOPIC, readings(10, range(8, 10)))
        plant.wait_alerts(1, "raised")
        for _ in range(5):
            served.reload()
        served.stop()
    with reading(tmp_path / "store") as store:
        assert len(store.open_alerts()) == 1
        assert store.waiting_count() == 0


def test_a_machine_that_the_configuration_does_not_have_any_more(
    tmp_path: Path, mosquitto: Broker, bundle: Path
) -> None:
    """Its open alert is cleared, and says why; the others go on."""
    config = configuration(tmp_path, mosquitto, group(machines=("a", "b")))
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        for machine in "ab":
            plant.send_all(f"plant/{machine}/readings", readings(10, range(8, 10)))
        plant.wait_alerts(2, "raised")
        configuration(tmp_path, mosquitto, group(machines=("b",)))
        served.reload()
        (cleared,) = plant.wait_alerts(1, "cleared")
        assert (cleared["machine"], cleared["reason"]) == ("a", "machine removed")
        served.stop()
    with reading(tmp_path / "store") as store:
        assert [alert.machine for alert in store.open_alerts()] == ["b"]


# What it refuses to begin with


def refused(*arguments: str, given: bytes = b"", **more: str) -> str:
    """The one line of an exit with status 2."""
    done = once(*arguments, given=given, **more)
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("anomalite: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def test_one_gateway_a_folder(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """A second one is refused, whichever of its folders the first one has, and the first goes on."""
    config = configuration(tmp_path, mosquitto, group())
    with serving(config) as served, Plant(mosquitto.port) as plant:
        plant.wait_online()
        assert f"process {served.pid}" in refused(str(config))
        other = configuration(
            tmp_path, mosquitto, group(), storage='folder = "another"\njournal_folder = "journal"'
        ).rename(tmp_path / "other.toml")
        assert "journal" in refused(str(other))
        plant.send_all(TOPIC, readings(10, range(8, 10)))
        plant.wait_alerts(1, "raised")
        served.stop()


def test_what_cannot_be_served_is_named_in_one_line(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """Exit status 2."""
    assert "absent.toml" in refused(str(tmp_path / "absent.toml"))
    config = configuration(tmp_path, mosquitto, group(), "nonsense = 1")
    assert "nonsense" in refused(str(config))
    assert "gateway.toml" in refused(str(config))
    assert "missing.anomalite" in refused(str(configuration(tmp_path, mosquitto, group("missing.anomalite"))))
    (tmp_path / "broken.anomalite").write_bytes(bundle.read_bytes()[:-100])
    assert "broken.anomalite" in refused(str(configuration(tmp_path, mosquitto, group("broken.anomalite"))))
    assert "tflite" in refused(str(configuration(tmp_path, mosquitto, group(engine="tflite"))))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(str(configuration(tmp_path, mosquitto, group(), f"http = {{ port = {port} }}")))
    assert str(port) in said
    absent = configuration(tmp_path, mosquitto, group(), mqtt='user = "u"\npassword_file = "absent"')
    assert "absent" in refused(str(absent))
    (tmp_path / "file").write_text("")
    assert "file" in refused(str(configuration(tmp_path, mosquitto, group(), storage='folder = "file/store"')))


# Lines


def test_standard_input(tmp_path: Path, bundle: Path) -> None:
    """JSON lines in; it ends when they do, and what they raised is in the store, without any broker."""
    lines = group(lines="-")
    config = configuration(tmp_path, None, lines)
    stream = readings(40, range(8, 12), range(30, 40))
    text = "\n".join(["not JSON", *map(json.dumps, stream)])  # the last line has no end
    done = once(str(config), "--log-format", "json", given=text.encode())
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [each["event"] for each in events if each["event"].startswith("message_")] == ["message_refused"]
    with reading(tmp_path / "store") as store:
        found = [("raised", alert.raised / 1e6) for alert in store.alerts()]
        found += [("cleared", alert.cleared / 1e6) for alert in store.alerts() if alert.cleared is not None]
    assert sorted(found, key=lambda each: each[1]) == expected(bundle, stream)


def test_sighup_loses_nothing_of_standard_input(tmp_path: Path, bundle: Path) -> None:
    """Not the first half of a line, nor what stands in the pipe: nobody gives it again."""
    config = configuration(tmp_path, None, ARRIVAL.replace('topic = "plant/{machine}/readings"', 'lines = "-"'))
    line = b'{"c0": 0.1, "c1": 0.1}\n'
    with serving(config, stdin=subprocess.PIPE) as served:
        assert served.process.stdin is not None
        for life in range(3):
            served.process.stdin.write(line * 2000 + line[:10])
            served.process.stdin.flush()
            served.reload()
            served.wait_ready(life + 2)
            served.process.stdin.write(line[10:])
        served.process.stdin.close()
        assert served.process.wait(30) == 0
    with reading(tmp_path / "store") as store:
        assert sum(sum(row.counts) for row in store.history("a")) == 3 * 2001


def test_a_growing_file_is_resumed_exactly(tmp_path: Path, bundle: Path) -> None:
    """kill -9 in the middle of a line: no reading is taken twice or left out, though none of them has a time."""
    file = tmp_path / "readings.jsonl"
    http = broker.free_port()
    lines = ARRIVAL.replace('topic = "plant/{machine}/readings"', 'lines = "readings.jsonl"')
    config = configuration(tmp_path, None, lines, f"http = {{ port = {http} }}")
    with file.open("ab", buffering=0) as growing:
        growing.write(b'{"c0": 0.1, "c1": 0.1}\n' * 100 + b'{"c0": 0.1, ')
        with serving(config) as served:
            wait_readings(http, "a", 100)
            served.kill()
        growing.write(b'"c1": 0.1}\n' + b'{"c0": 0.1, "c1": 0.1}\n' * 49)
        with serving(config) as served:
            # counts of this life: the 50 that came since
            wait_readings(http, "a", 50)
            growing.write(b'{"c0": 0.1, "c1": 0.1}\n')
            page = wait_readings(http, "a", 51)
            served.stop()
    (machine,) = page["machines"]
    assert machine["readings"] == 51
    assert page["counters"]["messages"] == 51


# What it says


def test_the_unit_and_the_check(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """--print-unit prints a unit for this file; --check says what would be done, and its status says whether it can be."""
    config = configuration(tmp_path, mosquitto, group())
    done = once(str(config), "--print-unit")
    assert done.returncode == 0
    assert "Type=notify" in done.stdout
    assert f"serve {config}" in done.stdout
    done = once(str(config), "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plant/+/readings" in done.stdout
    done = once(str(config), "--check", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)
    broken = configuration(tmp_path, mosquitto, group("missing.anomalite"))
    done = once(str(broken), "--check", "--json")
    assert done.returncode == 2
    assert "missing.anomalite" in json.dumps(json.loads(done.stdout))
    assert not (tmp_path / "store" / "store.db").exists()


@pytest.mark.parametrize("is_right", [True, False])
def test_a_password_is_in_no_output(tmp_path: Path, bundle: Path, is_right: bool) -> None:
    """The right one and a wrong one: neither is in the log of any level, the check, the page or the store; every line is JSON."""
    secret = "hunter2-swordfish"
    http = broker.free_port()
    users = {"gateway": secret if is_right else "another", "plant": "plant"}
    with broker.running(tmp_path / "broker", users=users) as mosquitto:
        (tmp_path / "password").write_text(secret + "\n")
        config = configuration(
            tmp_path,
            mosquitto,
            group(),
            f"http = {{ port = {http} }}",
            'user = "gateway"\npassword_file = "password"',
        )
        checked = once(str(config), "--check", "--json")
        assert checked.returncode == (0 if is_right else 2), checked.stdout
        with serving(config, "--log-format", "json", "--log-level", "debug") as served:
            if is_right:
                served.wait_line("broker_connected")
            else:
                served.wait_line("broker_lost", "refuses the login")
            pages = [fetch(http, path)[1] for path in ("/status.json", "/metrics", "/healthz", "/")]
            served.stop()
            for line in served.lines:
                assert {"time", "level", "event"} <= json.loads(line).keys()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("store/*"))
    for text in (checked.stdout, checked.stderr, served.log, *pages, stored.decode(errors="replace")):
        assert secret not in text


def test_systemd_is_told(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """READY=1 once it watches, WATCHDOG=1 as long as the loop goes around, STOPPING=1 at the end."""
    config = configuration(tmp_path, mosquitto, group())
    with serving(config, WATCHDOG_USEC="1000000") as served:
        served.wait(lambda: sum(each.get("WATCHDOG") == "1" for each in served.said) >= 3, "three beats")
        assert "1 machines" in next(each["STATUS"] for each in served.said if each.get("READY"))
        served.process.send_signal(signal.SIGSTOP)
        served.process.send_signal(signal.SIGCONT)
        served.stop()
    assert served.said[-1]["STOPPING"] == "1"


def test_sigint_ends_it_too(tmp_path: Path, mosquitto: Broker, bundle: Path) -> None:
    """As Ctrl-C does at a terminal: with everything saved, and exit status 0."""
    served = Served(configuration(tmp_path, mosquitto, group()))
    try:
        served.wait_ready()
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(30) == 0
    finally:
        served.close()
