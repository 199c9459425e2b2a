"""A real Mosquitto on a free loopback port, as tests want it: with passwords, TLS, limits, and dying at the wrong moment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_TIMEOUT_S = 20.0


def mosquitto() -> str:
    """The program. Skips the test where it is not installed, and fails it in CI."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "mosquitto is not installed (Debian: apt-get install mosquitto)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """Start, stop, kill, start again: always on the same port, with what it has stored."""

    def __init__(self, folder: Path, *options: str, users: dict[str, str] | None = None) -> None:
        """`options` are lines of mosquitto.conf, for `port`. `users`: names and passwords; without, everyone may log in."""
        self.port = free_port()
        self.open_port = free_port()
        """Another way in, for those that are not tested: without password, TLS and ACL."""
        self.folder = folder
        self._program = mosquitto()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(*options, users=users)

    def configure(self, *options: str, users: dict[str, str] | None = None) -> None:
        """Another configuration, from the next start on."""
        lines = [
            "per_listener_settings true",
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            "log_dest stderr",
            "log_type all",
            "connection_messages true",
            *([f"user {os.environ.get('USER', 'root')}"] if os.getuid() == 0 else []),
        ]
        if users is None:
            lines.append("allow_anonymous true")
        else:
            file = self.folder / "passwords"
            file.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
            file.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True, timeout=60)
            lines += ["allow_anonymous false", f"password_file {file}"]
        others = [f"listener {self.open_port} 127.0.0.1", "allow_anonymous true"]
        (self.folder / "mosquitto.conf").write_text("\n".join([*lines, *options, *others]) + "\n")

    @property
    def log(self) -> str:
        """What it has written, of all its lives."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> Broker:
        """Returns when it accepts connections."""
        assert self._process is None, "it runs"
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self.folder / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)  # there is nothing to wait on but the port
        self.kill()
        pytest.fail(f"mosquitto does not start:\n{self.log[-3000:]}")

    def stop(self) -> None:
        """As systemd does: it stores its sessions, and closes its connections."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does: what it had not stored is gone."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Passwords, ACL and what else Mosquitto reads again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def pause(self) -> None:
        """It answers nothing, and its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # one that is paused would not hear of a friendly end
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(folder: Path, *options: str, users: dict[str, str] | None = None) -> Iterator[Broker]:
    """A broker that runs for as long as the block, and that shows its log when the block fails."""
    broker = Broker(folder, *options, users=users)
    try:
        yield broker.start()
    except BaseException:
        print(f"--- {folder}/mosquitto.log\n{broker.log[-5000:]}")
        raise
    finally:
        broker.kill()


def certificates(folder: Path) -> Path:
    """A CA, certificates of servers (`server`: 127.0.0.1 and localhost, `elsewhere`: another host, `expired`), of a client (`client`), and
    another CA (`stranger`): `NAME.pem` and `NAME.key` each."""
    folder.mkdir(parents=True, exist_ok=True)
    here = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    for authority in ("ca", "stranger"):
        _openssl(
            folder, f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={authority}"
            f" -addext basicConstraints=critical,CA:TRUE -keyout {authority}.key -out {authority}.pem"
        )  # fmt: skip
    for name, extension in (
        ("server", here),
        ("expired", here),
        ("elsewhere", "subjectAltName=DNS:broker.example"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        _openssl(
            folder, f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        )  # fmt: skip
        (folder / f"{name}.ext").write_text(extension)
        # Valid from now until yesterday: what OpenSSL checks is only whether it is over.
        days = "-1" if name == "expired" else "30"
        _openssl(
            folder, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem"
        )  # fmt: skip
    return folder


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


def tls_options(certificates: Path, server: str = "server", *, of_client: bool = False) -> list[str]:
    """Lines of mosquitto.conf for TLS with that server certificate; `of_client`: and only for clients with one of their own."""
    return [
        f"cafile {certificates}/ca.pem",
        f"certfile {certificates}/{server}.pem",
        f"keyfile {certificates}/{server}.key",
        f"require_certificate {str(of_client).lower()}",
    ]
