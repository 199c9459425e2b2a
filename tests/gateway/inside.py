"""A whole gateway without threads and network: its clock, its broker and its crashes are the test's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.gateway.assemble import assemble
from edge_runtime.gateway.config import GatewayConfig
from edge_runtime.gateway.config_file import parse_config, resolved
from edge_runtime.gateway.gateway import Gateway
from edge_runtime.gateway.message import Message
from edge_runtime.gateway.seen import Seen

START = 1_790_000_000.0
"""Where the wall clock begins, seconds since 1970."""


class TestClock:
    """Goes on when it is told to."""

    __test__ = False

    def __init__(self) -> None:
        self.moment, self.ahead, self.boot_id = 1_000.0, START - 1_000.0, "boot-1"

    def monotonic(self) -> float:
        return self.moment

    def wall(self) -> float:
        return self.moment + self.ahead

    def boot(self) -> str:
        return self.boot_id

    def go(self, seconds: float) -> None:
        """Time passes."""
        self.moment += seconds

    def set(self, seconds: float) -> None:
        """Somebody sets the wall clock, by so much."""
        self.ahead += seconds

    def power_cut(self, seconds: float) -> None:
        """Off for so long; the monotonic clock begins anew, the wall clock is right."""
        wall = self.wall() + seconds
        self.moment, self.boot_id = 30.0, self.boot_id + "1"
        self.ahead = wall - self.moment


class TestBroker:
    """Keeps what the gateway has not acknowledged, and everything the gateway said."""

    __test__ = False

    def __init__(self, clock: TestClock) -> None:
        self._clock = clock
        self.unacknowledged: list[tuple[str, bytes]] = []
        """Sent to the gateway, or waiting for it, and not acknowledged."""
        self.heard: list[tuple[str, dict[str, Any]]] = []
        """Topic and content of everything the gateway published."""
        self.answers = True
        """Whether it acknowledges what the gateway publishes."""
        self.client: TestClient | None = None

    def connect(self, *_: Any) -> TestClient:
        """For `assemble`."""
        self.client = TestClient(self)
        return self.client

    def send(self, topic: str, content: object) -> None:
        """Somebody publishes for the gateway."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.unacknowledged.append((topic, payload))

    def alerts(self) -> list[dict[str, Any]]:
        """Alert events in the order of their first arrival, repeats dropped by id; a repeat says the same to the bit."""
        first: dict[str, dict[str, Any]] = {}
        for topic, content in self.heard:
            if "/alerts/" in topic:
                assert first.setdefault(content["id"], content) == content
        return list(first.values())


class TestClient:
    """One connection to it: a `Source`, and what the gateway publishes through."""

    __test__ = False
    last_error = None
    problems = ()
    reconnects = 0

    def __init__(self, broker: TestBroker) -> None:
        self._broker = broker
        self._given = 0
        self._tokens: list[int] = []
        self.is_connected = True

    def start(self) -> None: ...

    def pause(self) -> None: ...

    def stop(self) -> None: ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            assert (message.topic, message.payload) == self._broker.unacknowledged.pop(0)
            self._given -= 1

    def messages(self, most: int) -> list[Message]:
        """What comes next, at most so many."""
        new = self._broker.unacknowledged[self._given : self._given + most]
        self._given += len(new)
        return [Message(self, topic, payload, self._broker._clock.monotonic(), 1) for topic, payload in new]

    def publish(self, topic: str, payload: bytes, *, retain: bool, token: int) -> bool:
        if not self.is_connected:
            return False
        self._broker.heard.append((topic, json.loads(payload or b"{}")))
        if self._broker.answers:
            self._tokens.append(token)
        return True

    def acknowledged(self) -> list[int]:
        tokens, self._tokens = self._tokens, []
        return tokens

    def lost(self) -> list[int]:
        return []


class Bench:
    """Starts gateways, one after the other, on the same folder, broker and clock."""

    def __init__(self, folder: Path, text: str) -> None:
        """`text`: the groups and what else a configuration needs beside name, broker and storage."""
        self.folder = folder
        self.clock = TestClock()
        self.broker = TestBroker(self.clock)
        self.logged: list[tuple[str, dict[str, Any]]] = []
        whole = (
            f'name = "hall"\n[mqtt]\ncommands = true\n[storage]\nfolder = "store"\njournal_folder = "journal"\n{text}'
        )
        self.config: GatewayConfig = resolved(parse_config(whole.encode(), "test"), str(folder))
        self.seen = Seen(self.clock.monotonic, self.clock.wall)
        self.gateway: Gateway | None = None

    def log(self, name: str, level: str | None = None, **fields: Any) -> None:
        self.logged.append((name, fields))

    def start(self) -> Gateway:
        """Another process."""
        self.gateway = assemble(
            self.config,
            self.clock,
            self.log,
            self.seen,
            "test",
            connect=self.broker.connect,  # type: ignore[arg-type]
        )
        return self.gateway

    def tick(self, most: int = 1000) -> None:
        """The gateway takes what the broker has for it, at most so many messages."""
        assert self.gateway is not None
        assert self.broker.client is not None
        self.gateway.tick(self.broker.client.messages(most))

    def crash(self) -> None:
        """kill -9: nothing more is written; what the system held for the process is given back."""
        assert self.gateway is not None
        parts = self.gateway.parts
        parts.store.close()
        parts.keeper.journal.close()
        self.gateway = None

    def feed(self, topic: str, contents: Iterable[object], *, each_s: float = 1.0) -> None:
        """Publish and tick, one by one, as time passes."""
        for content in contents:
            self.broker.send(topic, content)
            self.tick()
            self.clock.go(each_s)
