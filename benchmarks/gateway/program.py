"""The gateway as its users run it: a process that is started, says when it is ready, and is killed or told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.context import ONE_THREAD

SERVE = (sys.executable, "-m", "edge_runtime.cli", "serve")
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """One gateway on one configuration, one process at a time."""

    def __init__(self, config: Path, command: Sequence[str] = SERVE) -> None:
        self._command = [*command, str(config)]
        self.log = config.parent / "gateway.log"
        """What it wrote to standard error, of all its lives."""
        self._notify = config.parent / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._notify))
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.lives = 0
        """How often it was started."""

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is one, and it has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and do not wait for anything."""
        self._forget()
        environment = {**os.environ, **ONE_THREAD, "NOTIFY_SOCKET": str(self._notify)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        self._started = time.monotonic()
        self.lives += 1

    def wait_ready(self, timeout_s: float = 60.0) -> float:
        """Wait until it says that it is ready, as it would to systemd; returns the seconds since it was started.

        Raises `RuntimeError` with the end of its log if it ends before, or takes longer.
        """
        deadline = time.monotonic() + timeout_s
        self._socket.settimeout(0.1)
        while time.monotonic() < deadline and self.is_running:
            try:
                said = self._socket.recv(4096)
            except TimeoutError:
                continue
            if b"READY=1" in said.split(b"\n"):
                return time.monotonic() - self._started
        raise RuntimeError(f"the gateway did not become ready within {timeout_s:g} s:\n{self.log_end()}")

    def kill(self) -> None:
        """SIGKILL: it does nothing any more, not even notice."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, timeout_s: float = 30.0) -> tuple[float, int]:
        """SIGTERM; returns how many seconds it took, and the exit status."""
        assert self._process is not None
        begin = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the gateway did not stop within {timeout_s:g} s:\n{self.log_end()}") from None
        return time.monotonic() - begin, status

    def close(self) -> None:
        """Kill what still runs, and give the socket back."""
        if self.is_running:
            self.kill()
        self._socket.close()
        self._notify.unlink(missing_ok=True)

    def log_end(self, lines: int = 20) -> str:
        """The last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _forget(self) -> None:
        """What an earlier process said does not count."""
        self._socket.setblocking(False)
        while True:
            try:
                self._socket.recv(4096)
            except BlockingIOError:
                return


def cpu_s(pid: int) -> float:
    """The processor time a process has taken so far, seconds."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def written_bytes(pid: int) -> int:
    """What a process has given to disks so far; a file system in memory does not count."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"]) - int(lines["cancelled_write_bytes"])


def memory_bytes(pid: int) -> dict[str, int]:
    """`peak` and `rss` of a process; `pss`, in which pages shared with others count in part; `own`, which nobody else has."""
    status = _kib(Path(f"/proc/{pid}/status"))
    rollup = _kib(Path(f"/proc/{pid}/smaps_rollup"))
    return {
        "peak": status["VmHWM"],
        "rss": status["VmRSS"],
        "pss": rollup["Pss"],
        "own": rollup["Private_Dirty"] + rollup["Private_Clean"],
    }


def _kib(path: Path) -> dict[str, int]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3 and row[2] == "kB"}
