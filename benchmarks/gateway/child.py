"""A process of a proof beside the gateway: feeder or consumer."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class Child:
    """A process whose lines on standard output are events; ended by SIGTERM."""

    def __init__(self, module: str, *arguments: str, before: Sequence[str] = ()) -> None:
        """`before`: what the command line begins with, such as `taskset -c 0`."""
        command = [*before, sys.executable, "-m", f"benchmarks.gateway.{module}", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def heard(self, line: str) -> threading.Event:
        """The event that it says this line; clear it to wait for the next time."""
        with self._lock:
            return self._said.setdefault(line, threading.Event())

    def wait_for(self, line: str, timeout_s: float = 60.0) -> None:
        """Wait until it has said the line. Raises `RuntimeError`."""
        if not self.heard(line).wait(timeout_s):
            raise RuntimeError(f"{self._process.args!r} did not say {line!r} within {timeout_s:g} s")

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends by itself; its exit status."""
        status = self._process.wait(timeout_s)
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return status

    def end(self, timeout_s: float = 90.0) -> int:
        """SIGTERM, and its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.heard(line.strip()).set()
