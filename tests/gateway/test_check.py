"""`serve --check`: every check is made whatever the others found, and says what a person has to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import broker as mosquitto
import handmade
import pytest

from edge_runtime.gateway import check_broker, check_places
from edge_runtime.gateway.check import Report, check
from edge_runtime.gateway.check_finding import Finding
from edge_runtime.gateway.check_places import Mount, mount_of, validity
from edge_runtime.gateway.config import HTTP, MQTT, TLS, GatewayConfig, Group, Maintenance, Payload, Storage


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle for windows (4, 2), channels c0 and c1."""
    return handmade.sealed(tmp_path / "small.anomalite")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA and what it signed."""
    return mosquitto.certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is in the storage folder, whatever this test runs under."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)


def config(bundle: Path, **changes: Any) -> GatewayConfig:
    """A gateway of lines alone, with changes."""
    lines = bundle.parent / "lines.jsonl"
    lines.touch()
    groups = (Group(str(bundle), lines=str(lines), machines=("press",)),)
    plain = GatewayConfig("hall", groups, Storage(str(bundle.parent / "state"), max_mb=8))
    return plain.replaced(**changes)


def by_topic(bundle: Path, port: int, topic: str = "plant/{machine}/readings", **mqtt: Any) -> GatewayConfig:
    """A gateway that hears one topic of a broker here."""
    group = Group(str(bundle), topic, machines=("press",), appear=2)
    return config(bundle, groups=(group,), mqtt=MQTT("127.0.0.1", port, **mqtt))


def texts(report: Report, state: str, what: str | None = None) -> list[str]:
    """What was found in that state."""
    return [each.text for each in report.findings if each.state == state and what in (None, each.what)]


def test_a_gateway_that_could_start(bundle: Path) -> None:
    """Everything is fine, and nothing was made."""
    report = check(config(bundle), "g.toml")
    assert texts(report, "wrong") == []
    assert (report.is_fine, report.status) == (True, 0)
    assert any("numpy-float32 on numpy answers" in text for text in texts(report, "fine", "group 1"))
    assert any("can be written, will be made" in text for text in texts(report, "fine", "storage"))
    assert not (bundle.parent / "state").exists()
    lines = list(report.lines())
    assert lines[-1] == "all is fine"
    assert "  channels c0 [g], c1 [g]" in lines
    assert "  silent   after 60 s" in lines


def test_every_check_is_made(bundle: Path, tmp_path: Path) -> None:
    """What is wrong in one place hides nothing in another, for people and for machines."""
    (tmp_path / "file").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        broken = config(
            bundle,
            groups=(
                Group(str(tmp_path / "none.anomalite"), lines="-", machines=("a",)),
                Group(str(bundle), lines=str(tmp_path), machines=("b",), payload=Payload(channels={"x": "y"})),
                Group(str(bundle), lines=str(tmp_path / "later"), machines=("c",), variant="none"),
            ),
            storage=Storage(str(tmp_path / "file"), str(tmp_path / "file" / "below")),
            mqtt=MQTT("127.0.0.1", mosquitto.free_port(), user="u", password_env="NOT_THERE"),
            http=HTTP(port),
        )
        report = check(broken, "g.toml")
    assert [each.what for each in report.findings if each.state == "wrong"] == [
        "group 1", "group 2", "group 2", "group 3", "storage", "journal", "password", "http",
    ]  # fmt: skip
    wrong = " | ".join(texts(report, "wrong"))
    for part in (
        "cannot be read: No such file", "unknown channel 'x'", "expected one of the variants numpy-float32, got 'none'",
        "file is none", "NOT_THERE is not set", "Address already in use", "cannot be read: Is a directory",
    ):  # fmt: skip
        assert part in wrong
    assert report.status == 2
    assert list(report.lines())[-1] == f"8 of {len(report.findings)} checks found something wrong"
    written = json.loads(json.dumps(report.to_json()))
    assert written["fine"] is False
    assert {"state": "wrong", "what": "http", "text": texts(report, "wrong", "http")[0]} in written["findings"]
    assert [group["machines"] for group in written["plan"]["groups"]] == [["a"], ["b"], ["c"]]


def test_a_bundle_that_answers_wrong_here(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its golden readings decide; a bundle without any runs, unproven."""
    members = handmade.members_of(bundle)
    variants = json.loads(members["manifest.json"])["variants"]
    model = handmade.lstm_model(4, 2, seed=9)
    other = bundle.with_name("other.anomalite")
    altered = handmade.rewrite({**members, variants[0]["file"]: model})
    other.write_bytes(handmade.pack(altered.items()))
    report = check(config(bundle, groups=(Group(str(other), lines="-", machines=("a",)),)), "g.toml")
    assert "golden readings are not answered right by numpy-float32 on numpy" in texts(report, "wrong", "group 1")[0]
    bare = handmade.sealed(bundle.with_name("bare.anomalite"), golden=False)
    report = check(config(bundle, groups=(Group(str(bare), lines="-", machines=("a",)),)), "g.toml")
    assert "not proven: it has no golden readings" in texts(report, "note", "group 1")[0]
    assert report.is_fine


