"""The gateway as a service: what systemd is told, what signals do, and the unit."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.gateway.service import Notifier, Signals, unit

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no systemd here")


class Systemd:
    """A socket that stands for systemd's."""

    def __init__(self, address: str) -> None:
        self.name = address.replace("\0", "@")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def heard(self) -> list[str]:
        """The next message's lines."""
        return self.socket.recv(4096).decode().splitlines()

    def is_silent(self) -> bool:
        """Whether nothing was said; what was said is in the socket at once."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(10)
        return False


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """It listens at a path, or at an abstract address."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract addresses are Linux's")
    it = Systemd(str(tmp_path / "notify") if request.param == "path" else f"\0anomalite-test-{os.getpid()}")
    yield it
    it.socket.close()


def test_systemd_is_told(systemd: Systemd) -> None:
    """Ready, reloading with the time, a status on one line, more time, and stopping."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
    notifier.ready("200 machines\nof 3 bundles")
    assert systemd.heard() == ["READY=1", "STATUS=200 machines of 3 bundles"]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    state, moment = systemd.heard()
    assert state == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    notifier.status("scoring")
    assert systemd.heard() == ["STATUS=scoring"]
    notifier.extend(2.5)
    assert systemd.heard() == ["EXTEND_TIMEOUT_USEC=2500000"]
    notifier.stopping()
    assert systemd.heard() == ["STOPPING=1"]
    notifier.close()
    notifier.ready()
    assert systemd.is_silent()


def test_the_watchdog_is_fed_at_half_its_interval(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the loop comes around; and not at all when it does not."""
    now = 100.0
    monkeypatch.setattr("edge_runtime.gateway.service.time.monotonic", lambda: now)
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, process=7)
    assert notifier.watchdog_s == 10
    fed = []
    for tick in range(100):
        now = 100.0 + tick / 10
        notifier.beat()
        if not systemd.is_silent():
            fed.append(tick)
    assert fed == [0, 50]
    notifier.close()


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "8"}],
)
def test_nobody_watches(systemd: Systemd, environ: dict[str, str]) -> None:
    """Unless systemd says so, and means this process."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name, **environ}, process=7)
    notifier.beat()
    assert notifier.watchdog_s is None
    assert systemd.is_silent()
    notifier.close()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here", "vsock:1:2", "/" + "x" * 500])
def test_without_systemd_nothing_is_said(address: str) -> None:
    """And nothing goes wrong."""
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.beat()
    notifier.close()


def test_a_systemd_that_does_not_read_is_not_waited_for(systemd: Systemd) -> None:
    """Its queue is full after a while."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
    for _ in range(2_000):
        notifier.status("x" * 500)
    notifier.close()


def test_signals_set_flags_and_wake() -> None:
    """SIGHUP asks for a reload, once each time; SIGTERM for the end. Before and after, they do what they did."""
    woken = threading.Event()
    before = signal.getsignal(signal.SIGTERM)
    with Signals(woken.set) as signals:
        assert not signals.is_stopping
        os.kill(os.getpid(), signal.SIGHUP)
        assert woken.wait(10)
        assert signals.take_reload()
        assert not signals.take_reload()
        assert not signals.is_stopping
        woken.clear()
        os.kill(os.getpid(), signal.SIGTERM)
        assert woken.wait(10)
        assert signals.is_stopping
        assert not signals.take_reload()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_wakes_a_thread_that_holds_the_lock_waking_takes() -> None:
    """A handler that took the lock would wait for ever, as the code it interrupted holds it."""
    lock, woken = threading.Lock(), threading.Event()

    def wake() -> None:
        with lock:
            woken.set()

    with Signals(wake) as signals:
        with lock:
            os.kill(os.getpid(), signal.SIGINT)
        assert woken.wait(10)
        assert signals.is_stopping


def test_a_second_interrupt_ends_a_program_that_does_not_stop() -> None:
    """Ctrl-C once asks it to stop; twice is meant."""
    program = (
        "import os, signal, sys, threading\n"
        "from edge_runtime.gateway.service import Signals\n"
        "woken = threading.Event()\n"
        "with Signals(woken.set):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    woken.wait(10)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "still here\n"
    assert done.returncode == -signal.SIGINT


def settings_of(text: str) -> dict[str, list[str]]:
    """A unit's settings, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_runs_the_program_and_shuts_it_in() -> None:
    """Started with the configuration, watched, restarted for ever, its state kept, and with next to no rights."""
    it = settings_of(unit("/etc/anomalite/gateway.toml", "/opt/anomalite/bin/anomalite"))
    assert it["ExecStart"] == ["/opt/anomalite/bin/anomalite serve /etc/anomalite/gateway.toml"]
    expected = {
        "Type": "notify", "Restart": "always", "StartLimitIntervalSec": "0", "WatchdogSec": "60",
        "ExecReload": "/bin/kill -HUP $MAINPID", "StateDirectory": "anomalite", "RuntimeDirectory": "anomalite",
        "RuntimeDirectoryPreserve": "yes", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
        "ProtectHome": "yes", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes", "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077", "SystemCallErrorNumber": "EPERM",
    }  # fmt: skip
    assert {name: it[name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert it["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert not {"User", "LoadCredential", "ReadWritePaths"} & set(it)


def test_the_unit_of_a_user_with_a_password_and_a_home() -> None:
    """What it is given is in it: homes can be read, and folders be written to."""
    text = unit(
        "/home/pi/gate $way.toml", "/home/pi/.venv/bin/anomalite", "pi",
        password_file="/etc/anomalite/50%", writable=("/mnt/data $x",),
    )  # fmt: skip
    it = settings_of(text)
    assert it["ExecStart"] == ['/home/pi/.venv/bin/anomalite serve "/home/pi/gate $$way.toml"']
    assert (it["User"], it["ProtectHome"]) == (["pi"], ["read-only"])
    assert it["LoadCredential"] == ["mqtt_password:/etc/anomalite/50%%"]
    assert it["ReadWritePaths"] == ['"/mnt/data $x"']
    assert "DynamicUser" not in it


@pytest.mark.parametrize("path", ["/etc/a\nUser=root", "/etc/a\x00", "gateway.toml", ""])
def test_a_path_cannot_add_settings(path: str) -> None:
    """A line break in it would begin one; and systemd knows no current folder."""
    with pytest.raises(ValueError, match="expected a"):
        unit(path, "/usr/bin/anomalite")
    with pytest.raises(ValueError, match="expected a"):
        unit("/etc/anomalite/gateway.toml", path)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_takes_the_unit(tmp_path: Path, user: str | None) -> None:
    """It knows all of it but what came with version 254, and finds little that the service could still do."""
    config = tmp_path / "gate way 100%.toml"
    config.touch()
    file = tmp_path / "anomalite.service"
    file.write_text(unit(str(config), sys.executable, user, password_file="/etc/hostname", writable=("/srv",)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "anomalite.service" in line]
    assert all("RestartSteps" in line or "RestartMaxDelaySec" in line for line in said), said
    if user is None:
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(file)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
