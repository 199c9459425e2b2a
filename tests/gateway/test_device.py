"""Health of the board, of boards made up."""

from __future__ import annotations

import pytest

from edge_runtime.gateway import device
from edge_runtime.gateway.device import FLAGS, Device


@pytest.fixture
def board(tmp_path):
    """A Raspberry Pi with a weak power supply."""
    files = {
        "proc/meminfo": "MemTotal:         948304 kB\nMemFree:           51200 kB\nMemAvailable:     512000 kB\n",
        "proc/self/status": "Name:\tpython\nVmRSS:\t   43008 kB\n",
        "proc/uptime": "93784.12 300000.00\n",
        "proc/loadavg": "0.42 0.40 0.38 1/123 4567\n",
        "proc/device-tree/model": "Raspberry Pi 3 Model B Rev 1.2\0",
        "sys/class/thermal/thermal_zone0/temp": "61322\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        FLAGS: "50001\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_the_board_tells_is_read(board):
    """Memory, load, temperature, flags of the power supply, and the disk of the storage folder."""
    health = Device(str(board), str(board), None).health()
    assert health.model == "Raspberry Pi 3 Model B Rev 1.2"
    assert (health.temperature_c, health.load) == (61.322, 0.42)
    assert (health.memory_mb, health.memory_available_mb, health.process_mb) == (948304 / 1024, 500.0, 42.0)
    assert health.uptime_s == 93784.12
    assert health.throttled == ("under-voltage now", "under-voltage since boot", "throttled since boot")
    assert health.disk_mb is not None
    assert 0 < health.disk_free_mb <= health.disk_mb


def test_no_process_is_started_where_a_file_says_the_same(board, monkeypatch):
    """The gateway scores meanwhile, and under systemd's protections vcgencmd would fail."""
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("a process was started"))
    assert Device(str(board), str(board), "true").health().throttled


def test_what_is_not_told_is_none(tmp_path):
    """A board without any of it, and a storage folder that is gone, still have a health."""
    health = Device(str(tmp_path / "gone"), str(tmp_path), None).health()
    assert (health.model, health.temperature_c, health.memory_mb, health.uptime_s, health.throttled) == (None,) * 5
    assert (health.disk_mb, health.disk_free_mb) == (None, None)
    assert health.cores >= 1


def test_it_is_asked_every_ten_seconds_at_most(board, monkeypatch):
    """However many pages look."""
    now = [100.0]
    monkeypatch.setattr(device.time, "monotonic", lambda: now[0])
    asked = Device(str(board), str(board), None)
    first = asked.health()
    (board / "proc/loadavg").write_text("3.00 0 0 1/1 1\n")
    now[0] += 9.0
    assert asked.health() is first
    now[0] += 2.0
    assert asked.health().load == 3.0
