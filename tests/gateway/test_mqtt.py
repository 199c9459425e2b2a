"""The MQTT client against a real Mosquitto: what is lost, repeated or out of order when things go wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import broker as mosquitto
import pytest
from network import Network
from peer import PATIENCE_S, Peer, until

from edge_runtime.gateway.config import MQTT, TLS
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.mqtt import UNDER_WAY, MqttClient
from edge_runtime.gateway.mqtt_login import RECEIVE_MAXIMUM, Timing
from edge_runtime.gateway.mqtt_receipts import MOST_UNSAFE

QUICK = Timing(first_wait=0.05, longest_wait=0.2, connect=5.0, answer=30.0, stop=5.0)
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


class Gateway:
    """What the gateway's thread does with the client: takes, acknowledges, and publishes in order until all is acknowledged."""

    def __init__(self, port: int, *, timing: Timing = QUICK, limit: int = 2**20, **configuration: Any) -> None:
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.inbox = Inbox()
        self.taken: list[Message] = []
        self._is_started = False
        topics = configuration.pop("topics", ("plant/+/readings",))
        forgotten = configuration.pop("forgotten", ())
        self.client = MqttClient(
            MQTT(**{"host": "127.0.0.1", "port": port, **configuration}),
            "press",
            [(topic, 1) for topic in topics],
            self.inbox,
            self.inbox.wake,
            lambda name, **fields: self.log.append((name, fields)),
            password=os.environ.get("TEST_PASSWORD"),
            about={"version": "1"},
            forgotten=forgotten,
            message_limit=limit,
            timing=timing,
        )

    def __enter__(self) -> Gateway:
        if not self._is_started:
            self._is_started = True
            self.client.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.stop()

    def connect(self) -> Gateway:
        """Returns when it is, and its subscriptions are there."""
        self.__enter__()
        try:
            until(lambda: self.client.is_subscribed, "connected")
        except BaseException:
            print(self.client.problems, self.log[-3:])
            self.client.stop()
            raise
        return self

    def take(self, count: int, *, acknowledge: bool = True) -> list[bytes]:
        """As many messages, or what came in the time it may take."""
        end = time.monotonic() + PATIENCE_S
        start = len(self.taken)
        while len(self.taken) < start + count and time.monotonic() < end:
            messages = self.inbox.take(0.2, 0.0)
            self.taken += messages
            if acknowledge:
                self.client.acknowledge(messages)
        return [message.payload for message in self.taken[start:]]

    def publish_all(
        self, count: int, topic: str = "anomalite/press/alerts/m1", disturb: Callable[[int], None] = lambda done: None
    ) -> None:
        """Numbers 0 to count - 1, in order, each until it is acknowledged: what the publisher does."""
        done: set[int] = set()
        following = 0
        end = time.monotonic() + 2 * PATIENCE_S
        while len(done) < count:
            assert time.monotonic() < end, f"{len(done)} of {count} acknowledged; {self.client.problems}"
            before = len(done)
            done.update(self.client.acknowledged())
            if len(done) != before:
                disturb(len(done))
            if lost := self.client.lost():
                following = min(following, *lost)
            while following < count and self.client.publish(topic, b"%d" % following, retain=False, token=following):
                following += 1
            self.inbox.take(0.05, 0.0)


def without_repeats(payloads: list[bytes]) -> list[int]:
    """As a consumer that drops what it has seen."""
    return list(dict.fromkeys(int(payload) for payload in payloads))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[mosquitto.Broker]:
    """One that keeps whatever is for the gateway."""
    with mosquitto.running(tmp_path / "broker", "max_queued_messages 0") as running:
        yield running


# In


@VERSIONS
def test_messages_come_in_order_with_topic_and_payload(broker: mosquitto.Broker, version: str) -> None:
    """And what is retained says so."""
    peer = Peer(broker.port)
    peer.send("plant/old/readings", b"retained", retain=True)
    with Gateway(broker.port, version=version).connect() as gateway:
        assert gateway.take(1) == [b"retained"]
        assert gateway.taken[0].is_retained
        for number in range(50):
            peer.send(f"plant/m{number % 3}/readings", b"%d" % number)
        assert gateway.take(50) == [b"%d" % number for number in range(50)]
        assert [message.topic for message in gateway.taken[1:4]] == [
            "plant/m0/readings",
            "plant/m1/readings",
            "plant/m2/readings",
        ]
        assert not gateway.taken[1].is_retained
        peer.send("plant/m/readings", b"at most once", qos=0)
        assert gateway.take(1) == [b"at most once"]
        assert gateway.client.problems == ()
        assert gateway.client.reconnects == 0
    peer.close()


