"""Someone else at the broker, and waiting for what others do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 30.0


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Its value, as soon as it is true."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)  # the condition is of another program
    raise AssertionError(f"not within {PATIENCE_S} s: {what or condition}")


class Peer:
    """Someone else at the broker: sends readings, and sees what the gateway sends. paho's own loop, apart from what is tested."""

    def __init__(
        self, port: int, *topics: str, name: str = "", user: str | None = None, password: str | None = None
    ) -> None:
        from paho.mqtt.client import Client, MQTTMessage
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        self.messages: list[MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, name, clean_session=not name, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.username_pw_set(user, password)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = lambda client, data, message: self.messages.append(message)
        self._client.on_connect = lambda client, *rest: client.subscribe([(topic, 1) for topic in topics or ("none",)])
        self._client.on_subscribe = lambda *rest: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def send(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        """Returns when the broker has it."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE_S)

    def send_all(self, topic: str, payloads: list[bytes]) -> None:
        """Returns when the broker has them all."""
        infos = [self._client.publish(topic, payload, 1) for payload in payloads]
        for info in infos:
            info.wait_for_publish(PATIENCE_S)

    def payloads(self, topic: str) -> list[bytes]:
        """What came on the topic, in order."""
        return [bytes(message.payload) for message in list(self.messages) if message.topic == topic]

    def close(self) -> None:
        """Goodbye."""
        self._client.disconnect()
        self._client.loop_stop()
        # Without the cycle through its callbacks paho closes its sockets itself, and not when the collector comes around.
        self._client.on_connect = self._client.on_message = self._client.on_publish = self._client.on_subscribe = None
        del self._client