def test_a_disk_without_room(bundle: Path) -> None:
    """The limit has to fit, as far as it is not used already."""
    report = check(config(bundle, storage=Storage(str(bundle.parent / "state"), max_mb=1_000_000)), "g.toml")
    assert "and it may come to need 1000000 more (max_mb)" in texts(report, "wrong", "storage")[0]


def test_where_the_journal_is() -> None:
    """In memory, on a card, or on a disk; by the deepest mount, and the last of two."""
    mounts = [
        Mount("/dev/mmcblk0p2", "/", "ext4"), Mount("tmpfs", "/run", "tmpfs"), Mount("/dev/sda1", "/srv", "ext4"),
        Mount("tmpfs", "/srv", "tmpfs"),
    ]  # fmt: skip
    assert mount_of("/var/lib/anomalite", mounts) == mounts[0]
    assert mount_of("/run/anomalite", mounts) == mounts[1]
    assert mount_of("/running", mounts) == mounts[0]
    assert mount_of("/srv", mounts) == mounts[3]
    assert mount_of("/", []) is None


@pytest.mark.parametrize(
    ("mount", "state", "text"),
    [
        (Mount("tmpfs", "/", "tmpfs"), "fine", "in memory (tmpfs)"),
        (Mount("/dev/mmcblk0p2", "/", "ext4"), "note", "on an SD card, which every reading wears"),
        (Mount("/dev/sda1", "/", "ext4"), "note", "on a disk, and every reading is written"),
        (None, "note", "what kind of disk it is on is not known"),
    ],
)
def test_a_journal_on_a_card_is_worth_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: Mount | None, state: str, text: str
) -> None:
    """It works there, too."""
    monkeypatch.setattr(check_places, "_mounts", lambda: [] if mount is None else [mount])
    (found,) = check_places.journal_findings(Storage(str(tmp_path)))
    assert (found.state, text in found.text) == (state, True), found