@VERSIONS
def test_a_backlog_comes_no_faster_than_it_is_taken(broker: mosquitto.Broker, version: str) -> None:
    """Whatever the broker makes of the Receive Maximum: the inbox, which drops what it has no room for, does not fill."""
    peer = Peer(broker.port)
    Gateway(broker.port, version=version).connect().client.stop()
    peer.send_all("plant/m/readings", [b"%d" % number for number in range(3 * MOST_UNSAFE)])
    with Gateway(broker.port, version=version) as gateway:
        come: list[bytes] = []
        end = time.monotonic() + 2 * PATIENCE_S
        while len(come) < 3 * MOST_UNSAFE and time.monotonic() < end:
            messages = gateway.inbox.take(0.2, 0.1, 10)
            come += [message.payload for message in messages]
            gateway.client.acknowledge(messages)
            assert len(gateway.inbox) <= MOST_UNSAFE
            if len(come) == 100:
                time.sleep(0.5)  # time in which the broker could send everything
        assert come == [b"%d" % number for number in range(3 * MOST_UNSAFE)]
        assert gateway.inbox.dropped == 0
    peer.close()


@VERSIONS
def test_what_came_while_the_gateway_was_away_arrives(broker: mosquitto.Broker, version: str) -> None:
    """The broker keeps the session of one that stopped, under the name of the gateway."""
    peer = Peer(broker.port)
    with Gateway(broker.port, version=version) as first:
        first.connect()
        peer.send("plant/m/readings", b"0")
        assert first.take(1) == [b"0"]
    peer.send_all("plant/m/readings", [b"%d" % number for number in range(1, 201)])
    with Gateway(broker.port, version=version) as second:
        assert second.take(200) == [b"%d" % number for number in range(1, 201)]
        assert ("broker_connected", {"broker": second.client.broker, "session_kept": True}) in second.log
    peer.close()


GATEWAY_PROCESS = """
import os, sys
sys.path.insert(0, {tests!r})
from test_mqtt import Gateway
with Gateway({port}, version={version!r}).connect() as gateway:
    payloads = gateway.take(10, acknowledge=False)
    gateway.client.acknowledge(gateway.taken[:4])
    gateway.publish_all(1)
    print(*[payload.decode() for payload in payloads], flush=True)
    sys.stdin.read()
"""


@VERSIONS
def test_a_killed_gateway_gets_again_what_it_had_not_acknowledged(broker: mosquitto.Broker, version: str) -> None:
    """And the broker says for it that it is off; the one that comes back says that it is on."""
    watcher = Peer(broker.port, "anomalite/press/status")
    code = textwrap.dedent(GATEWAY_PROCESS).format(tests=str(Path(__file__).parent), port=broker.port, version=version)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        until(lambda: watcher.payloads("anomalite/press/status"), "the process connects")
        watcher.send_all("plant/m/readings", [b"%d" % number for number in range(10)])
        assert process.stdout.readline().split() == [str(number) for number in range(10)]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    until(lambda: len(watcher.payloads("anomalite/press/status")) == 2, "the last will")
    with Gateway(broker.port, version=version) as gateway:
        assert gateway.take(6) == [b"%d" % number for number in range(4, 10)]
        until(lambda: len(watcher.payloads("anomalite/press/status")) == 3)
        said = [json.loads(payload) for payload in watcher.payloads("anomalite/press/status")]
        assert said == [{"online": True, "version": "1"}, {"online": False}, {"online": True, "version": "1"}]
    watcher.close()


