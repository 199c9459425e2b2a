"""What a connection to a broker begins with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edge_runtime.gateway.config import MQTT, TLS

RECEIVE_MAXIMUM = 2000
"""Messages the broker may send before the first of them is acknowledged (MQTT 5): a second of a busy plant, for as long as the disk may
take. With 3.1.1 the broker's own limit holds, which is 20 in Mosquitto (`max_inflight_messages`)."""

MESSAGE_LIMIT = 2**20
"""Bytes of a payload, unless a group reads larger ones. With MQTT 5 the broker does not send a larger one; with 3.1.1 it does, and it is dropped."""


class Timing(NamedTuple):
    """How long is waited, in seconds."""

    first_wait: float = 1.0
    """Before the second attempt to connect; doubled before each further one."""
    longest_wait: float = 60.0
    connect: float = 10.0
    """For the network, and then for the answer to the login."""
    answer: float = 60.0
    """For the acknowledgement of a publication."""
    stop: float = 3.0


class Login(NamedTuple):
    """What a connection begins with."""

    host: str
    port: int
    version: str
    """`3.1.1` or `5`."""
    client_id: str
    keepalive_s: int
    user: str | None
    password: str | None
    tls: TLS | None
    status_topic: str
    online: bytes
    offline: bytes
    """The payloads of the status topic; the second is the last will."""
    subscriptions: Sequence[tuple[str, int]]
    forgotten: Sequence[str]
    """Topic filters of an earlier configuration, which the broker's session may still hold."""
    session_expiry_s: int
    receive_maximum: int
    message_limit: int
    connect_timeout_s: float
    answer_timeout_s: float
    """When publications wait and the broker acknowledges none for so long, the connection ends; they are sent again on the next."""


def login_of(
    config: MQTT,
    name: str,
    subscriptions: Sequence[tuple[str, int]],
    *,
    password: str | None = None,
    about: Mapping[str, Any] | None = None,
    forgotten: Sequence[str] = (),
    message_limit: int = MESSAGE_LIMIT,
    timing: Timing,
) -> Login:
    """The login of the gateway called `name`; see `mqtt.MqttClient` for what these are."""
    return Login(
        host=config.host,
        port=config.broker_port,
        version=config.version,
        client_id=config.client_id or f"anomalite-{name}",
        keepalive_s=max(1, config.keepalive_s),
        user=config.user,
        password=password,
        tls=config.tls,
        status_topic=f"{config.prefix}/{name}/status",
        online=json.dumps({"online": True, **(about or {})}).encode(),
        offline=json.dumps({"online": False}).encode(),
        subscriptions=tuple(subscriptions),
        forgotten=tuple(forgotten),
        session_expiry_s=config.session_expiry_s,
        receive_maximum=RECEIVE_MAXIMUM,
        message_limit=message_limit,
        connect_timeout_s=timing.connect,
        answer_timeout_s=timing.answer,
    )
