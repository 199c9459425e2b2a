"""The gateway as a service of systemd: readiness, watchdog, signals, and the unit that runs it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Self

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})


class Notifier:
    """Tells systemd how the gateway is (sd_notify(3)); does nothing where it was not asked for. Never raises, never waits."""

    def __init__(self, environ: Mapping[str, str] = os.environ, process: int | None = None) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "@")) and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_s: float | None = None
        """The gateway is killed unless it says within so many seconds that it goes on; None: nobody watches."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        watched = environ.get("WATCHDOG_PID", "")
        if microseconds.isdigit() and int(microseconds) and watched in ("", str(process or os.getpid())):
            self.watchdog_s = int(microseconds) / 1e6
        self._next_ping = float("-inf")

    def ready(self, status: str = "") -> None:
        """Started, or reloaded, and at work."""
        self._send({"READY": "1", "STATUS": status})

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows."""
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(time.monotonic_ns() // 1000)})

    def stopping(self, status: str = "") -> None:
        """The last words."""
        self._send({"STOPPING": "1", "STATUS": status})

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send({"STATUS": text})

    def extend(self, seconds: float) -> None:
        """Starting or stopping takes so much longer."""
        self._send({"EXTEND_TIMEOUT_USEC": str(round(seconds * 1e6))})

    def beat(self) -> None:
        """The loop that must not hang goes on: call it each time around, from nowhere else. Pings at half the interval."""
        if self.watchdog_s is None:
            return
        now = time.monotonic()
        if now >= self._next_ping:
            self._send({"WATCHDOG": "1"})
            self._next_ping = now + self.watchdog_s / 2

    def close(self) -> None:
        """Say nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: Mapping[str, str]) -> None:
        if self._socket is None:
            return
        lines = (f"{name}={' '.join(value.split())}" for name, value in message.items() if value)
        address: str | bytes = self._address
        if self._address.startswith("@"):
            address = b"\0" + os.fsencode(self._address[1:])
        try:
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), address)
        except OSError:  # nobody listens, or not now: the watchdog then does what it is for
            return


class Signals:
    """SIGTERM and SIGINT: stop. SIGHUP: reload. Used with `with`, in the main thread.

    A signal interrupts the program anywhere, also where it holds the lock that waking it takes. So the handlers do nothing;
    the interpreter writes each signal's number into a socket, and a thread that reads there sets the flags and calls `wake`.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.is_stopping = False
        """The gateway is to end."""
        self._reload = False

    def take_reload(self) -> bool:
        """Whether the configuration is to be read again; true once for each time it was asked for."""
        asked, self._reload = self._reload, False
        return asked

    def __enter__(self) -> Self:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._descriptor = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, _handle) for number in numbers}
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._descriptor)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._write.close()
        self._thread.join()
        self._read.close()

    def _watch(self) -> None:
        while numbers := self._read.recv(64):
            for number in numbers:
                if number in STOPPING:
                    self.is_stopping = True
                elif number == getattr(signal, "SIGHUP", None):
                    self._reload = True
            self._wake()


def _handle(number: int, _: FrameType | None) -> None:
    """Nothing, but a second Ctrl-C ends a gateway that does not stop; what it had is in its journal."""
    if number == signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)


PRIVATE_FOLDERS = ("/home/", "/root/", "/run/user/")


def unit(
    config_path: str,
    executable: str,
    user: str | None = None,
    *,
    password_file: str | None = None,
    writable: tuple[str, ...] = (),
) -> str:
    """The text of `anomalite.service`, for `anomalite serve --print-unit`.

    Absolute paths of the configuration and of the program `anomalite`; `user` None: one that systemd makes up. `password_file` is
    what the service gets as `/run/credentials/anomalite.service/mqtt_password`; `writable` are folders it writes to beside
    `/var/lib/anomalite` and `/run/anomalite`.
    """
    paths = (config_path, executable, *writable)
    is_private = any(os.path.abspath(path).startswith(PRIVATE_FOLDERS) for path in paths)
    credential = f"LoadCredential=mqtt_password:{_specifiers(password_file or '/etc/anomalite/mqtt_password')}"
    replaced = {
        "EXEC": f"{_argument(executable)} serve {_argument(config_path)}",
        "USER": "DynamicUser=yes" if user is None else f"User={_specifiers(user)}",
        "HOME": "read-only" if is_private else "yes",
        "CREDENTIAL": credential if password_file else f"#{credential}",
        "WRITABLE": "".join(f"ReadWritePaths={_word(path)}\n" for path in writable),
    }
    text = UNIT
    for name, value in replaced.items():
        text = text.replace(f"@{name}@", value)
    return text


def _specifiers(text: str) -> str:
    """Text for a unit, in which a percent sign begins a specifier and a line break the next setting."""
    if any(not each.isprintable() for each in text):
        raise ValueError(f"expected a name without control characters for the unit, got {text!r}")
    return text.replace("%", "%%")


def _word(path: str) -> str:
    """A path as one word (systemd.syntax(7), "Quoting")."""
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path for the unit, got {path!r}")
    escaped = _specifiers(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(each in path for each in " '\"\\;") else escaped


def _argument(path: str) -> str:
    """The same on a command line, where variables are put in for dollar signs."""
    return _word(path).replace("$", "$$")


UNIT = """\
# /etc/systemd/system/anomalite.service, as `anomalite serve GATEWAY.toml --print-unit` prints it:
#   sudo systemctl daemon-reload && sudo systemctl enable --now anomalite
# The configuration says:  [storage] folder = "/var/lib/anomalite"
[Unit]
Description=anomalite: finds anomalies in the readings of machines
Documentation=man:systemd.exec(5)
After=network.target
# Never give up: a broker, a disk or a clock may come back after hours.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=@EXEC@
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
# After 3 s, then later each time, up to a minute. systemd before 254 says that it does not know the last two, and waits 3 s always.
RestartSec=3
RestartSteps=8
RestartMaxDelaySec=60
# The loop that scores must come around once in a minute, or the service is started again.
WatchdogSec=60
TimeoutStartSec=120
TimeoutStopSec=15

# What outlasts a power cut, and in memory what outlasts a crash: so that neither a restart loses a reading nor a card wears out.
StateDirectory=anomalite
StateDirectoryMode=0700
RuntimeDirectory=anomalite
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
@WRITABLE@
# The broker's password, if it has one. The configuration says:
#   password_file = "/run/credentials/anomalite.service/mqtt_password"
@CREDENTIAL@

@USER@
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
# read-only: the program or its configuration is in a home directory, and cannot be read without.
ProtectHome=@HOME@
PrivateTmp=yes
PrivateMounts=yes
PrivateUsers=yes
# The status page asks the firmware for undervoltage through /sys. For `vcgencmd` instead, which needs /dev/vcio, put
# `PrivateDevices=no`, `DevicePolicy=closed`, `DeviceAllow=/dev/vcio rw` and `SupplementaryGroups=video` here.
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# A leak is ended before the board is; in use are 50 to 120 MB.
MemoryMax=512M

[Install]
WantedBy=multi-user.target
"""