@VERSIONS
def test_a_message_that_waits_in_the_gateway_is_not_taken_twice_after_a_reconnection(
    broker: mosquitto.Broker, version: str
) -> None:
    """It is acknowledged on the connection that is there by then; one acknowledged too late for the old connection is, too."""
    peer = Peer(broker.port)
    with Network(broker.port) as network, Gateway(network.port, version=version).connect() as gateway:
        peer.send_all("plant/m/readings", [b"same"] * 5 + [b"%d" % number for number in range(5)])
        waiting = gateway.take(10, acknowledge=False)
        network.cut()
        until(lambda: not gateway.client.is_connected)
        gateway.client.acknowledge(gateway.taken[:5])
        network.repair()
        gateway.connect()
        until(lambda: gateway.client.repeated == 10, "the broker gives them again")
        gateway.client.acknowledge(gateway.taken[5:])
        peer.send("plant/m/readings", b"new")
        assert gateway.take(1) == [b"new"]
        assert waiting == [b"same"] * 5 + [b"%d" % number for number in range(5)]
    with Gateway(broker.port, version=version).connect() as second:
        peer.send("plant/m/readings", b"newer")
        assert second.take(1) == [b"newer"]  # all of them were acknowledged
    peer.close()


@VERSIONS
def test_large_messages_are_dropped_and_hold_back_no_other(broker: mosquitto.Broker, version: str) -> None:
    """More of them than the broker gives unacknowledged."""
    peer = Peer(broker.port)
    with Gateway(broker.port, version=version, limit=1000).connect() as gateway:
        peer.send_all("plant/m/readings", [b"x" * 200_000] * 30)
        peer.send("plant/m/readings", b"y" * 1000)
        assert gateway.take(1) == [b"y" * 1000]
        assert gateway.client.oversized == (30 if version == "3.1.1" else 0)  # with 5 the broker does not send them
    peer.close()


def test_messages_dropped_by_a_full_inbox_hold_back_no_other(broker: mosquitto.Broker) -> None:
    """They are acknowledged all the same."""
    peer = Peer(broker.port)
    with Gateway(broker.port) as gateway:
        gateway.client._inbox = gateway.inbox = Inbox(limit=3)
        gateway.connect()
        peer.send_all("plant/m/readings", [b"%d" % number for number in range(100)])
        until(lambda: gateway.inbox.dropped == 97)
        assert gateway.take(3) == [b"0", b"1", b"2"]
        peer.send("plant/m/readings", b"next")
        assert gateway.take(1) == [b"next"]
    peer.close()


@VERSIONS
def test_a_filter_of_an_earlier_configuration_is_taken_out_of_the_session(
    broker: mosquitto.Broker, version: str
) -> None:
    """The broker would go on to send what comes on it."""
    peer = Peer(broker.port)
    with Gateway(broker.port, version=version, topics=("old/+", "plant/+")) as first:
        first.connect()
        peer.send("old/m", b"0")
        assert first.take(1) == [b"0"]
    with Gateway(broker.port, version=version, topics=("plant/+",), forgotten=("old/+",)) as second:
        second.connect()
        peer.send("plant/m", b"1")
        assert second.take(1) == [b"1"]
        peer.send("old/m", b"2")
        peer.send("plant/m", b"3")
        assert second.take(1) == [b"3"]
    peer.close()


def test_with_mqtt_5_the_gateway_says_how_much_it_takes_unacknowledged(broker: mosquitto.Broker) -> None:
    """A broker that would give 20 gives as many as are asked for, and no more."""
    peer = Peer(broker.port)
    with Gateway(broker.port).connect() as gateway:
        peer.send_all("plant/m/readings", [b"%d" % number for number in range(RECEIVE_MAXIMUM + 1)])
        assert len(gateway.take(RECEIVE_MAXIMUM, acknowledge=False)) == RECEIVE_MAXIMUM
        assert gateway.inbox.take(0.2, 0.0) == []
        gateway.client.acknowledge(gateway.taken[:1])
        assert gateway.take(1) == [b"%d" % RECEIVE_MAXIMUM]
    peer.close()


