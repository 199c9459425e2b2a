"""The configuration: what is read, what is refused and where, and where the password is."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import InputError, SchemaError
from edge_runtime.gateway.config import HTTP, MQTT, TLS, GatewayConfig, Group, Maintenance, Payload, Storage
from edge_runtime.gateway.config_file import Secret, journal_folder, parse_config, read_config, secret
from edge_runtime.schema import decode, encode

LEAST: dict[str, Any] = {
    "name": "hall-2",
    "mqtt": {},
    "storage": {"folder": "state"},
    "groups": [{"bundle": "pump.anomalite", "topic": "plant/{machine}/readings", "machines": ["press"]}],
}
TOML = """
name = "hall-2"
tick_ms = 20
[mqtt]
host = "broker"
user = "gateway"
password_file = "secret"
[mqtt.tls]
ca_file = "ca.pem"
[storage]
folder = "state"
journal_folder = "/run/anomalite"
[http]
port = 8080
[[groups]]
bundle = "../pump.anomalite"
topic = "plant/{machine}/readings"
machines = ["press"]
appear = 8
[groups.payload]
time = "at"
channels = { vibration = "data.0" }
[[groups]]
bundle = "/opt/saw.anomalite"
lines = "saw.jsonl"
machines = ["saw"]
[[maintenance]]
machines = ["press", "new"]
start = 2026-01-01T08:00:00
end = 2026-01-01T14:00:00+02:00
"""


def test_a_whole_configuration(tmp_path: Path) -> None:
    """Relative paths start at its folder; a naive time is UTC; what is not given is the default."""
    file = tmp_path / "conf" / "gateway.toml"
    file.parent.mkdir()
    file.write_text(TOML)
    config = read_config(file)
    here = str(file.parent)
    assert config == GatewayConfig(
        "hall-2",
        (
            Group(
                f"{tmp_path}/pump.anomalite", "plant/{machine}/readings", machines=("press",), appear=8,
                payload=Payload(time="at", channels={"vibration": "data.0"}),
            ),
            Group("/opt/saw.anomalite", lines=f"{here}/saw.jsonl", machines=("saw",)),
        ),
        Storage(f"{here}/state", "/run/anomalite"),
        MQTT("broker", user="gateway", password_file=f"{here}/secret", tls=TLS(f"{here}/ca.pem")),
        HTTP(8080),
        (Maintenance(("press", "new"), datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC)),),
        20.0,
    )  # fmt: skip
    assert config.mqtt is not None
    assert (config.mqtt.broker_port, MQTT().broker_port, MQTT(port=1).broker_port) == (8883, 1883, 1)


def test_standard_input_is_no_path(tmp_path: Path) -> None:
    """`-` stays what it is."""
    file = tmp_path / "g.toml"
    file.write_text('name = "a"\nstorage = {folder = "s"}\n[[groups]]\nbundle = "b"\nlines = "-"\nmachines = ["x"]\n')
    assert read_config(str(file)).groups[0].lines == "-"


GROUP = LEAST["groups"][0]
LONG = 2**16


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"name": "a/b"}, "$", "name: expected a name without /"),
        ({"name": ""}, "$", "name: expected a name, got an empty one"),
        ({"name": "$x"}, "$", "without $ at its start"),
        ({"name": "x" * 101}, "$", "at most 100 characters"),
        ({"groups": []}, "$", "expected one or more groups"),
        ({"tick_ms": 0.5}, "$", "expected tick_ms from 1 to 1,000, got 0.5"),
        ({"mqtt": None}, "$", "expected the table mqtt"),
        ({"mqtt": {"port": 0}}, "$.mqtt", "expected port from 1 to 65,535"),
        ({"mqtt": {"port": LONG}}, "$.mqtt", "expected port from 1 to 65,535"),
        ({"mqtt": {"keepalive_s": 0}}, "$.mqtt", "expected keepalive_s"),
        ({"mqtt": {"session_expiry_s": -1}}, "$.mqtt", "expected session_expiry_s"),
        ({"mqtt": {"host": "mqtt://x"}}, "$.mqtt", "expected host to be a name or an address alone"),
        ({"mqtt": {"host": "u:hunter2@x"}}, "$.mqtt", "expected host to be a name or an address alone, without mqtt://, user or password"),
        ({"mqtt": {"prefix": "a/#"}}, "$.mqtt", "prefix: expected a name without"),
        ({"mqtt": {"prefix": "a//b"}}, "$.mqtt", "prefix: expected a name, got an empty one"),
        ({"mqtt": {"prefix": "$a"}}, "$.mqtt", "without $ at its start"),
        ({"mqtt": {"version": "3"}}, "$.mqtt.version", "unknown value '3'"),
        ({"mqtt": {"user": "u", "password_env": "A", "password_file": "b"}}, "$.mqtt", "password_env or password_file, got both"),
        ({"mqtt": {"password_env": "A"}}, "$.mqtt", "expected a user beside the password"),
        ({"mqtt": {"tls": {"key_file": "k"}}}, "$.mqtt.tls", "expected cert_file beside key_file"),
        ({"mqtt": {"tls": {"ca_file": "k", "verify": False}}}, "$.mqtt.tls", "it would not be looked at"),
        ({"mqtt": {"tls": {"ca_file": ""}}}, "$.mqtt.tls", "expected ca_file to be text"),
        ({"storage": {}}, "$.storage", "expected the key 'folder'"),
        ({"storage": {"folder": ""}}, "$.storage", "expected folder to be text"),
        ({"storage": {"folder": "s", "max_mb": 0.9}}, "$.storage", "expected max_mb from 1 to"),
        ({"storage": {"folder": "s", "keep_days": 0}}, "$.storage", "expected keep_days"),
        ({"storage": {"folder": "s", "save_every_s": 0.5}}, "$.storage", "expected save_every_s from 1"),
        ({"http": {"port": -1}}, "$.http", "expected port from 0"),
        ({"http": {"port": 1, "address": ""}}, "$.http", "expected address to be text"),
        ({"maintenance": [{"machines": [], "start": "2026-01-01", "end": "2026-01-02"}]}, "$.maintenance[0]", "one or more machines"),
        ({"maintenance": [{"machines": ["press"], "start": "2026-01-02", "end": "2026-01-02"}]}, "$.maintenance[0]", "an end after the start"),
        ({"maintenance": [{"machines": ["saw"], "start": "2026-01-01", "end": "2026-01-02"}]}, "$", "maintenance of known machines, got 'saw'"),
        ({"groups": [GROUP, {**GROUP, "machines": ["press"]}]}, "$", "each machine in one group, got 'press' in two"),
        ({"groups": [GROUP, {**GROUP, "topic": "plant/+/readings", "machines": ["saw"]}]}, "$", "without a message in common"),
        ({"groups": [{**GROUP, "topic": "anomalite/hall-2/{machine}"}]}, "$", "what the gateway says itself"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], path: str, message: str) -> None:
    """With the place of the fault, and without a password in the message."""
    assert_refused({**LEAST, **changes}, path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topic": None}, "expected a topic or lines, got neither"),
        ({"lines": "-"}, "expected a topic or lines, got both"),
        ({"bundle": ""}, "expected bundle to be text"),
        ({"engine": "lite"}, "unknown engine 'lite', known: auto, "),
        ({"topic": "a/#"}, "as a whole level of a topic"),
        ({"topic": "a/{machine}/{machine}"}, "expected {machine} once"),
        ({"topic": "$SYS/{machine}"}, "without $ at its start"),
        ({"appear": -1}, "expected appear from 0"),
        ({"silent_after_s": 0}, "expected silent_after_s"),
        ({"machines": ["a/b"]}, "machines[0]: expected a name without /"),
        ({"machines": ["ok", "x" * 101]}, "machines[1]: expected a name of at most 100 characters"),
        ({"machines": ["a\tb"]}, "machines[0]: expected a name without"),
        ({"machines": ["a", "a"]}, "expected machines with different names"),
        ({"machines": []}, "expected machines, or how many may appear, found neither"),
        ({"topic": "a/b", "machines": ["x", "y"]}, "expected one machine and no appear"),
        ({"topic": "a/b", "machines": [], "appear": 1}, "expected one machine and no appear"),
        ({"payload": {"machine": "id"}}, "got both"),
        ({"topic": None, "lines": "x", "payload": {"kind": "float32"}}, "expected text on each of the lines"),
        ({"topic": None, "lines": "x", "payload": {"kind": "samples"}}, "expected text on each of the lines"),
    ],
)
def test_what_a_group_cannot_be(changes: dict[str, Any], message: str) -> None:
    """How it is heard, and by what name."""
    changed = {key: value for key, value in {**GROUP, **changes}.items() if value is not None}
    assert_refused({**LEAST, "groups": [changed]}, "$.groups[0]", message)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"kind": "xml"}, "unknown value 'xml', known: json, array, csv, float32, samples"),
        ({"kind": "array", "channels": {"a": "b"}}, "expected no channels for a payload of the kind array"),
        ({"kind": "array", "time": "t"}, 'expected time = "first"'),
        ({"kind": "array", "many": "x"}, 'expected many = "$"'),
        ({"kind": "csv", "many": "$"}, "expected no many"),
        ({"kind": "csv", "ignore_missing": True}, "expected no ignore_missing"),
        ({"kind": "float32", "time": "first"}, "expected no time"),
        (
            {"kind": "samples", "time": "t"},
            "expected no time for a payload of the kind samples without the path of the samples",
        ),
        ({"sample_rate": "r"}, "expected no sample_rate for a payload of the kind json"),
        ({"channels": {"a": "x..y"}}, "channels.a: expected a path like data.vibration.0, got 'x..y'"),
        ({"time": ""}, "time: expected a path"),
        ({"many": "a."}, "many: expected a path"),
        ({"machine": "a\\"}, "machine: expected a path"),
        ({"max_kb": 0}, "expected max_kb"),
    ],
)
def test_what_a_payload_cannot_be(payload: dict[str, Any], message: str) -> None:
    """Each kind has its keys."""
    group = {**GROUP, "topic": "a/b"} if "machine" in payload else GROUP
    assert_refused({**LEAST, "groups": [{**group, "payload": payload}]}, "$.groups[0].payload", message)


def assert_refused(data: dict[str, Any], path: str, message: str) -> None:
    """Decoding it is a fault at `path`."""
    with pytest.raises(SchemaError) as caught:
        decode(GatewayConfig, data, "g.toml")
    assert message in caught.value.fault
    assert caught.value.path.startswith(path)
    assert "hunter2" not in str(caught.value)


def test_a_password_has_no_place_in_the_file() -> None:
    """The message says where it goes, and not what it is."""
    with pytest.raises(SchemaError) as caught:
        parse_config(b'[mqtt]\npassword = "hunter2"\n', "g.toml")
    assert str(caught.value) == (
        "g.toml: expected no password in this file: name an environment variable in password_env or a file in password_file "
        "- at $.mqtt.password"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "expected UTF-8 text, got the byte 0xff"),
        (b"a = ", "expected TOML, got: "),
        (b"a = " + b"[" * 100_000, "expected TOML, got: "),
        (b"a = " + b"9" * 5000, "expected TOML, got: "),
        (b"name = 0x" + b"f" * 5000, "cannot be used"),
        (b"#" * (2**20 + 1), "expected at most 1048576 bytes"),
        (b"a = 1", "unknown key 'a'"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: bytes, message: str) -> None:
    """Named with its file, never a traceback."""
    file = tmp_path / "g.toml"
    file.write_bytes(text)
    with pytest.raises(SchemaError, match=message) as caught:
        read_config(file)
    assert caught.value.source == str(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, no name at all."""
    for path in (tmp_path / "none.toml", tmp_path, "a\0b"):
        with pytest.raises(SchemaError, match="cannot be read"):
            read_config(path)


