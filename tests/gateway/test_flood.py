"""A flood of messages that nobody should send: each is counted, and no healthy machine suffers."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import broker
import handmade
import numpy as np
import pytest
from process import Plant, configuration, group, metric, serving, wait_page
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime import load
from edge_runtime.gateway.topics import name_fault
from edge_runtime.manifest import Sampling

FLOOD = 100_000
"""Messages."""
MARK = "NOBODY-MAY-READ-THIS"
"""Stands behind what an excerpt shows."""
TOPIC = "plant/{}/readings"
START = 1_790_000_000.0
ROWS = 60


def spoiled(random: random.Random, number: int) -> bytes:
    """A payload that holds no reading of the channels c0 and c1 at a time."""
    filler = f"{'x' * 70}{MARK}"
    kinds = (
        lambda: random.randbytes(random.randint(0, 300)),
        lambda: b'{"ts": 1790000000, "c0": 1.0, "c1": "' + b"\xff\xfe" + filler.encode() + b'"}',
        lambda: b"[" * random.choice((10, 5_000)) + filler.encode(),
        lambda: b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
        lambda: json.dumps({"ts": START, "c0": filler, "c1": 1.0}).encode(),
        lambda: json.dumps({"ts": filler, "c0": 1.0, "c1": 1.0}).encode(),
        lambda: json.dumps({"ts": START, "c0": [1.0], "c1": {"a": filler}}).encode(),
        lambda: json.dumps({"ts": START, "c0": True, "c1": 1.0}).encode(),
        lambda: json.dumps({"ts": START, "c0": 1.0}).encode(),
        lambda: b'{"ts": 1e400, "c0": 1, "c1": 1}',
        lambda: b'{"ts": -1e300, "c0": 1, "c1": 1}',
        lambda: b'{"ts": 1790000000, "c0": NaN, "c1": 1}',
        lambda: b'{"ts": 1790000000, "c0": ' + b"9" * 5_000 + b', "c1": 1}',
        lambda: b'{"ts": "' + "\u202e\u2028".encode() + filler.encode() + b'", "c0": 1, "c1": 1}',
        lambda: f'"{filler}"'.encode(),
        lambda: b"",
        lambda: b"null",
        lambda: b"\0" * 100,
    )
    if number % 500 == 250:
        return b'{"ts": 1790000000, "c0": 1, "c1": 1, "more": "' + filler.encode() + b"x" * 270_000 + b'"}'
    return kinds[random.randrange(len(kinds))]()


HOSTILE = (
    "m" * 100, "m" * 101, "m" * 5_000, "a' OR '1'='1", '"><script>alert(1)', "..", ".", "%2e%2e%2f", "$SYS", "{machine}", "a b",
    "\u202eelihc", "\u200b", "\u2028", "\ufeff", "\u0301", "a\u0000b", "a\nb", "a\rb", "a\x1b[31mb", "\x7f", "\x85", "\ufffe", "\U0001f525",
    "\\x00", "NaN", "null", " a", "a ",
)  # fmt: skip
"""Names of machines; the group lets none appear."""


class Sender:
    """Publishes as fast as the broker takes it, in packets made by hand: also such that a library would not send."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._socket.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\x02" + struct.pack(">H", 0) + _text(b"")))
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        self._answers = b""
        self._sent = 0

    def send(self, topic: bytes, payload: bytes, qos: int) -> bool:
        """Publish; with QoS 1 wait for the answer of all but the last 500. False: the broker has closed the connection."""
        identity = struct.pack(">H", self._sent % 60_000 + 1) if qos else b""
        try:
            self._socket.sendall(_packet(0x30 | qos << 1, _text(topic) + identity + payload))
            self._sent += qos
            while self._sent - len(self._answers) // 4 > 500:
                if not self._receive():
                    return False
        except OSError:
            return False
        return True

    def finish(self) -> bool:
        """Wait for the answers to all of it; False: the broker has closed the connection."""
        try:
            while len(self._answers) < 4 * self._sent:
                if not self._receive():
                    return False
            self._socket.sendall(_packet(0xC0, b""))  # a ping: whatever was sent before with QoS 0 has been taken
            return bool(self._socket.recv(2))
        except OSError:
            return False

    def _receive(self) -> bool:
        found = self._socket.recv(65_536)
        self._answers += found
        return bool(found)

    def close(self) -> None:
        self._socket.close()


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([kind]) + length + body