def test_a_gateway_that_is_running_is_not_disturbed(bundle: Path) -> None:
    """Its storage is held, and its port is taken: that is no fault."""
    import fcntl

    state = bundle.parent / "state"
    state.mkdir()
    with socket.socket() as taken, (state / "store.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        report = check(config(bundle, http=HTTP(taken.getsockname()[1])), "g.toml")
    assert report.is_fine
    assert "a gateway is running on it now" in texts(report, "note", "storage")[0]
    assert "maybe by the gateway that is running" in texts(report, "note", "http")[0]


def test_a_page_for_everybody_is_worth_a_word(bundle: Path) -> None:
    """It has no login."""
    report = check(config(bundle, http=HTTP(0, "0.0.0.0")), "g.toml")
    assert report.is_fine
    assert "the page has no login" in texts(report, "note", "http")[0]


def test_known_work_that_is_over(bundle: Path) -> None:
    """Is a line that can go."""
    now = datetime.now(UTC)
    past = Maintenance(("press",), now - timedelta(2), now - timedelta(1))
    coming = Maintenance(("press",), now, now + timedelta(1), "bearing")
    report = check(config(bundle, maintenance=(past, coming)), "g.toml")
    assert texts(report, "note", "maintenance") == ["1 of 2 windows are over"]
    assert report.plan["maintenance"][1]["note"] == "bearing"


# TLS


@pytest.mark.parametrize(
    ("tls", "state", "text"),
    [
        ({"ca_file": "ca.pem"}, "note", "the certificate expires on"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}, "note", "client.pem with "),
        ({"ca_file": "none.pem"}, "wrong", "none.pem: cannot be read: No such file"),
        ({"ca_file": "ca.key"}, "wrong", "ca.key: no certificate or crl found"),
        ({"cert_file": "client.pem", "key_file": "server.key"}, "wrong", "the key is not the certificate's"),
        ({"cert_file": "client.pem", "key_file": "none.key"}, "wrong", "cannot be read: No such file"),
        ({"cert_file": "client.pem", "key_file": "locked.key"}, "wrong", "client.pem with "),
        ({"cert_file": "expired.pem", "key_file": "expired.key"}, "wrong", "the certificate expired on"),
        ({"cert_file": "future.pem", "key_file": "client.key"}, "wrong", "and this board's clock says"),
        ({"cert_file": "long.pem", "key_file": "client.key"}, "fine", "long.pem with "),
        ({"verify": False}, "note", "verify = false"),
    ],
)
def test_the_files_of_tls(certificates: Path, tls: dict[str, Any], state: str, text: str) -> None:
    """Readable, of the same key, valid now, and longer than a month."""
    make_others(certificates)
    paths = {key: str(certificates / value) if type(value) is str else value for key, value in tls.items()}
    found = check_places.tls_findings(TLS(**paths))
    assert (found[-1].state, text in found[-1].text) == (state, True), found


def make_others(folder: Path) -> None:
    """Certificates for the client's key that last long, and that are not valid yet; a key with a password."""
    if (folder / "locked.key").exists():
        return
    for name, start, end in (
        ("long", "20200101000000Z", "22000101000000Z"),
        ("future", "21000101000000Z", "22000101000000Z"),
    ):
        (folder / "serial").write_text("01\n")
        (folder / "index").write_text("")
        (folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\ndefault_md=sha256\n"
            "policy=p\n[p]\ncommonName=supplied\n"
        )
        openssl(
            folder, f"ca -batch -config ca.cnf -in client.csr -out {name}.pem -cert ca.pem -keyfile ca.key"
            f" -startdate {start} -enddate {end} -notext"
        )  # fmt: skip
    openssl(folder, "ec -in client.key -out locked.key -aes128 -passout pass:secret")


def openssl(folder: Path, arguments: str) -> None:
    """Run it there."""
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x00", b"abc"])
def test_bytes_that_are_no_certificate(data: bytes) -> None:
    """An error that is known, and nothing else."""
    with pytest.raises((ValueError, IndexError)):
        validity(data)