@VERSIONS
def test_a_paused_gateway_finishes_what_it_has_and_leaves_the_rest(broker: mosquitto.Broker, version: str) -> None:
    """To be given to the next one, once each."""
    peer = Peer(broker.port, "anomalite/press/alerts/m1")
    with Gateway(broker.port, version=version).connect() as first:
        peer.send("plant/m/readings", b"0")
        waiting = first.take(1, acknowledge=False)
        first.client.pause()
        peer.send_all("plant/m/readings", [b"1", b"2"])
        first.publish_all(3)
        first.client.acknowledge(first.taken)
    with Gateway(broker.port, version=version).connect() as second:
        assert waiting + second.take(2) == [b"0", b"1", b"2"]
        peer.send("plant/m/readings", b"3")
        assert second.take(1) == [b"3"]
    peer.close()


# Out


@VERSIONS
def test_publications_arrive_in_order_through_every_interruption(broker: mosquitto.Broker, version: str) -> None:
    """Network cut between packets and inside of them, broker stopped, broker killed: no number is missing, none out of order."""
    peer = Peer(broker.port, "anomalite/press/alerts/#", name="consumer")
    with Network(broker.port) as network, Gateway(network.port, version=version).connect() as gateway:

        def disturb(done: int) -> None:
            step = done // 50
            if step in steps:
                steps.pop(step)()

        def restart(end: Callable[[], None]) -> None:
            end()
            broker.start()

        steps: dict[int, Callable[[], Any]] = {
            1: network.drop,
            2: lambda: network.cut_after(7),
            3: lambda: network.cut_after(60),
            4: lambda: restart(broker.stop),
            5: lambda: network.cut_after(1001),
            7: lambda: network.cut_after(333),
        }
        gateway.publish_all(500, disturb=disturb)
        assert steps == {}
        assert gateway.client.reconnects >= 6
        until(lambda: len(without_repeats(peer.payloads("anomalite/press/alerts/m1"))) == 500)
        assert without_repeats(peer.payloads("anomalite/press/alerts/m1")) == list(range(500))
    peer.close()


def test_a_broker_that_is_killed_gets_again_what_it_had_not_acknowledged(broker: mosquitto.Broker) -> None:
    """What it had acknowledged and not stored is its own affair."""
    with Gateway(broker.port).connect() as gateway:
        for token in range(5):
            assert gateway.client.publish("anomalite/press/alerts/m", b"%d" % token, retain=True, token=token)
        done: list[int] = []
        until(lambda: done.extend(gateway.client.acknowledged()) or len(done) == 5)
        broker.pause()
        sent = [
            token
            for token in range(10, 200)
            if gateway.client.publish("anomalite/press/alerts/m", b"", retain=False, token=token)
        ]
        assert len(sent) == UNDER_WAY  # no more are under way at once
        broker.kill()
        until(lambda: not gateway.client.is_connected)
        assert not gateway.client.publish("a", b"", retain=False, token=500)
        broker.start()
        gateway.connect()
        # What was lost has to be asked for, or something newer could overtake it.
        assert not gateway.client.publish("a", b"", retain=False, token=500)
        assert gateway.client.lost() == sent
        assert gateway.client.publish("a", b"", retain=False, token=500)
        assert until(gateway.client.acknowledged) == [500]


@VERSIONS
def test_a_slow_network_delays_and_loses_nothing(broker: mosquitto.Broker, version: str) -> None:
    """4 kB a second, both ways."""
    peer = Peer(broker.port, "anomalite/press/alerts/#")
    with Network(broker.port) as network, Gateway(network.port, version=version).connect() as gateway:
        network.slow_down(4000)
        peer.send_all("plant/m/readings", [b"%d" % number for number in range(30)])
        gateway.publish_all(30)
        assert peer.payloads("anomalite/press/alerts/m1") == [b"%d" % number for number in range(30)]
        network.repair()
        assert gateway.client.reconnects == 0
    peer.close()


def test_a_network_that_stalls_is_noticed(broker: mosquitto.Broker) -> None:
    """By the keepalive, and by publications that are not acknowledged."""
    with Network(broker.port) as network, Gateway(network.port, keepalive_s=1).connect() as gateway:
        network.stall()
        until(lambda: not gateway.client.is_connected)
        network.repair()
        network.drop()
        gateway.connect()
        assert "keep alive" in gateway.log[0 if gateway.log[0][0] == "broker_lost" else 1][1]["error"].lower()
    timing = QUICK._replace(answer=0.5)
    with Network(broker.port) as network, Gateway(network.port, timing=timing).connect() as gateway:
        network.stall()
        assert gateway.client.publish("a", b"", retain=False, token=1)
        assert until(gateway.client.lost) == [1]
        network.drop()