def _text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def send_hostile(port: int) -> int:
    """Readings of machines with such names, each on a connection of its own; returns how many the broker took."""
    taken = 0
    names = [name.encode("utf-8", "surrogatepass") for name in HOSTILE] + [
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"+",
        b"#",
    ]
    for name in names:
        sender = Sender(port)
        topic = TOPIC.encode().replace(b"{}", name)
        took = sender.send(topic, json.dumps({"ts": START, "c0": 1, "c1": 1}).encode(), 1) and sender.finish()
        taken += took
        sender.close()
    return taken


class Storm(threading.Thread):
    """Publishes what cannot be used, `FLOOD` messages and more until it is told to finish."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port, self._sent = port, 0
        self._changed, self._is_ending = threading.Condition(), False

    def run(self) -> None:
        while self._sent < FLOOD or not self._is_ending:
            count = flood(self._port, 500, self._sent)
            with self._changed:
                self._sent += count
                self._changed.notify_all()

    def wait(self, sent: int) -> None:
        """Until so many are sent."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._sent >= sent, 60)

    def finish(self) -> int:
        """End it; returns how many were sent."""
        self._is_ending = True
        self.join(60)
        assert not self.is_alive()
        return self._sent


def rss_kb(pid: int) -> int:
    """Resident memory of a process."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def stream(seed: int) -> list[dict[str, float]]:
    """Readings five times a second, with a fault in the middle and one near the end."""
    values = np.random.default_rng(seed).normal(0, 0.2, (ROWS, 2))
    values[10:16] += 6
    values[45:49] -= 6
    return [{"ts": START + row / 5, "c0": float(a), "c1": float(b)} for row, (a, b) in enumerate(values)]


def expected(bundle: Path, readings: list[dict[str, float]]) -> list[tuple[str, float, float]]:
    """Kind, time and score of the alerts of a detector that nothing disturbs."""
    verdicts = load(bundle).score([[row["c0"], row["c1"]] for row in readings], [row["ts"] for row in readings])
    return [(alert.kind, alert.time.timestamp(), pytest.approx(alert.score, rel=1e-6)) for alert in verdicts.alerts()]


def told(alerts: list[dict[str, Any]], machine: str) -> list[tuple[str, float, float]]:
    """The same of what the gateway published."""
    from datetime import datetime

    return [
        (alert["kind"], datetime.fromisoformat(alert["time"]).timestamp(), alert["score"])
        for alert in alerts
        if alert["machine"] == machine
    ]


@pytest.mark.heavy
def test_a_flood_of_refused_messages_disturbs_no_other_machine(tmp_path: Path) -> None:
    """Malformed, huge, deep, of wrong types, no UTF-8, and topics of the same sort: all counted, few in the log, no memory held, and
    every alert and reading of two machines that go on beside them."""
    bundle = handmade.sealed(tmp_path / "pump.anomalite", handmade.manifest(4, 2, sampling=Sampling(0.2, 0.6)))
    port = broker.free_port()
    with broker.running(
        tmp_path / "broker", "max_queued_messages 0", "max_queued_bytes 0", "log_type error"
    ) as mosquitto:
        config = configuration(
            tmp_path, mosquitto, group(machines=("a", "b")) + group(topic="flood/{machine}", machines=("f", "g", "h")),
            f"http = {{ port = {port} }}",
        )  # fmt: skip
        with serving(config, "--log-format", "json") as served, Plant(mosquitto.port) as plant:
            plant.wait_online()
            flood(mosquitto.port, 500, 1)  # what is allocated once, is
            wait_page(port, "/metrics", lambda _, page: refused(page) == 500)
            before = rss_kb(served.pid)
            streams = {"a": stream(1), "b": stream(2)}
            begin = time.monotonic()
            storm = Storm(mosquitto.port)
            storm.start()
            for row in range(ROWS):
                storm.wait(row * FLOOD // ROWS)
                for machine, readings in streams.items():
                    plant.send(TOPIC.format(machine), readings[row]).wait_for_publish(60)
                if row == 30:
                    plant.wait_alerts(2, "raised")  # of the fault at 10, while the storm goes on
            sent = storm.finish() + send_hostile(mosquitto.port)
            published_s = time.monotonic() - begin
            page = wait_page(port, "/metrics", lambda _, page: refused(page) >= 500 + sent)
            took_s = time.monotonic() - begin
            page = wait_page(port, "/metrics", lambda _, page: sum(readings_of(page).values()) >= 2 * ROWS)
            after = rss_kb(served.pid)
            want = {machine: expected(bundle, readings) for machine, readings in streams.items()}
            alerts = plant.wait_alerts(sum(map(len, want.values())), "raised", "cleared")
            print(
                f"{sent} refused: published in {published_s:.1f} s, looked at after {took_s:.1f} s; RSS {before} -> {after} kB"
            )
            assert served.stop() < 5
    assert refused(page) == 500 + sent
    assert {machine: told(alerts, machine) for machine in streams} == want
    assert readings_of(page) == {"a": ROWS, "b": ROWS, "f": 0, "g": 0, "h": 0}
    assert metric(page, "anomalite_readings_late_total") == {"": 0}
    reasons = metric(page, "anomalite_messages_refused_total")
    assert all(
        reasons[f'{{reason="{reason}"}}'] > 0 for reason in ("json", "type", "time", "size", "channel", "machine")
    )
    assert after - before < 16_000  # kB, of the 200 MB that were sent
    assert all(json.loads(line)["event"] for line in served.lines)
    events = Counter(json.loads(line)["event"] for line in served.lines)
    assert events["message_refused"] <= 6 * (took_s // 60 + 2)
    assert len(served.lines) < 100
    assert MARK not in served.log
    left_out = sum(json.loads(line).get("left_out", 0) for line in served.lines if "message_refused" in line)
    shown = sum("reason" in json.loads(line) for line in served.lines if "message_refused" in line)
    assert left_out + shown == 500 + sent - metric(page, "anomalite_messages_dropped_total")[""]


def flood(port: int, count: int, seed: int) -> int:
    """Publish so many messages that cannot be used, half of them with QoS 0; returns how many."""
    chance = random.Random(seed)
    sender = Sender(port)
    for number in range(count):
        machine = chance.choice((b"f", b"g", b"h"))
        assert sender.send(b"flood/" + machine, spoiled(chance, number), number % 2)
    assert sender.finish()
    sender.close()
    return count


def refused(page: str) -> int:
    """Messages that were refused or dropped."""
    dropped = metric(page, "anomalite_messages_dropped_total")
    return int(sum(metric(page, "anomalite_messages_refused_total").values()) + sum(dropped.values()))


def readings_of(page: str) -> dict[str, int]:
    """Taken in, by machine."""
    families = {family.name: family for family in text_string_to_metric_families(page)}
    return {sample.labels["machine"]: int(sample.value) for sample in families["anomalite_readings"].samples}


def test_machines_of_strange_names_are_machines_like_any_other(tmp_path: Path) -> None:
    """Where the configuration lets machines appear: quotes, combining marks and whatever else the broker and the rules for names let
    through are said, shown, counted and kept as they are, over kill -9 too; the rest is refused; no connection ends of it."""
    handmade.sealed(tmp_path / "pump.anomalite")
    port = broker.free_port()
    text = group(machines=(), appear=len(HOSTILE)).replace("machines = []\n", "")
    with broker.running(tmp_path / "broker") as mosquitto:
        config = configuration(tmp_path, mosquitto, text, f"http = {{ port = {port} }}")
        with Plant(mosquitto.port) as plant:
            with serving(config) as served:
                plant.wait_online()
                taken = send_hostile(mosquitto.port)
                page = wait_page(
                    port, "/metrics", lambda _, page: refused(page) + sum(readings_of(page).values()) == taken
                )
                allowed = {name for name in HOSTILE if name_fault(name) is None}
                assert refused(page) == taken - len(allowed) > 0
                assert readings_of(page).keys() == allowed
                status = json.loads(
                    wait_page(port, "/status.json", lambda _, body: len(json.loads(body)["machines"]) == len(allowed))
                )
                assert {machine["name"] for machine in status["machines"]} == allowed
                assert (status["reconnects"], status["problems"]) == (0, [])
                plant.wait(lambda: announced(plant) == allowed, "a state of each")
                served.kill()
            with serving(config, "--log-format", "json") as served:
                plant.wait_online(2)
                status = json.loads(wait_page(port, "/status.json", lambda _, body: "machines" in json.loads(body)))
                assert {machine["name"] for machine in status["machines"]} == allowed
                assert send_hostile(mosquitto.port) == taken
                for name in sorted(allowed):
                    plant.send(TOPIC.format(name), {"ts": START + 1, "c0": 1, "c1": 1})
                wait_page(port, "/metrics", lambda _, page: sum(readings_of(page).values()) >= 2 * len(allowed))
                assert served.stop() < 5
                assert all(json.loads(line) for line in served.lines)


def announced(plant: Plant) -> set[str]:
    """The machines whose states were published."""
    return {content["machine"] for topic, content in list(plant.heard) if topic.startswith("anomalite/hall/machines/")}