# The broker


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer is not waited for long."""
    monkeypatch.setattr(check_broker, "WAIT_S", 0.5)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_that_lets_it_in(bundle: Path, tmp_path: Path, version: str) -> None:
    """It accepts login, subscriptions and a message, which is empty and not retained."""
    with mosquitto.running(tmp_path / "broker") as broker:
        report = check(by_topic(bundle, broker.port, version=version, commands=True), "g.toml")
        log = broker.log
    assert report.is_fine, list(report.lines())
    assert f"127.0.0.1:{broker.port}: lets anyone in, MQTT {version}" in texts(report, "fine", "broker")
    assert [text.split(": ")[1] for text in texts(report, "fine", "subscribe")] == [
        "accepts plant/+/readings, QoS 1",
        "accepts anomalite/hall/commands, QoS 1",
    ]
    assert len(texts(report, "fine", "publish")) == 1
    assert "Received PUBLISH from anomalite-hall-check-" in log
    assert "'anomalite/hall/check', ... (0 bytes)" in log
    assert report.plan["alerts"] == f"anomalite/hall/alerts/MACHINE at 127.0.0.1:{broker.port}"


@pytest.mark.parametrize(
    ("version", "password", "text"),
    [
        ("5", "right", None),
        ("3.1.1", "right", None),
        ("5", "wrong", "refuses the login: Not authorized"),
        ("3.1.1", "wrong", "refuses the login: Not authorized"),
    ],
)
def test_a_broker_that_asks_for_a_password(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, password: str, text: str | None
) -> None:
    """What it says is passed on, and the password is not."""
    monkeypatch.setenv("GATEWAY_PASSWORD", password)
    with mosquitto.running(tmp_path / "broker", users={"gateway": "right"}) as broker:
        asked = by_topic(bundle, broker.port, version=version, user="gateway", password_env="GATEWAY_PASSWORD")
        report = check(asked, "g.toml")
    assert texts(report, "wrong", "broker") == ([] if text is None else [f"127.0.0.1:{broker.port}: {text}"])
    assert texts(report, "fine", "password") == ["found in GATEWAY_PASSWORD"]
    if password == "wrong":
        assert "wrong" not in json.dumps(report.to_json()["findings"]).replace('"wrong"', "")


def test_a_broker_that_does_not_let_it_say_anything(bundle: Path, tmp_path: Path) -> None:
    """With MQTT 5 a message that is not allowed is refused."""
    acl = tmp_path / "acl"
    acl.write_text("topic read plant/#\n")
    with mosquitto.running(tmp_path / "broker", f"acl_file {acl}") as broker:
        report = check(by_topic(bundle, broker.port), "g.toml")
    assert texts(report, "wrong", "publish") == [f"127.0.0.1:{broker.port}: refuses anomalite/hall/...: Not authorized"]


def test_subscriptions_that_are_refused_or_lowered(bundle: Path, tmp_path: Path, quick: None) -> None:
    """By a broker that answers the login and what is said here to each subscription: Mosquitto's files cannot be made to."""
    with Scripted({"plant/+/readings": 0x87, "hall/+/readings": 0}) as broker:
        groups = tuple(
            Group(str(bundle), f"{hall}/{{machine}}/readings", machines=(hall,)) for hall in ("plant", "hall", "third")
        )
        report = check(by_topic(bundle, broker.port).replaced(groups=groups), "g.toml")
    where = f"127.0.0.1:{broker.port}"
    assert texts(report, "wrong", "subscribe") == [
        f"{where}: refuses plant/+/readings: Not authorized",
        f"{where}: no answer to the subscription to third/+/readings",
    ]
    assert texts(report, "note", "subscribe") == [
        f"{where}: hall/+/readings with QoS 0 instead of 1: readings may get lost on the way"
    ]


@pytest.mark.parametrize(
    ("server", "tls", "state", "text"),
    [
        ("server", {"ca_file": "ca.pem"}, "note", "the broker's certificate is valid until"),
        ("server", {"verify": False}, "fine", "lets anyone in"),
        ("server", {"ca_file": "stranger.pem"}, "wrong", "the broker's certificate is not accepted: "),
        ("server", {}, "wrong", "the broker's certificate is not accepted: "),
        ("elsewhere", {"ca_file": "ca.pem"}, "wrong", "the broker's certificate is not accepted: IP address mismatch"),
        (
            "expired",
            {"ca_file": "ca.pem"},
            "wrong",
            "the broker's certificate is not accepted: certificate has expired",
        ),
        ("server", None, "wrong", "is this the port for MQTT without TLS?"),
    ],
)
def test_a_broker_with_tls(
    bundle: Path,
    tmp_path: Path,
    certificates: Path,
    quick: None,
    server: str,
    tls: dict[str, Any] | None,
    state: str,
    text: str,
) -> None:
    """Its certificate has to be of a CA that is trusted, for this name, and valid."""
    form = None if tls is None else TLS(**{k: str(certificates / v) if type(v) is str else v for k, v in tls.items()})
    with mosquitto.running(tmp_path / "broker", *mosquitto.tls_options(certificates, server)) as broker:
        report = check(by_topic(bundle, broker.port, tls=form), "g.toml")
    assert any(text in each for each in texts(report, state, "broker")), list(report.lines())