def attempts(broker: mosquitto.Broker) -> int:
    """How often the broker was asked to take it."""
    return len(re.findall(r"PUBLISH from .*'anomalite/press/alerts/forbidden'", broker.log))


def test_what_the_broker_refuses_is_not_delivered_and_is_a_problem(tmp_path: Path) -> None:
    """Publications and subscriptions; other topics are not concerned."""
    acl = tmp_path / "acl"
    acl.write_text(
        "topic readwrite anomalite/press/alerts/allowed\ntopic readwrite anomalite/press/status\ntopic read plant/#\n"
    )
    with (
        mosquitto.running(tmp_path / "broker", f"acl_file {acl}") as broker,
        Gateway(broker.port).connect() as gateway,
    ):
        done: list[int] = []
        for token in range(1, 4):
            assert gateway.client.publish("anomalite/press/alerts/forbidden", b"%d" % token, retain=False, token=token)
        problem = f"the broker 127.0.0.1:{broker.port} refuses anomalite/press/alerts/forbidden: Not authorized"
        until(lambda: gateway.client.problems == (problem,))
        # States: only the newest matters.
        for token in range(10, 40):
            assert gateway.client.publish("anomalite/press/machines/m", b"%d" % token, retain=True, token=token)
        assert gateway.client.publish("anomalite/press/alerts/allowed", b"4", retain=False, token=4)
        until(lambda: done.extend(gateway.client.acknowledged()) or 4 in done)
        assert not {1, 2, 3, 39} & set(done)
        until(lambda: attempts(broker) > 4, "it is tried again")
        acl.write_text("topic readwrite anomalite/#\n")
        broker.reload()
        until(lambda: done.extend(gateway.client.acknowledged()) or len(done) == 34)
        assert gateway.client.problems == ()
        assert gateway.client.lost() == []
        peer = Peer(broker.port, "anomalite/press/machines/m")
        until(lambda: peer.messages)
        assert peer.payloads("anomalite/press/machines/m") == [b"39"]
        peer.close()


def test_the_order_of_what_was_refused_is_kept(tmp_path: Path) -> None:
    """Also for what follows on its topic while the first is tried again."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite anomalite/press/status\ntopic read #\n")
    with mosquitto.running(tmp_path / "broker", f"acl_file {acl}") as broker, Gateway(broker.port).connect() as gateway:
        peer = Peer(broker.port, "a")
        for token in range(10):
            assert gateway.client.publish("a", b"%d" % token, retain=False, token=token)
        until(lambda: gateway.client.problems)
        for token in range(10, 20):
            assert gateway.client.publish("a", b"%d" % token, retain=False, token=token)
        acl.write_text("topic readwrite #\n")
        broker.reload()
        until(lambda: len(peer.messages) == 20)
        assert peer.payloads("a") == [b"%d" % token for token in range(20)]
        peer.close()


def test_a_subscription_that_the_broker_refuses_is_a_problem() -> None:
    """Mosquitto accepts all and says nothing, so this is a broker of a few bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        with Gateway(listener.getsockname()[1], version="3.1.1", topics=("a", "b")) as gateway:
            other, _ = listener.accept()
            with other:
                other.settimeout(PATIENCE_S)
                assert other.recv(1000)[:1] == b"\x10"
                other.sendall(b"\x20\x02\x00\x00")
                received = b""
                while b"\x82" not in received:
                    received += other.recv(1000)
                at = received.index(b"\x82")
                other.sendall(b"\x90\x04" + received[at + 2 : at + 4] + b"\x01\x80")
                until(lambda: gateway.client.problems)
                assert gateway.client.problems == (
                    f"the broker {gateway.client.broker} refuses the subscription to b: Unspecified error",
                )


