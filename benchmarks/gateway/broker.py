"""A real Mosquitto of its own, on a loopback port nobody else uses."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")


def mosquitto() -> str | None:
    """The program, where it is installed."""
    return shutil.which("mosquitto") or next((place for place in PLACES if os.access(place, os.X_OK)), None)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Broker:
    """Runs while the `with` block does. What is queued for a client that is away is never dropped."""

    def __init__(self, folder: Path, before: Sequence[str] = ()) -> None:
        """`before`: what the command line begins with, such as `taskset -c 0`."""
        program = mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        self._folder = folder / "broker"
        self._command = [*before, program, "-c", str(self._folder / "mosquitto.conf")]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        settings = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self._folder}/",
            "max_queued_messages 0",
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
            f"log_dest file {self._folder}/log",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        (self._folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10.0)
