"""The gateway as its users run it: a process beside a real broker, and somebody who listens to what it says. All waits are for events."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from broker import Broker
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.gateway.store_read import Reader, open_reader

PATIENCE_S = 30.0
"""How long an event is waited for before it is taken for one that never comes; nothing here measures speed."""
SERVE = (sys.executable, "-m", "edge_runtime.cli", "serve")
REPOSITORY = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """Of a process that runs this source on one thread."""
    given = {key: value for key, value in os.environ.items() if key not in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET")}
    return {**given, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **more}


def once(*arguments: str, given: bytes = b"", **more: str) -> subprocess.CompletedProcess[str]:
    """Run `serve` to its end, with `given` on standard input."""
    return subprocess.run(
        [*SERVE, *arguments], input=given.decode(), capture_output=True, text=True, timeout=PATIENCE_S, env=environment(**more)
    )  # fmt: skip


class Served:
    """One process. Its log is read as it is written."""

    def __init__(self, config: Path, *options: str, stdin: int = subprocess.DEVNULL, **more: str) -> None:
        """`more`: environment."""
        self.lines: list[str] = []
        """Of the log so far."""
        self.said: list[dict[str, str]] = []
        """To systemd."""
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.settimeout(0.1)
        address = f"\0anomalite-test-{os.getpid()}-{id(self)}"
        self._notify.bind(address)
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*SERVE, str(config), *options],
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(NOTIFY_SOCKET=f"@{address[1:]}", **more),
        )  # fmt: skip
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read, self._hear)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All of it so far."""
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _hear(self) -> None:
        while self.process.poll() is None:
            try:
                content = self._notify.recv(65_536).decode()
            except TimeoutError:
                continue
            with self._changed:
                self.said.append(dict(line.split("=", 1) for line in content.split("\n")))
                self._changed.notify_all()

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait for something to be true of `lines` or `said`."""
        with self._changed:
            end = time.monotonic() + PATIENCE_S
            while not until():
                assert self.process.poll() is None, f"it ended before {what} came:\n{self.log[-4000:]}"
                assert time.monotonic() < end, f"{what} never came:\n{self.log[-4000:]}"
                self._changed.wait(0.5)

    def wait_line(self, *words: str, count: int = 1) -> str:
        """The `count`-th line of the log with all these words in it."""

        def found() -> list[str]:
            return [line for line in self.lines if all(word in line for word in words)]

        self.wait(lambda: len(found()) >= count, f"a line with {words}")
        return found()[count - 1]

    def wait_ready(self, count: int = 1) -> Self:
        """Until it has said so for the `count`-th time."""
        self.wait(lambda: sum(each.get("READY") == "1" for each in self.said) >= count, "READY=1")
        return self

    def reload(self) -> None:
        """SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self._end()

    def stop(self) -> float:
        """SIGTERM; returns the seconds that it took. The exit status must be 0."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        took = time.monotonic() - begin
        self._end()
        assert status == 0, f"exit status {status}:\n{self.log[-4000:]}"
        return took

    def _end(self) -> None:
        self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self.close()

    def close(self) -> None:
        """Whatever happened: it runs no more."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._notify.close()


@contextmanager
def serving(config: Path, *options: str, **more: Any) -> Iterator[Served]:
    """A gateway for as long as the block."""
    served = Served(config, *options, **more)
    try:
        yield served.wait_ready()
    except BaseException:
        print(f"--- the gateway's log\n{served.log[-6000:]}")
        raise
    finally:
        served.close()


