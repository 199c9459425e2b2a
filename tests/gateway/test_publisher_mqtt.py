"""Store, publisher and client together, against a real Mosquitto that dies, and a network that is cut in the middle of a publish."""

from __future__ import annotations

import random
from pathlib import Path

import broker as mosquitto
import pytest
from network import Network
from peer import Peer, until
from stored import START, SetClock, message, raised

from edge_runtime.gateway.config import MQTT, Storage
from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.mqtt import MqttClient
from edge_runtime.gateway.mqtt_login import Timing
from edge_runtime.gateway.publisher import Publisher
from edge_runtime.gateway.store import Store
from edge_runtime.gateway.store_rows import Changes

TOPIC = message("").topic
QUICK = Timing(first_wait=0.05, longest_wait=0.2, connect=5.0, answer=30.0, stop=5.0)


class Process:
    """A gateway's store and its way out."""

    def __init__(self, folder: Path, port: int) -> None:
        self.store = Store(str(folder), Storage(folder=str(folder)), SetClock())
        self.inbox = Inbox()
        configuration = MQTT(host="127.0.0.1", port=port)
        self.client = MqttClient(
            configuration, "press", [], self.inbox, self.inbox.wake, lambda *of, **fields: None, timing=QUICK
        )
        self.publisher = Publisher(self.store, self.client)
        self.client.start()

    def tick(self) -> bool:
        """Send, and delete what is delivered; whether nothing waits any more."""
        changes = Changes()
        changes.delivered += self.publisher.pump()
        self.store.commit(changes)
        return self.store.waiting_count() == 0

    def end(self) -> None:
        """Without sending what waits, as after a crash."""
        self.client.stop()
        self.store.close()


@pytest.mark.parametrize("seed", range(2))
def test_alerts_arrive_whatever_happens(tmp_path: Path, seed: int) -> None:
    """Each at least once, for the first time in the order they were raised, and nothing waits in the end."""
    generator = random.Random(seed)
    with mosquitto.running(tmp_path / "broker") as broker, Network(broker.port) as network:
        peer = Peer(broker.port, TOPIC, name="control-room")
        process = Process(tmp_path / "store", network.port)
        expected = []
        for round_ in range(12):
            for number in range(round_ * 40, round_ * 40 + 40):
                changes = raised(f"{number:04}", START + number, None)
                expected += [each.payload for each in changes.outbox]
                process.store.commit(changes)
                process.tick()
            until(lambda process=process: process.tick() or process.client.is_connected)
            event = generator.choice(("cut", "crash", "broker"))
            if event == "cut":
                network.cut_after(generator.randrange(1, 3000))
            elif event == "crash":
                process.end()
                process = Process(tmp_path / "store", network.port)
            else:
                broker.stop()  # it stores what it acknowledged; killed, it would forget up to half an hour of it
                broker.start()
        until(process.tick, "everything is delivered")
        first = until(lambda: (seen := list(dict.fromkeys(peer.payloads(TOPIC))))[-1:] == expected[-1:] and seen)
        assert first == expected
        process.end()
        peer.close()
