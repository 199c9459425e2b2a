"""Asks the broker: does it answer, let the gateway in, and let it hear and say what it has to?"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edge_runtime.gateway.check_finding import Finding, fine, note, wrong
from edge_runtime.gateway.config import MQTT, TLS, GatewayConfig
from edge_runtime.gateway.mqtt_socket import describe, tls_context
from edge_runtime.gateway.topics import Topics

if TYPE_CHECKING:
    from paho.mqtt.client import Client

WAIT_S = 5.0
"""For each answer of the broker."""
SOON_DAYS = 30


def broker_findings(config: GatewayConfig, mqtt: MQTT, password: str | None) -> list[Finding]:
    """What the broker says to a login, to the subscriptions and to a publication; it takes at most three times `WAIT_S`.

    An empty message, not retained, goes to `PREFIX/NAME/check`.
    """
    where = f"{mqtt.host}:{mqtt.broker_port}"
    subscriptions = Topics(config.groups).subscriptions
    own = f"{mqtt.prefix}/{config.name}"
    if mqtt.commands:
        subscriptions.append((f"{own}/commands", 1))
    trial = _Trial(mqtt, config.name, password)
    try:
        findings = [] if mqtt.tls is None else _certificate_findings(where, mqtt, mqtt.tls)
        fault = trial.login()
        if fault:
            return [*findings, wrong("broker", f"{where}: {fault}")]
        findings += [
            fine("broker", f"{where}: lets {'user ' + mqtt.user if mqtt.user else 'anyone'} in, MQTT {mqtt.version}")
        ]
        return [
            *findings,
            *_subscription_findings(where, trial, subscriptions),
            *_publication_findings(where, trial, own),
        ]
    except (OSError, ValueError) as fault:  # ValueError: a host name that cannot be one
        return [wrong("broker", f"{where}: {_connection_fault(fault, mqtt)}")]
    finally:
        trial.close()


class _Trial:
    """One connection, under a client id of its own: with the gateway's the broker would end a running gateway's connection."""

    def __init__(self, mqtt: MQTT, name: str, password: str | None) -> None:
        from paho.mqtt.client import Client, MQTTv5, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        self._mqtt = mqtt
        self._accepted: Any = None
        self._granted: Any = None
        self._published: Any = None
        self.is_lost = False
        client_id = f"{mqtt.client_id or f'anomalite-{name}'}-check-{os.getpid()}"
        is_5 = mqtt.version == "5"
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            None if is_5 else True,  # clean_session: with MQTT 5 that is said when connecting, and is the default
            protocol=MQTTv5 if is_5 else MQTTv311,
            reconnect_on_failure=False,
        )
        self.client.connect_timeout = WAIT_S
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish
        self.client.on_disconnect = self._on_disconnect
        if mqtt.user is not None:
            self.client.username_pw_set(mqtt.user, password)
        if mqtt.tls is not None:
            self.client.tls_set_context(tls_context(mqtt.tls))

    def login(self) -> str | None:
        """Why the broker does not let the gateway in; None if it does. Raises `OSError`, `ValueError` if there is no connection."""
        self.client.connect(self._mqtt.host, self._mqtt.broker_port, 30)
        self.wait(lambda: self._accepted is not None)
        if self._accepted is None:
            end = (
                "ends the connection instead of an answer to the login" if self.is_lost else "does not answer the login"
            )
            return f"{end}: is this the port for MQTT {'with' if self._mqtt.tls else 'without'} TLS?"
        return f"refuses the login: {self._accepted}" if self._accepted.is_failure else None

    def subscribe(self, topic: str, qos: int) -> Any:
        """The broker's answer; None if there is none."""
        self._granted = None
        self.client.subscribe(topic, qos)
        self.wait(lambda: self._granted is not None)
        return self._granted

    def publish(self, topic: str) -> Any:
        """The broker's answer to an empty message; None if there is none."""
        self._published = None
        self.client.publish(topic, b"", 1)
        self.wait(lambda: self._published is not None)
        return self._published

    def wait(self, is_done: Callable[[], bool]) -> None:
        """Serve the connection until something is there, the connection ends, or `WAIT_S` has passed."""
        until = time.monotonic() + WAIT_S
        while not is_done() and not self.is_lost and time.monotonic() < until:
            self.is_lost = self.client.loop(0.1) != 0 or self.is_lost

    def close(self) -> None:
        """Say goodbye, if there is somebody to say it to."""
        with contextlib.suppress(OSError):
            self.client.disconnect()
            self.client.loop(0.1)
            sock = self.client.socket()
            if sock is not None:
                sock.close()

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._accepted = reason

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._granted = reasons[0]

    def _on_publish(self, _client: Client, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        self._published = reason

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        self.is_lost = True


def _subscription_findings(where: str, trial: _Trial, subscriptions: Sequence[tuple[str, int]]) -> list[Finding]:
    findings: list[Finding] = []
    for topic, qos in subscriptions:
        granted = trial.subscribe(topic, qos)
        if granted is None:
            return [*findings, wrong("subscribe", f"{where}: no answer to the subscription to {topic}")]
        if granted.is_failure:
            findings.append(wrong("subscribe", f"{where}: refuses {topic}: {granted}"))
        elif granted.value < qos:
            text = f"{where}: {topic} with QoS {granted.value} instead of {qos}: readings may get lost on the way"
            findings.append(note("subscribe", text))
        else:
            # Some brokers accept what they will not deliver: Mosquitto's acl_file is only asked for each message.
            findings.append(fine("subscribe", f"{where}: accepts {topic}, QoS {granted.value}"))
    return findings


def _publication_findings(where: str, trial: _Trial, own: str) -> list[Finding]:
    topic = f"{own}/check"
    answer = trial.publish(topic)
    if answer is None:
        return [wrong("publish", f"{where}: no answer to a message to {topic}")]
    if answer.is_failure:
        return [wrong("publish", f"{where}: refuses {own}/...: {answer}")]
    if trial.client.protocol == 5:
        return [fine("publish", f"{where}: accepts {own}/...")]
    return [
        fine("publish", f"{where}: acknowledges {own}/..., which with MQTT 3.1.1 it does even where it is not allowed")
    ]


def _certificate_findings(where: str, mqtt: MQTT, tls: TLS) -> list[Finding]:
    """Of the broker's certificate. Raises `OSError` where TLS is not spoken, or not accepted; paho would leave such a socket open."""
    with (
        socket.create_connection((mqtt.host, mqtt.broker_port), WAIT_S) as plain,
        tls_context(tls).wrap_socket(plain, server_hostname=mqtt.host) as encrypted,
    ):
        shown = encrypted.getpeercert()
    if not shown or "notAfter" not in shown:
        return []
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    days = (end - datetime.now(UTC)).days
    text = f"{where}: the broker's certificate is valid until {end:%Y-%m-%d}"
    return [note("broker", f"{text}, {days} days") if days < SOON_DAYS else fine("broker", text)]


def _connection_fault(fault: OSError | ValueError, mqtt: MQTT) -> str:
    """For people: why there is no connection."""
    is_own = isinstance(fault, (ssl.SSLCertVerificationError, socket.gaierror, TimeoutError, ConnectionRefusedError))
    hint = "" if is_own else f": is this the port for MQTT with{'' if mqtt.tls else 'out'} TLS?"
    return f"{describe(fault)}{hint}"