@pytest.mark.parametrize("topic", ["a/+/b", "a/#", "", "a\0b", "a\x1fb", "a\ud800b", "a\ufffeb", "x" * 70_000])
def test_a_topic_that_no_broker_takes_does_not_end_the_connection(broker: mosquitto.Broker, topic: str) -> None:
    """A machine may be called as it likes."""
    with Gateway(broker.port).connect() as gateway:
        assert gateway.client.publish(topic, b"", retain=False, token=1)
        assert "topic" in until(lambda: gateway.client.problems)[0]
        assert gateway.client.publish("anomalite/Bär \u200d☃", b"", retain=False, token=2)
        assert until(gateway.client.acknowledged) == [2]
        assert gateway.client.reconnects == 0


def test_a_packet_larger_than_the_broker_takes_is_refused(tmp_path: Path) -> None:
    """Sent, it would end this connection and all that follow."""
    with (
        mosquitto.running(tmp_path / "broker", "max_packet_size 2000") as broker,
        Gateway(broker.port).connect() as gateway,
    ):
        assert gateway.client.publish("anomalite/press/alerts/m", b"x" * 3000, retain=False, token=1)
        assert "and the broker takes 2000" in until(lambda: gateway.client.problems)[0]
        assert gateway.client.reconnects == 0


def test_the_status_is_retained_and_a_stop_says_off(broker: mosquitto.Broker) -> None:
    """For one that looks later."""
    with Gateway(broker.port).connect():
        early = Peer(broker.port, "anomalite/press/status")
        until(lambda: early.messages)
        assert json.loads(early.messages[0].payload) == {"online": True, "version": "1"}
    late = Peer(broker.port, "anomalite/press/status")
    until(lambda: late.messages)
    assert late.messages[0].retain
    assert json.loads(late.messages[0].payload) == {"online": False}
    early.close()
    late.close()


@VERSIONS
def test_a_gateway_that_replaces_a_lost_one_is_on(broker: mosquitto.Broker, version: str) -> None:
    """The broker, which had not noticed that the old one is gone, says first that it is."""
    watcher = Peer(broker.port, "anomalite/press/status")
    with (
        Network(broker.port) as network,
        Gateway(network.port, version=version, timing=QUICK._replace(stop=0.0)).connect(),
    ):
        network.stall()
        with Gateway(broker.port, version=version).connect() as new:
            new.publish_all(1)  # whatever the broker has to say of the old one, it has said
            said = [
                json.loads(payload)["online"] for payload in until(lambda: watcher.payloads("anomalite/press/status"))
            ]
            assert said[-1] is True
            assert new.client.reconnects == 0
            network.cut()
    watcher.close()


# Coming in


