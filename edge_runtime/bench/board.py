"""What a board tells of itself: a figure without it cannot be compared with another one.

Every file is optional. `root` is where /proc, /sys and /etc are, so that a test can make a board up.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from glob import glob
from shutil import which

ARM_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
}  # fmt: skip
"""What /proc/cpuinfo calls a CPU part of ARM (implementer 0x41)."""
THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""The bits of a Raspberry Pi's `vcgencmd get_throttled`: now; 16 places higher: since the board was started."""
NOW, SINCE_BOOT = "now", "since boot"
_PATIENCE_S = 5


class Board:
    """Reads what the board at hand tells."""

    def __init__(self, root: str = "/", vcgencmd: str | None = "vcgencmd") -> None:
        """`vcgencmd`: the command that asks a Raspberry Pi's firmware; None: there is none."""
        self._root = root
        self._vcgencmd = None if vcgencmd is None else which(vcgencmd)

    def model(self) -> str | None:
        """The board's name, None where nobody knows it."""
        return self._read("proc/device-tree/model") or self._cpuinfo("Model")

    def cpu(self) -> str:
        """The name of its CPU or of the core's design."""
        part = ARM_CORES.get(self._cpuinfo("CPU part") or "") if self._cpuinfo("CPU implementer") == "0x41" else None
        return part or self._cpuinfo("model name") or platform.processor() or platform.machine()

    def emulator(self) -> str | None:
        """The emulator that runs this program, None where the CPU itself does. Its times are no board's."""
        name = re.search(r"^Name:\s*(qemu-\S+)", self._read("proc/self/status") or "", re.MULTILINE)
        return name.group(1) if name else None

    def governor(self) -> str | None:
        """What decides on the clock frequency."""
        return self._read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

    def mhz(self) -> tuple[float, ...] | None:
        """Each core's clock now."""
        paths = glob(os.path.join(self._root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        names = sorted((os.path.relpath(path, self._root) for path in paths), key=_numbers)
        found = [self._number(name) for name in names]
        clocks = tuple(each / 1000 for each in found if each is not None)
        return clocks or None

    def max_mhz(self) -> float | None:
        """The greatest clock it can have."""
        khz = self._number("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
        return None if khz is None else khz / 1000

    def temperature_c(self) -> float | None:
        """Of the CPU, where a zone says that it is, else of the first zone."""
        paths = sorted(glob(os.path.join(self._root, "sys/class/thermal/thermal_zone[0-9]*")), key=_numbers)
        zones = [os.path.relpath(path, self._root) for path in paths]
        zones.sort(key=lambda zone: not re.search("cpu|x86_pkg|soc", self._read(f"{zone}/type") or ""))
        for zone in zones:
            found = self._number(f"{zone}/temp")
            if found is not None:
                return found / 1000
        return None

    def throttled(self) -> tuple[str, ...] | None:
        """What holds or held the board back, in words; empty: nothing; None: it does not tell."""
        flags = self._flags()
        if flags is None:
            return None
        whens = ((0, NOW), (16, SINCE_BOOT))
        return tuple(
            f"{what} {when}" for shift, when in whens for bit, what in THROTTLED.items() if flags >> (bit + shift) & 1
        )

    def system(self) -> str:
        """The operating system's name."""
        for line in (self._read("etc/os-release") or "").splitlines():
            key, _, value = line.partition("=")
            if key == "PRETTY_NAME":
                return value.strip().strip("\"'")
        return platform.platform(terse=True)

    def load(self) -> float | None:
        """Processes that wanted to run, the average of the last minute."""
        words = (self._read("proc/loadavg") or "").split()
        try:
            return float(words[0]) if words else os.getloadavg()[0]
        except (ValueError, OSError, AttributeError):
            return None

    def _flags(self) -> int | None:
        """The firmware's answer, or what its driver keeps of it."""
        answer = self._read("sys/devices/platform/soc/soc:firmware/get_throttled")
        if self._vcgencmd is not None:
            try:
                done = subprocess.run(
                    [self._vcgencmd, "get_throttled"], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
                )
                answer = done.stdout if done.returncode == 0 else answer
            except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
                pass
        try:
            return None if answer is None else int(answer.strip().removeprefix("throttled="), 16)
        except ValueError:
            return None

    def _cpuinfo(self, key: str) -> str | None:
        """The last value of that key; every core has the same, and the board's come after them."""
        found = re.findall(rf"^{re.escape(key)}\s*: *(.+)$", self._read("proc/cpuinfo") or "", re.MULTILINE)
        return found[-1].strip() if found else None

    def _number(self, name: str) -> float | None:
        try:
            return float(self._read(name) or "")
        except ValueError:
            return None

    def _read(self, name: str) -> str | None:
        """The text of a file, without the zero byte that ends a device tree's; None if there is none, or nothing in it."""
        try:
            with open(os.path.join(self._root, name), encoding="utf-8", errors="replace") as file:
                return file.read().strip("\0 \n\t") or None
        except OSError:
            return None


def _numbers(path: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path)]
