"""Health of the board: what makes a gateway fail that no reading tells of. A weak power supply, heat, a full card."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from typing import NamedTuple

from edge_runtime.bench.board import Board

FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
"""Where the kernel of a Raspberry Pi says what `vcgencmd get_throttled` says."""
FRESH_S = 10.0
"""So long an answer is good for: reading it may start a process."""


class DeviceHealth(NamedTuple):
    """The board now; None for what it does not tell. Sizes in MB of 2^20 bytes."""

    model: str | None
    temperature_c: float | None
    """Of the CPU."""
    load: float | None
    """Processes that wanted to run, the average of the last minute."""
    cores: int
    memory_mb: float | None
    memory_available_mb: float | None
    process_mb: float | None
    """Resident memory of the gateway."""
    disk_mb: float | None
    """Of the file system that the gateway's storage folder is on."""
    disk_free_mb: float | None
    uptime_s: float | None
    """Since the board was started."""
    throttled: tuple[str, ...] | None
    """What holds or held it back: `under-voltage now`, `throttled since boot`."""


class Device:
    """Asks the board, at most every ten seconds. Any thread."""

    def __init__(self, folder: str, root: str = "/", vcgencmd: str | None = "vcgencmd") -> None:
        """`folder`: the gateway's storage. `root`: where /proc and /sys are, so that a test can make a board up."""
        self._folder, self._root = folder, root
        has_flags = os.path.exists(os.path.join(root, FLAGS))
        self._board = Board(root, None if has_flags else vcgencmd)  # no process where a file says the same
        self._lock = threading.Lock()
        self._newest: tuple[float, DeviceHealth] | None = None

    def health(self) -> DeviceHealth:
        """As it is now, or was a few seconds ago."""
        with self._lock:
            now = time.monotonic()
            if self._newest is None or now - self._newest[0] > FRESH_S:
                self._newest = (now, self._read())
            return self._newest[1]

    def _read(self) -> DeviceHealth:
        disk = self._disk()
        return DeviceHealth(
            model=self._board.model(),
            temperature_c=self._board.temperature_c(),
            load=self._board.load(),
            cores=os.cpu_count() or 1,
            memory_mb=self._found("proc/meminfo", r"^MemTotal:\s*(\d+) kB", 2**10),
            memory_available_mb=self._found("proc/meminfo", r"^MemAvailable:\s*(\d+) kB", 2**10),
            process_mb=self._found("proc/self/status", r"^VmRSS:\s*(\d+) kB", 2**10),
            disk_mb=None if disk is None else disk[0] / 2**20,
            disk_free_mb=None if disk is None else disk[1] / 2**20,
            uptime_s=self._found("proc/uptime", r"^([\d.]+)", 1),
            throttled=self._board.throttled(),
        )

    def _disk(self) -> tuple[int, int] | None:
        """Size and free bytes."""
        try:
            usage = shutil.disk_usage(self._folder)
        except OSError:
            return None
        return usage.total, usage.free

    def _found(self, name: str, pattern: str, divisor: float) -> float | None:
        """The number in the first line of a file that fits."""
        try:
            with open(os.path.join(self._root, name), encoding="utf-8", errors="replace") as file:
                found = re.search(pattern, file.read(), re.MULTILINE)
        except OSError:
            return None
        return float(found.group(1)) / divisor if found else None