class Plant:
    """The machines' end of the broker, and everybody who listens to the gateway: one client for both."""

    def __init__(
        self, port: int, prefix: str = "anomalite/hall", *, user: str | None = None, password: str | None = None
    ) -> None:
        self.forgets = False
        """Whether the gateway was killed where it could keep nothing of what it had told: an alert may end again, at another time."""
        self.heard: list[tuple[str, Any]] = []
        """Topic and content of everything the gateway said."""
        self._prefix = prefix
        self._changed = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._take
        self._is_subscribed = threading.Event()
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._is_subscribed.set()
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._is_subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # Without the cycle through its callbacks paho closes its sockets itself, and not when the collector comes around.
        self._client.on_connect = self._client.on_message = self._client.on_publish = self._client.on_subscribe = None
        del self._client

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe(f"{self._prefix}/#", 1)

    def _take(self, _client: Any, _data: Any, message: Any) -> None:
        with self._changed:
            self.heard.append((message.topic, json.loads(message.payload or b"null")))
            self._changed.notify_all()

    def send(self, topic: str, content: object, *, retain: bool = False) -> mqtt.MQTTMessageInfo:
        """Publish with QoS 1, without waiting."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self._client.publish(topic, payload, 1, retain)

    def send_all(self, topic: str, contents: Sequence[object]) -> None:
        """Publish, and wait until the broker has all of it."""
        for info in [self.send(topic, content) for content in contents]:
            info.wait_for_publish(PATIENCE_S)
            assert info.is_published()

    def wait(self, until: Callable[[], Any], what: str) -> None:
        """Wait for something to be true of what was heard."""
        with self._changed:
            end = time.monotonic() + PATIENCE_S
            while not until():
                assert time.monotonic() < end, f"{what} never came; heard was {self.heard[-20:]}"
                self._changed.wait(0.5)

    def wait_online(self, count: int = 1) -> None:
        """Until the gateway has said so for the `count`-th time: whatever is published from now on reaches it."""
        topic = f"{self._prefix}/status"
        self.wait(lambda: self.heard.count((topic, self._last_online(topic))) >= count, "online")

    def _last_online(self, topic: str) -> Any:
        return next((content for name, content in reversed(self.heard) if name == topic and content["online"]), None)

    def alerts(self, *kinds: str) -> list[dict[str, Any]]:
        """Events by their first arrival, repeats dropped; a repeat must say the same, unless `forgets`."""
        first: dict[str, dict[str, Any]] = {}
        for topic, content in list(self.heard):
            if topic.startswith(f"{self._prefix}/alerts"):
                assert first.setdefault(content["id"], content) == content or self.forgets
        return [alert for alert in first.values() if not kinds or alert["kind"] in kinds]

    def wait_alerts(self, count: int, *kinds: str) -> list[dict[str, Any]]:
        """The first so many."""
        self.wait(lambda: len(self.alerts(*kinds)) >= count, f"{count} alerts {kinds}")
        return self.alerts(*kinds)[:count]

    def states(self, machine: str) -> list[str]:
        """All that the machine was said to be, in order."""
        return [
            content["state"] for topic, content in list(self.heard) if topic == f"{self._prefix}/machines/{machine}"
        ]

    def wait_state(self, machine: str, state: str) -> None:
        """Until that is what it is."""
        self.wait(lambda: self.states(machine)[-1:] == [state], f"{machine} {state}")


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body of a page of the gateway."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_page(port: int, path: str, until: Callable[[int, str], Any]) -> str:
    """Ask for a page until it says so: there is nothing else to wait on. Returns it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        status, body = fetch(port, path)
        if until(status, body):
            return body
        assert time.monotonic() < end, f"{path} never said so; the last was {status} {body[:3000]}"
        time.sleep(0.2)


def metric(page: str, name: str) -> dict[str, float]:
    """Of /metrics: the values of a metric by its labels as they stand there."""
    rows = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return {row[0][len(name) :]: float(row[1]) for row in rows}


def configuration(
    folder: Path, broker: Broker | None, groups: str, top: str = "", mqtt: str = "", storage: str = ""
) -> Path:
    """Write GATEWAY.toml and return its path; `top`: keys and tables beside, `mqtt` and `storage`: lines of those tables."""
    text = f'name = "hall"\n{top}\n'
    if broker is not None:
        text += f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n{mqtt}\n'
    text += f"[storage]\n{storage or TWO_FOLDERS}\n{groups}\n"
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


TWO_FOLDERS = 'folder = "store"\njournal_folder = "journal"'


def group(
    bundle: str = "pump.anomalite",
    topic: str = "plant/{machine}/readings",
    machines: Sequence[str] = ("a",),
    **more: Any,
) -> str:
    """A table `groups` of machines whose readings have their time under `ts`."""
    keys: Mapping[str, Any] = {
        "bundle": bundle,
        **({"topic": topic} if "lines" not in more else {}),
        "machines": list(machines),
        **more,
    }
    return (
        "[[groups]]\n"
        + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        + '\npayload = { time = "ts" }\n'
    )


@contextmanager
def reading(folder: Path) -> Iterator[Reader]:
    """What is in a store."""
    reader = open_reader(str(folder))
    try:
        yield reader
    finally:
        reader.close()