@VERSIONS
def test_a_refused_login_is_tried_again_until_it_is_taken(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason where a person sees it, and the password nowhere."""
    monkeypatch.setenv("TEST_PASSWORD", "s3cret")
    with (
        mosquitto.running(tmp_path / "broker", users={"press": "other"}) as broker,
        Gateway(broker.port, version=version, user="press") as gateway,
    ):
        until(lambda: len(gateway.log) >= 3, "several attempts")
        assert not gateway.client.is_connected
        assert (
            "refuses the login: Not authorized" in gateway.client.problems[0]
            or "Bad user" in gateway.client.problems[0]
        )
        broker.stop()
        broker.configure(users={"press": "s3cret"})
        broker.start()
        gateway.connect()
        assert gateway.client.problems == ()
        assert "s3cret" not in repr(gateway.log)
        assert gateway.client.reconnects == 0


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """It may start after the gateway, and have no name yet."""
    broker = mosquitto.Broker(tmp_path / "broker")
    with Gateway(broker.port) as gateway:
        until(lambda: len(gateway.log) >= 3, "several attempts")
        assert gateway.client.problems == (f"no connection to the broker 127.0.0.1:{broker.port}: Connection refused",)
        assert not gateway.client.publish("a", b"", retain=False, token=1)
        broker.start()
        try:
            gateway.connect()
        finally:
            broker.kill()
    with Gateway(1, host="broker.invalid") as nowhere:
        until(lambda: nowhere.client.last_error)
        assert "the name of the broker is not known" in nowhere.client.problems[0]


def test_a_port_that_speaks_something_else_is_survived() -> None:
    """Bytes that are no MQTT, and silence."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        with Gateway(listener.getsockname()[1], timing=QUICK._replace(connect=0.3)) as gateway:
            for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x20\x03\x00", b"\x20\xff\xff\xff\xff\x01", b"\x20\x05\x00\x00\x02\xff\xff", b"\x30\x02\xff\xff" * 9):  # fmt: skip
                count = len(gateway.log)
                other, _ = listener.accept()
                other.sendall(answer)
                until(lambda count=count: len(gateway.log) > count, repr(answer))  # type: ignore[misc]
                other.close()
            assert gateway.client._thread.is_alive()
            assert all(name == "broker_lost" for name, _ in gateway.log)


def test_waits_between_attempts_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubled up to the longest, each a little different."""
    with Gateway(mosquitto.free_port(), timing=Timing(first_wait=0.04, longest_wait=0.3)) as gateway:
        until(lambda: len(gateway.log) >= 7)
    for (_, fields), longest in zip(gateway.log, [0.04, 0.08, 0.16, 0.3, 0.3, 0.3, 0.3], strict=False):
        assert longest / 2 - 0.051 <= fields["again_in_s"] <= longest + 0.051  # the log says tenths


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a CA, servers and a client."""
    return mosquitto.certificates(tmp_path_factory.mktemp("certificates"))


@VERSIONS
def test_a_broker_with_a_good_certificate_is_trusted(tmp_path: Path, certificates: Path, version: str) -> None:
    """And messages go both ways."""
    with (
        mosquitto.running(tmp_path / "broker", *mosquitto.tls_options(certificates)) as broker,
        Gateway(
            broker.port, version=version, tls=TLS(ca_file=str(certificates / "ca.pem")), topics=("anomalite/#",)
        ).connect() as gateway,
    ):
        gateway.publish_all(0)
        for token in range(10):
            assert gateway.client.publish("anomalite/x", b"%d" % token * 10_000, retain=False, token=token)
        got = gateway.take(11)
        assert [payload for payload in got if payload[:1] != b"{"] == [b"%d" % token * 10_000 for token in range(10)]


# A broker that hangs up while CPython wraps the socket leaves that to the collector (ssl.SSLSocket._create).
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize(
    ("server", "authority", "error"),
    [
        ("server", "stranger", "certificate is not accepted"),
        ("expired", "ca", "certificate has expired"),
        ("elsewhere", "ca", "IP address mismatch"),
    ],
)
def test_a_broker_with_a_bad_certificate_is_not_trusted_until_it_has_a_good_one(
    tmp_path: Path, certificates: Path, server: str, authority: str, error: str
) -> None:
    """It is tried again for ever; verification can be turned off, which the log says."""
    with mosquitto.running(tmp_path / "broker", *mosquitto.tls_options(certificates, server)) as broker:
        with Gateway(broker.port, tls=TLS(ca_file=str(certificates / f"{authority}.pem"))) as gateway:
            until(lambda: len(gateway.log) >= 2, "several attempts")
            assert error in gateway.client.problems[0]
            assert not gateway.client.is_connected
            if server != "server":
                broker.stop()
                broker.configure(*mosquitto.tls_options(certificates))
                broker.start()
                gateway.connect()
        if server != "server":
            broker.stop()
            broker.configure(*mosquitto.tls_options(certificates, server))
            broker.start()
        with Gateway(broker.port, tls=TLS(verify=False)).connect() as blind:
            assert blind.log[0] == ("broker_not_verified", {"level": "warning", "broker": blind.client.broker})


def test_a_broker_that_asks_for_a_certificate_gets_it(tmp_path: Path, certificates: Path) -> None:
    """Without one there is no connection, and the reason says so."""
    ca = str(certificates / "ca.pem")
    own = TLS(ca_file=ca, cert_file=str(certificates / "client.pem"), key_file=str(certificates / "client.key"))
    with mosquitto.running(tmp_path / "broker", *mosquitto.tls_options(certificates, of_client=True)) as broker:
        with Gateway(broker.port, tls=own).connect():
            pass
        with Gateway(broker.port, tls=TLS(ca_file=ca)) as gateway:
            until(lambda: gateway.log)
            assert "it may want a certificate of the gateway" in gateway.client.problems[0]
        with Gateway(broker.port, tls=dataclasses.replace(own, key_file=str(tmp_path / "none.key"))) as gateway:
            until(lambda: gateway.log)
            assert "No such file" in gateway.client.problems[0]
