"""What a board tells of itself, on boards that are made up; every file may be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bench.board import Board
from edge_runtime.bench.device import describe, look

PIS = {
    3: ("Raspberry Pi 3 Model B Plus Rev 1.3", "0xd03", "Cortex-A53", 1_400_000, "ondemand"),
    4: ("Raspberry Pi 4 Model B Rev 1.4", "0xd08", "Cortex-A72", 1_800_000, "ondemand"),
    5: ("Raspberry Pi 5 Model B Rev 1.0", "0xd0b", "Cortex-A76", 2_400_000, "performance"),
}
CORE = "processor\t: {}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: {}\nCPU revision\t: 3\n\n"


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def pi(root: Path, number: int) -> Path:
    """The files a Raspberry Pi has, as far as they are read."""
    model, part, _, khz, governor = PIS[number]
    cpu = "sys/devices/system/cpu"
    frequencies = {f"{cpu}/cpu{core}/cpufreq/scaling_cur_freq": f"{khz - 1000 * core}\n" for core in range(4)}
    return made(
        root,
        {
            "proc/device-tree/model": f"{model}\0",
            "proc/cpuinfo": "".join(CORE.format(core, part) for core in range(4))
            + f"Revision\t: c03114\nModel\t\t: {model}\n",
            "proc/loadavg": "0.52 0.58 0.59 1/257 12345\n",
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            f"{cpu}/cpu0/cpufreq/scaling_governor": f"{governor}\n",
            f"{cpu}/cpu0/cpufreq/cpuinfo_max_freq": f"{khz}\n",
            "sys/class/thermal/thermal_zone0/type": "board\n",
            "sys/class/thermal/thermal_zone0/temp": "21000\n",
            "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "48312\n",
            **frequencies,
        },
    )


def command(folder: Path, text: str, status: int = 0) -> str:
    path = folder / "firmware"
    path.write_text(f"#!/bin/sh\n[ $1 = get_throttled ] && echo '{text}'\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("number", PIS)
def test_a_raspberry_pi(tmp_path: Path, number: int) -> None:
    """Model without the zero byte, the core's name, clocks in MHz, the CPU's own temperature."""
    board = Board(str(pi(tmp_path, number)), command(tmp_path, "throttled=0x0"))
    model, _, core, khz, governor = PIS[number]
    d = describe(board, look(board), ())
    assert (d.board, d.cpu, d.governor, d.max_mhz) == (model, core, governor, khz / 1000)
    assert d.mhz == tuple((khz - 1000 * core) / 1000 for core in range(4))
    assert (d.temperature_c, d.temperature_c_end, d.load, d.throttled) == (48.312, 48.312, 0.52, ())
    assert d.os == "Debian GNU/Linux 12 (bookworm)"
    assert not d.emulated


def test_a_board_that_tells_nothing(tmp_path: Path) -> None:
    """None for each, and names that Python knows anyway."""
    board = Board(str(tmp_path), None)
    d = describe(board, look(board), ("no_such_package",))
    assert (d.governor, d.mhz, d.max_mhz, d.temperature_c, d.temperature_c_end, d.throttled) == (None,) * 6
    assert d.board == d.cpu != ""
    assert d.os != ""
    assert set(d.packages) <= {"anomalite"}


@pytest.mark.parametrize("text", ["", "soon\n", "\0"])
def test_files_that_hold_something_else(tmp_path: Path, text: str) -> None:
    """They count as not there."""
    root = pi(tmp_path, 4)
    for path in [*root.rglob("*_freq"), *root.rglob("temp"), root / "proc/loadavg", root / "proc/device-tree/model"]:
        path.write_text(text)
    (root / "proc/cpuinfo").write_text("\n")
    board = Board(str(root), None)
    d = describe(board, look(board), ())
    assert (d.mhz, d.max_mhz, d.temperature_c, d.throttled) == (None,) * 4
    assert d.board == (text.strip("\0\n") or d.cpu)


def test_a_desktop_s_cpu(tmp_path: Path) -> None:
    """Its name is the board's too."""
    root = made(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU @ 3.0GHz\ncpu MHz\t\t: 2900.1\n"})
    board = Board(str(root), None)
    assert (board.model(), board.cpu()) == (None, "Fast CPU @ 3.0GHz")
    assert describe(board, look(board), ()).board == "Fast CPU @ 3.0GHz"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throttled=0x0", ()),
        ("throttled=0x1", ("under-voltage now",)),
        ("throttled=0x50005", ("under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot")),
        ("throttled=0xa0000", ("frequency capped since boot", "soft temperature limit since boot")),
        ("throttled=0xe0008", ("soft temperature limit now", "frequency capped since boot", "throttled since boot", "soft temperature limit since boot")),
        ("VCHI initialization failed", None),
    ],
)  # fmt: skip
def test_throttle_flags_in_words(tmp_path: Path, text: str, expected: tuple[str, ...] | None) -> None:
    """Now and since the board was started."""
    assert Board(str(tmp_path), command(tmp_path, text)).throttled() == expected


def test_throttle_flags_without_the_command(tmp_path: Path) -> None:
    """The kernel's driver keeps the same number; a command that fails is no answer."""
    root = made(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n"})
    expected = ("under-voltage since boot", "throttled since boot")
    assert Board(str(root), None).throttled() == expected
    assert Board(str(root), command(tmp_path, "throttled=0x0", status=1)).throttled() == expected
    assert Board(str(root), str(tmp_path / "not-there")).throttled() == expected


def test_an_emulator_is_named(tmp_path: Path) -> None:
    """What it measures is no board's time."""
    root = made(pi(tmp_path, 4), {"proc/self/status": "Name:\tqemu-aarch64\nUmask:\t0022\n"})
    board = Board(str(root), None)
    d = describe(board, look(board), ())
    assert d.emulated
    assert d.board == f"{PIS[4][0]}, emulated by qemu-aarch64"
    made(tmp_path, {"proc/self/status": "Name:\tpython3\nUmask:\t0022\n"})
    assert board.emulator() is None


def test_this_machine() -> None:
    """Whatever it is, it has a name and a load."""
    board = Board()
    d = describe(board, look(board), ())
    assert d.board
    assert d.cores >= 1
    assert d.load is None or d.load >= 0