def test_the_journal_is_in_memory_where_systemd_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As configured; else the first runtime directory; else the storage folder."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/a:/run/b")
    assert journal_folder(Storage("/s", "/j")) == "/j"
    assert journal_folder(Storage("/s")) == "/run/a"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert journal_folder(Storage("/s")) == "/s"


# The password


def test_the_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is read when it is needed; a variable that is not there, empty, or no text is named."""
    mqtt = MQTT(user="u", password_env="A_PASSWORD")
    monkeypatch.delenv("A_PASSWORD", raising=False)
    with pytest.raises(InputError, match="the environment variable A_PASSWORD is not set"):
        secret(mqtt)
    monkeypatch.setenv("A_PASSWORD", "")
    with pytest.raises(InputError, match="A_PASSWORD is empty"):
        secret(mqtt)
    monkeypatch.setenv("A_PASSWORD", os.fsdecode(b"\xff"))
    with pytest.raises(InputError, match="expected UTF-8 text"):
        secret(mqtt)
    monkeypatch.setenv("A_PASSWORD", "hunter2 ")
    assert secret(mqtt) == ("hunter2 ", None)
    assert secret(MQTT(user="u")) == (None, None)


@pytest.mark.parametrize(
    ("text", "password"), [(b"p\n", "p"), (b"p\r\n", "p"), (b" p \n\n", " p \n"), ("pä".encode(), "pä")]
)
def test_the_password_of_a_file(tmp_path: Path, text: bytes, password: str) -> None:
    """Without the line end at its end; that others can read it is worth a warning."""
    file = tmp_path / "password"
    file.write_bytes(text)
    file.chmod(0o600)
    mqtt = MQTT(user="u", password_file=str(file))
    assert secret(mqtt) == (password, None)
    file.chmod(0o644)
    warning = secret(mqtt).warning
    assert warning is not None
    assert "everyone on this board can read it: chmod 600 it" in warning
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff", b"a\0b", b"x" * 65_536])
def test_what_is_no_password(tmp_path: Path, text: bytes) -> None:
    """Empty, too long for MQTT, no text; what it is does not stand in the message."""
    file = tmp_path / "password"
    file.write_bytes(text)
    with pytest.raises(InputError, match=r"mqtt\.password_file: .*expected") as caught:
        secret(MQTT(user="u", password_file=str(file)))
    assert "xxx" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        secret(MQTT(user="u", password_file=str(tmp_path / "none")))


def test_a_password_does_not_show() -> None:
    """Wherever it is printed."""
    assert "hunter2" not in f"{Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    assert "None" in repr(Secret(None))


# Whatever comes

SCRAPS = st.lists(
    st.sampled_from([
        *[f"{line}\n" for line in TOML.splitlines()], "[mqtt]\n", "[[groups]]\n", "= ", "{", "[", '"', "'''", "0xff", "1e999", "nan", "\n",
        "1979-05-27", "machines = []\n", "password = 1\n", "payload = {kind = 'csv'}\n", "\0", "\ud800",
    ])
    | st.text(max_size=5),
    max_size=12,
)  # fmt: skip


@given(st.binary(max_size=60) | SCRAPS.map(lambda scraps: "".join(scraps).encode("utf-8", "surrogatepass")))
@settings(max_examples=examples(600), deadline=None, derandomize=True, database=None)
def test_any_bytes_are_a_configuration_or_a_schema_error(text: bytes) -> None:
    """Nothing else comes out."""
    try:
        config = parse_config(text, "g.toml")
    except SchemaError as fault:
        source = fault.source
    else:
        source = "g.toml"
        assert decode(GatewayConfig, encode(config), "again") == config
    assert source == "g.toml"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["json", "csv", "-", "{machine}", "$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def with_change(data: Any, path: list[Any], value: Any) -> Any:
    """The same with another value at a place."""
    if not path:
        return value
    if isinstance(data, list):
        return [with_change(each, path[1:], value) if index == path[0] else each for index, each in enumerate(data)]
    return {**data, path[0]: with_change(data.get(path[0], {}) if isinstance(data, dict) else {}, path[1:], value)}


PLACES = [
    ["name"], ["tick_ms"], ["groups"], ["maintenance"], ["http"], *[["mqtt", key] for key in MQTT.field_types], ["mqtt", "tls", "verify"],
    *[["storage", key] for key in Storage.field_types], *[["http", key] for key in HTTP.field_types],
    *[["groups", 0, key] for key in Group.field_types], *[["groups", 0, "payload", key] for key in Payload.field_types],
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
@given(value=VALUES)
@settings(max_examples=examples(60), deadline=None, derandomize=True, database=None)
def test_any_value_in_any_place_fits_or_is_a_schema_error(place: list[Any], value: Any) -> None:
    """One that fits is encoded and decoded to the same."""
    data = with_change(LEAST, place, value)
    try:
        config = decode(GatewayConfig, data, "g.toml")
    except SchemaError as fault:
        text = str(fault)
    else:
        assert decode(GatewayConfig, encode(config), "again") == config
        return
    assert text.startswith("g.toml: ")