def test_a_broker_that_asks_for_a_certificate(bundle: Path, tmp_path: Path, certificates: Path, quick: None) -> None:
    """With one it lets the gateway in, without it does not."""
    own = {"cert_file": str(certificates / "client.pem"), "key_file": str(certificates / "client.key")}
    options = mosquitto.tls_options(certificates, of_client=True)
    with mosquitto.running(tmp_path / "broker", *options) as broker:
        with_one = check(by_topic(bundle, broker.port, tls=TLS(str(certificates / "ca.pem"), **own)), "g.toml")
        without = check(by_topic(bundle, broker.port, tls=TLS(str(certificates / "ca.pem"))), "g.toml")
    assert texts(with_one, "wrong") == []
    assert len(texts(without, "wrong", "broker")) == 1


def test_tls_where_the_broker_has_none(bundle: Path, tmp_path: Path, certificates: Path, quick: None) -> None:
    """The port may be the wrong one."""
    with mosquitto.running(tmp_path / "broker") as broker:
        report = check(by_topic(bundle, broker.port, tls=TLS(str(certificates / "ca.pem"))), "g.toml")
    assert "is this the" in texts(report, "wrong", "broker")[0]


def test_a_broker_that_is_not_there(bundle: Path, quick: None) -> None:
    """Refused, an unknown name, and one that accepts the connection and says nothing."""
    report = check(by_topic(bundle, mosquitto.free_port()), "g.toml")
    assert texts(report, "wrong", "broker")[0].endswith(": Connection refused")
    nowhere = by_topic(bundle, 1883).replaced(mqtt=MQTT("broker.invalid"))
    assert "broker.invalid:1883: the name of the broker is not known" in texts(check(nowhere, "g.toml"), "wrong")[0]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        report = check(by_topic(bundle, silent.getsockname()[1]), "g.toml")
    assert "does not answer the login" in texts(report, "wrong", "broker")[0]


def test_a_running_gateway_keeps_its_connection(bundle: Path, tmp_path: Path) -> None:
    """A second login under its client id would end it."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    with mosquitto.running(tmp_path / "broker") as broker:
        gateway = Client(CallbackAPIVersion.VERSION2, "anomalite-hall")
        gateway.connect("127.0.0.1", broker.port)
        gateway.loop_start()
        check(by_topic(bundle, broker.port), "g.toml")
        assert gateway.publish("x", b"", 1).wait_for_publish(10) is None
        assert gateway.is_connected()
        gateway.disconnect()
        gateway.loop_stop()
        log = broker.log
    assert "already connected" not in log


class Scripted:
    """A broker that answers a login with success, and each subscription with a code, or not at all."""

    def __init__(self, codes: dict[str, int]) -> None:
        import threading

        self._codes = codes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._listening.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as stream:
            while header := stream.read(2):  # packets here are shorter than 128 bytes
                body = stream.read(header[1])
                if header[0] == 0x10:
                    connection.sendall(bytes([0x20, 3, 0, 0, 0]))
                elif header[0] == 0x82:
                    topic = body[5 : 5 + body[4]].decode()
                    if topic in self._codes:
                        connection.sendall(bytes([0x90, 4, *body[:2], 0, self._codes[topic]]))


def test_a_finding_is_a_line(bundle: Path) -> None:
    """In three columns, the wrong ones in capitals."""
    findings = (Finding("fine", "a", "x"), Finding("wrong", "bcd", "y"))
    report = Report("g.toml", findings, check(config(bundle), "g.toml").plan)
    assert list(report.lines())[:2] == ["fine   a    x", "WRONG  bcd  y"]
    assert os.linesep not in "".join(report.lines())
