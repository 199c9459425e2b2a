"""The whole gateway and a real broker that is away, refuses, stalls or is slow: every alert arrives once by its id, and in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import broker as mosquitto
import handmade
import numpy as np
import pytest
from network import Network
from peer import Peer, until

from edge_runtime import load
from edge_runtime.gateway.assemble import assemble
from edge_runtime.gateway.clock import SystemClock
from edge_runtime.gateway.config import GatewayConfig
from edge_runtime.gateway.config_file import parse_config, resolved
from edge_runtime.gateway.gateway import Gateway
from edge_runtime.gateway.mqtt import MqttClient
from edge_runtime.gateway.mqtt_login import Timing
from edge_runtime.gateway.seen import Seen

QUICK = Timing(first_wait=0.05, longest_wait=0.3, connect=5.0, answer=2.0, stop=3.0)
START = 1_790_000_000
CONFIGURATION = """
name = "hall"
[mqtt]
host = "127.0.0.1"
port = {port}
{mqtt}
[storage]
folder = "store"
[[groups]]
bundle = "pump.anomalite"
lines = "readings.jsonl"
machines = ["a", "b"]
[groups.payload]
time = "ts"
machine = "m"
"""


class Plant:
    """Two machines whose readings are in a file, a broker, and a consumer of alerts that the broker keeps them for."""

    def __init__(self, folder: Path, broker: mosquitto.Broker) -> None:
        self.folder, self.broker = folder, broker
        self.logged: list[str] = []
        handmade.sealed(folder / "pump.anomalite")
        rng = np.random.default_rng(5)
        self._values = rng.normal(0, 0.2, (2, 600, 2))
        for machine in range(2):
            for at in range(10 + machine, 600, 12):
                self._values[machine, at : at + 3] += 6
        self._written = 0
        self.consumer = Peer(broker.open_port, "anomalite/hall/alerts/#", name="consumer")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, readings: int) -> None:
        """So many more of each machine."""
        with (self.folder / "readings.jsonl").open("a") as file:
            for row in range(self._written, self._written + readings):
                for machine, name in enumerate("ab"):
                    c0, c1 = self._values[machine, row]
                    print(json.dumps({"m": name, "ts": START + row, "c0": c0, "c1": c1}), file=file)
        self._written += readings

    def expected(self) -> dict[str, list[tuple[str, float]]]:
        """What the readings written so far must have raised and cleared, in order."""
        found = {}
        for machine, name in enumerate("ab"):
            values = self._values[machine, : self._written]
            verdicts = load(self.folder / "pump.anomalite").score(values, np.arange(self._written) + float(START))
            found[name] = [(alert.kind, alert.time.timestamp()) for alert in verdicts.alerts()]
        return found

    def told(self) -> dict[str, list[tuple[str, float]]]:
        """What the consumer heard, without repeats."""
        first: dict[str, Any] = {}
        for message in list(self.consumer.messages):
            said = json.loads(message.payload)
            assert first.setdefault(said["id"], said) == said, "a repeat says the same"
        found: dict[str, list[tuple[str, float]]] = {"a": [], "b": []}
        for said in first.values():
            found[said["machine"]].append((said["kind"], datetime.fromisoformat(said["time"]).timestamp()))
        return found

    def start(self, port: int, mqtt: str = "") -> None:
        """A gateway, in a thread."""
        text = CONFIGURATION.format(port=port, mqtt=mqtt)
        config = resolved(parse_config(text.encode(), "test"), str(self.folder))
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(config,))
        self._thread.start()

    def _run(self, config: GatewayConfig) -> None:
        clock = SystemClock()
        gateway: Gateway = assemble(
            config, clock, self._log, Seen(clock.monotonic, clock.wall), "1", connect=self._connect  # type: ignore[arg-type]
        )  # fmt: skip
        self.gateway = gateway
        gateway.run(lambda: not self._stopping.is_set())

    def _connect(
        self, config: GatewayConfig, topics: Any, forgotten: Any, inbox: Any, log: Any, version: str
    ) -> MqttClient:
        assert config.mqtt is not None
        return MqttClient(config.mqtt, config.name, topics, inbox, inbox.wake, log, password="right", timing=QUICK)

    def _log(self, name: str, level: str | None = None, **fields: Any) -> None:
        self.logged.append(name)

    def until_raised(self) -> None:
        """The gateway has found everything there is in the readings, and it is stored."""
        count = sum(len(alerts) for alerts in self.expected().values())
        until(
            lambda: sum(name in ("alert_raised", "alert_cleared") for name in self.logged) == count, "alerts are raised"
        )

    def until_told(self) -> None:
        """The consumer knows of everything, in order."""
        expected = self.expected()
        try:
            until(lambda: self.told() == expected, "alerts arrive")
        except AssertionError:
            assert self.told() == expected
            raise

    def stop(self) -> None:
        """Whatever runs."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a CA and servers."""
    return mosquitto.certificates(tmp_path_factory.mktemp("certificates"))


KEEPS = ("max_queued_messages 0", "autosave_on_changes true", "autosave_interval 1")
"""A broker that loses nothing of the consumer's, even killed."""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """With a broker that works."""
    with mosquitto.running(tmp_path / "broker", *KEEPS) as broker:
        plant = Plant(tmp_path, broker)
        yield plant
        plant.stop()
        plant.consumer.close()


Outage = Callable[[Plant], None]


def restarted(plant: Plant, end: Callable[[], None], *options: str, users: dict[str, str] | None = None) -> None:
    """The broker ends, alerts are raised, and it comes again with this configuration."""
    end()
    plant.write(60)
    plant.until_raised()
    plant.broker.configure(*KEEPS, *options, users=users)
    plant.broker.start()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_broker_that_was_away(plant: Plant, how: str) -> None:
    """With readings before, meanwhile and after."""
    plant.write(60)
    plant.start(plant.broker.port)
    plant.until_told()
    restarted(plant, plant.broker.stop if how == "stopped" else plant.broker.kill)
    plant.write(60)
    plant.until_told()


def test_a_broker_that_refuses_the_login(plant: Plant) -> None:
    """Until someone corrects its passwords."""
    plant.write(60)
    plant.start(plant.broker.port, 'user = "hall"')
    plant.until_told()
    restarted(plant, plant.broker.stop, users={"hall": "wrong"})
    until(lambda: plant.logged.count("broker_lost") >= 4)
    assert plant.told() != plant.expected()
    restarted(plant, plant.broker.stop, users={"hall": "right"})
    plant.until_told()


# A broker that hangs up while CPython wraps the socket leaves that to the collector (ssl.SSLSocket._create).
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_broker_whose_certificate_expired(plant: Plant, certificates: Path) -> None:
    """Until it has a new one."""
    good, expired = mosquitto.tls_options(certificates), mosquitto.tls_options(certificates, "expired")
    plant.broker.stop()
    plant.broker.configure(*KEEPS, *good)
    plant.broker.start()
    plant.write(60)
    plant.start(plant.broker.port, f'[mqtt.tls]\nca_file = "{certificates}/ca.pem"')
    plant.until_told()
    restarted(plant, plant.broker.stop, *expired)
    until(lambda: plant.logged.count("broker_lost") >= 4)
    assert plant.told() != plant.expected()
    restarted(plant, plant.broker.stop, *good)
    plant.until_told()


def test_a_broker_that_takes_nothing(plant: Plant) -> None:
    """It says so of each alert, until it takes them."""
    acl = plant.folder / "acl"
    acl.write_text("topic read #\n")
    plant.broker.stop()
    plant.broker.configure(*KEEPS, f"acl_file {acl}")
    plant.broker.start()
    plant.start(plant.broker.port)
    plant.write(60)
    plant.until_raised()
    until(lambda: plant.logged.count("publication_refused") >= 10)
    assert plant.told() == {"a": [], "b": []}
    acl.write_text("topic readwrite #\n")
    plant.broker.reload()
    plant.write(60)
    plant.until_told()


def test_a_broker_that_stalls(plant: Plant) -> None:
    """For longer than a publication may take."""
    plant.start(plant.broker.port)
    plant.write(60)
    plant.until_told()
    plant.broker.pause()
    plant.write(60)
    plant.until_raised()
    until(lambda: "broker_lost" in plant.logged)
    plant.broker.resume()
    plant.write(60)
    plant.until_told()


def test_a_network_that_is_slow_and_cut_within_packets(plant: Plant) -> None:
    """Again and again."""
    with Network(plant.broker.port) as network:
        plant.start(network.port)
        network.slow_down(30_000)
        for cuts, after in enumerate((1, 100, 777, 1500, 3000), 1):
            plant.write(40)
            network.cut_after(after)
            until(lambda: plant.logged.count("broker_lost") >= cuts)  # noqa: B023 - it is called now
        network.cut()
        plant.write(60)
        plant.until_raised()
        network.repair()
        plant.until_told()
        plant.stop()


def test_a_gateway_that_was_stopped_while_the_broker_was_away(plant: Plant) -> None:
    """The next one sends what the first could not, and goes on in the file where that was."""
    plant.start(plant.broker.port)
    plant.write(60)
    plant.until_told()
    plant.broker.stop()
    plant.write(60)
    plant.until_raised()
    plant.stop()
    plant.write(60)
    plant.broker.start()
    plant.start(plant.broker.port)
    plant.until_told()
    plant.stop()
    assert plant.gateway.parts.publisher is not None
    assert plant.gateway.parts.publisher.unacknowledged == 0


def test_a_gateway_that_is_stopped_knows_what_the_broker_has(plant: Plant) -> None:
    """What it raised in its last moment is sent, and the next one sends nothing again."""
    plant.start(plant.broker.port)
    until(lambda: "broker_connected" in plant.logged)
    plant.write(60)
    plant.until_raised()
    plant.stop()
    plant.until_told()
    plant.start(plant.broker.port)
    plant.write(60)
    plant.until_told()
    plant.stop()
    assert len(plant.consumer.messages) == sum(len(alerts) for alerts in plant.expected().values())
