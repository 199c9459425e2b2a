"""A payload becomes readings, whole, or one `PayloadError` that says why; whatever its bytes are."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import InputError, PayloadError
from edge_runtime.features import Features
from edge_runtime.gateway.config import Payload
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.payload import Decoder
from edge_runtime.gateway.payload_json import LIMIT_READINGS
from edge_runtime.manifest import Manifest, Waveform

MANIFEST = handmade.manifest(4, 2)
WAVEFORM = Waveform(1000.0, 8, {"x": "g", "y": "g"}, features=("rms", "peak"))
SHAKEN = handmade.manifest(4, 4, channels=WAVEFORM.columns, waveform=WAVEFORM)
NOON = 1_714_564_800_000_000
"""2024-05-01 12:00 UTC in microseconds."""
REASONS = {"json", "shape", "type", "time", "channel", "size", "topic", "machine"}
NESTED = {"c0": "data.0", "c1": "data.1.x"}
KINDS: dict[str, tuple[Payload, Manifest]] = {
    "json": (Payload(), MANIFEST),
    "json with paths, time and machine": (Payload(channels=NESTED, time="at", machine="id"), MANIFEST),
    "json that may miss channels": (Payload(ignore_missing=True), MANIFEST),
    "json with many": (Payload(many="all", time="$.at", machine="id"), MANIFEST),
    "json that is a list": (Payload(many="$"), MANIFEST),
    "array": (Payload(kind="array"), MANIFEST),
    "array with time": (Payload(kind="array", time="first"), MANIFEST),
    "array with many": (Payload(kind="array", many="$"), MANIFEST),
    "csv": (Payload(kind="csv"), MANIFEST),
    "csv with time": (Payload(kind="csv", time="first"), MANIFEST),
    "float32": (Payload(kind="float32"), MANIFEST),
    "samples": (Payload(kind="samples"), SHAKEN),
    "samples in json": (Payload(kind="samples", samples="s", time="at", sample_rate="hz", machine="id"), SHAKEN),
    "samples that are all": (Payload(kind="samples", samples="$"), SHAKEN),
}


def decode(payload: bytes | str, of: str | None = "m", /, **keys: Any) -> list[Decoded]:
    """With a bundle of the channels c0 and c1."""
    data = payload.encode() if isinstance(payload, str) else payload
    return Decoder(Payload(**keys), MANIFEST).decode(data, of)


def refusal(payload: bytes | str, /, **keys: Any) -> PayloadError:
    """Why it is refused."""
    with pytest.raises(PayloadError) as caught:
        decode(payload, **keys)
    return caught.value


def same(one: list[Decoded], other: list[Decoded]) -> bool:
    """Equal, and missing where the other is missing."""
    return repr(one) == repr(other)


NAN = math.nan


@pytest.mark.parametrize(
    ("keys", "payload", "expected"),
    [
        ({}, '{"c1": 2, "c0": 1.5, "other": "x"}', [(None, 1.5, 2.0)]),
        ({}, '\ufeff {"c0": null, "c1": -0.0}\n', [(None, NAN, -0.0)]),
        ({}, '{"c0": 1, "c1": 2, "c1": 3}', [(None, 1.0, 3.0)]),
        ({"ignore_missing": True}, '{"c1": 2}', [(None, NAN, 2.0)]),
        ({"ignore_missing": True, "channels": NESTED}, '{"data": [5, null]}', [(None, 5.0, NAN)]),
        ({"channels": NESTED}, '{"data": [1, {"x": 2}]}', [(None, 1.0, 2.0)]),
        ({"channels": {"c0": "a\\.b", "c1": "0.1"}}, '{"a.b": 1, "0": {"1": 2}}', [(None, 1.0, 2.0)]),
        ({"time": "t"}, '{"t": "2024-05-01T14:00:00+02:00", "c0": 1, "c1": 2}', [(NOON, 1.0, 2.0)]),
        ({"many": "all", "time": "t"}, '{"all": [{"t": 1714564800, "c0": 1, "c1": 2}]}', [(NOON, 1.0, 2.0)]),
        ({"many": "$"}, '[{"c0": 1, "c1": 2}, {"c0": 3, "c1": 4}]', [(None, 1.0, 2.0), (None, 3.0, 4.0)]),
        ({"kind": "array"}, "[1, null]", [(None, 1.0, NAN)]),
        ({"kind": "array", "time": "first"}, "[1714564800000, 1, 2]", [(NOON, 1.0, 2.0)]),
        ({"kind": "array", "many": "$"}, "[[1, 2], [3, 4]]", [(None, 1.0, 2.0), (None, 3.0, 4.0)]),
        ({"kind": "csv"}, "1, -2.5e3\r\n", [(None, 1.0, -2500.0)]),
        ({"kind": "csv"}, ",2\n3, \n", [(None, NAN, 2.0), (None, 3.0, NAN)]),
        ({"kind": "csv", "time": "first"}, "2024-05-01T12:00:00Z,1,2\n", [(NOON, 1.0, 2.0)]),
        ({"kind": "csv", "time": "first"}, "1714564800.5,1,2", [(NOON + 500_000, 1.0, 2.0)]),
        ({"kind": "float32"}, struct.pack("<4f", 1, NAN, math.inf, 4), [(None, 1.0, NAN), (None, math.inf, 4.0)]),
    ],
)  # fmt: skip
def test_what_is_meant_is_understood(
    keys: dict[str, Any], payload: str | bytes, expected: list[tuple[int | None, float, float]]
) -> None:
    """One of each."""
    assert same(decode(payload, **keys), [Decoded("m", time, tuple(values)) for time, *values in expected])


@pytest.mark.parametrize(
    ("keys", "payload", "reason", "message"),
    [
        ({}, "", "size", "expected a message of 1 to 262144 bytes, got 0"),
        ({}, b"\xff{}", "json", "expected UTF-8 text, got the byte 0xff at position 0"),
        ({}, "{", "json", "expected JSON: Expecting property name"),
        ({}, '{"c0": 1, "c1": 2} x', "json", "expected JSON: Extra data at character 20"),
        ({}, '{"c0": 1, "c1": "a\x00b"}', "json", "Invalid control character"),
        ({}, "[" * 100_000, "json", "less lists and objects within each other"),
        ({}, '{"c0":' * 30_000, "json", "less lists and objects within each other"),
        ({}, '{"c0": 1, "c1": ' + "9" * 5000 + "}", "type", "a very large number"),
        ({}, '{"c0": 1, "c1": ' + "9" * 400 + "}", "type", "of 'c1', got a very large number"),
        ({}, '{"c0": 1e999, "c1": 2}', "type", "a number that a double can hold, or null, of 'c0', got inf"),
        ({}, '{"c0": NaN, "c1": 2}', "type", "got NaN"),
        ({}, '{"c0": 1, "c1": -Infinity}', "type", "got -Infinity"),
        ({}, '{"c0": "1", "c1": 2}', "type", "of 'c0', got '1'"),
        ({}, '{"c0": true, "c1": 2}', "type", "of 'c0', got true"),
        ({}, '{"c0": [1], "c1": 2}', "type", "of 'c0', got a list of 1"),
        ({}, '{"c0": {}, "c1": 2}', "type", "of 'c0', got an object"),
        ({}, "7", "shape", "expected an object, got 7"),
        ({}, "[]", "channel", "expected the channel 'c0', found nothing there"),
        ({"ignore_missing": True}, '{"d": 1}', "channel", "expected the channel 'c0'"),
        ({"channels": NESTED}, '{"data": [1, 2]}', "channel", "expected the channel 'c1' at 'data.1.x', found nothing"),
        ({"time": "t"}, '{"c0": 1, "c1": 2}', "time", "expected the time at t, found nothing there"),
        ({"time": "t"}, '{"t": "noon", "c0": 1, "c1": 2}', "time", "got 'noon'"),
        ({"machine": "id"}, '{"c0": 1, "c1": 2}', "machine", "the machine's name at id, found nothing there"),
        ({"machine": "id"}, '{"id": 1.5, "c0": 1, "c1": 2}', "machine", "at id, got 1.5"),
        ({"machine": "id"}, '{"id": "a/b", "c0": 1, "c1": 2}', "machine", "got 'a/b'"),
        ({"machine": "id"}, '{"id": "\\ud800", "c0": 1, "c1": 2}', "machine", r"got '\ud800'"),
        ({"machine": "id"}, '{"id": "\\u0000", "c0": 1, "c1": 2}', "machine", r"got '\x00'"),
        ({"many": "all"}, "{}", "shape", "expected a list of readings, got nothing there"),
        ({"many": "$"}, "[]", "shape", "expected a list of readings, got none"),
        ({"many": "$"}, "[" + "0," * LIMIT_READINGS + "0]", "size", "at most 10000 readings in a message, got 10001"),
        ({"many": "$"}, '[{"c0": 1, "c1": 2}, {"c0": 1}]', "channel", "reading 2 of 2: expected the channel 'c1'"),
        ({"kind": "array"}, "[1, 2, 3]", "shape", "expected a list of 2 numbers, got a list of 3"),
        ({"kind": "array"}, '{"0": 1}', "shape", "got an object"),
        ({"kind": "array"}, "[1, false]", "type", "in place 2, got false"),
        ({"kind": "array", "time": "first"}, "[1, 2]", "shape", "a list of 3 values, the time first, got a list of 2"),
        ({"kind": "array", "many": "$"}, "[[1, 2], [3]]", "shape", "reading 2 of 2"),
        ({"kind": "csv"}, "1,2\n\n3,4\n", "shape", "reading 2 of 3: expected 2 numbers, with commas between, got 1"),
        ({"kind": "csv"}, "1;2", "shape", "got 1 in '1;2'"),
        ({"kind": "csv"}, "1,nan", "type", "got 'nan'"),
        ({"kind": "csv"}, "1,1_0", "type", "got '1_0'"),
        ({"kind": "csv"}, "1,\u0663", "type", "got '\\u0663'"),
        ({"kind": "csv"}, "1,1e999", "type", "got '1e999'"),
        ({"kind": "csv"}, "1,e", "type", "got 'e'"),
        ({"kind": "csv"}, ",\n" * (LIMIT_READINGS + 1), "size", "at most 10000 readings"),
        ({"kind": "csv", "time": "first"}, ",1,2", "time", "got ''"),
        ({"kind": "float32"}, b"1234", "shape", "expected a multiple of 8 bytes, got 4"),
        ({"kind": "float32"}, bytes(8 * (LIMIT_READINGS + 1)), "size", "at most 10000 readings"),
        ({"max_kb": 1}, "[" * 1025, "size", "expected a message of 1 to 1024 bytes, got 1025"),
    ],
)
def test_what_is_wrong_is_said(keys: dict[str, Any], payload: str | bytes, reason: str, message: str) -> None:
    """With the word that the metrics count by, and a line that names the place."""
    fault = refusal(payload, **keys)
    assert (fault.reason, message in str(fault)) == (reason, True), str(fault)


def test_a_machine_is_whom_the_topic_or_the_message_names() -> None:
    """A number is a name too; each reading may be of another machine; nobody is nobody."""
    assert decode('{"id": 7, "c0": 1, "c1": 2}', None, machine="id")[0].machine == "7"
    two = '{"all": [{"id": "a", "c0": 1, "c1": 2}, {"id": "b", "c0": 1, "c1": 2}]}'
    assert [each.machine for each in decode(two, None, many="all", machine="id")] == ["a", "b"]
    outer = '{"id": "a", "all": [{"c0": 1, "c1": 2}]}'
    assert decode(outer, None, many="all", machine="$.id")[0].machine == "a"
    with pytest.raises(PayloadError, match="which machine") as caught:
        decode('{"c0": 1, "c1": 2}', None)
    assert caught.value.reason == "machine"


def test_a_bundle_of_one_channel() -> None:
    """Is read as any other."""
    one = handmade.manifest(4, 1)
    assert Decoder(Payload(), one).decode(b'{"c0": 4}', "m") == [Decoded("m", None, (4.0,))]
    assert Decoder(Payload(kind="csv"), one).decode(b"4\n5\n", "m")[1] == Decoded("m", None, (5.0,))


def test_a_large_sum_is_no_large_number() -> None:
    """Values that a double can hold are taken, though together they are beyond it."""
    assert decode('{"c0": 1.7e308, "c1": 1.7e308}')[0].values == (1.7e308, 1.7e308)


def test_payload_and_bundle_have_to_fit() -> None:
    """A channel that the bundle does not have, and samples for a bundle without a waveform."""
    with pytest.raises(InputError, match="unknown channel 'c00', did you mean 'c0'"):
        Decoder(Payload(channels={"c00": "x"}), MANIFEST)
    with pytest.raises(InputError, match="expected a bundle with a waveform for samples, handmade has none"):
        Decoder(Payload(kind="samples"), MANIFEST)


# Samples


def snapshot(seed: int = 1) -> np.ndarray:
    """(8, 2) float32."""
    return np.random.default_rng(seed).normal(0, 1, (8, 2)).astype(np.float32)


def test_samples_become_features_however_they_come() -> None:
    """Packed or in JSON, the features are those of `Features`, to the bit."""
    raw = snapshot()
    expected = tuple(Features(WAVEFORM).step(raw).tolist())
    packed = Decoder(Payload(kind="samples"), SHAKEN).decode(raw.astype("<f4").tobytes(), "m")
    assert packed == [Decoded("m", None, expected)]
    text = json.dumps({"s": raw.tolist(), "hz": 1000, "at": NOON // 1000, "id": "p"}).encode()
    payload, manifest = KINDS["samples in json"]
    assert Decoder(payload, manifest).decode(text, None) == [Decoded("p", NOON, expected)]


def test_one_raw_channel_may_be_a_plain_list() -> None:
    """And a sample that is missing makes its features missing."""
    waveform = Waveform(1000.0, 8, {"x": "g"}, features=("rms",))
    decoder = Decoder(
        Payload(kind="samples", samples="s"), handmade.manifest(4, 1, channels=waveform.columns, waveform=waveform)
    )
    assert decoder.decode(b'{"s": [1, 1, 1, 1, 1, 1, 1, 1]}', "m")[0].values == (1.0,)
    assert decoder.decode(b'{"s": [[1], [1], [1], [1], [1], [1], [1], [1]]}', "m")[0].values == (1.0,)
    assert math.isnan(decoder.decode(b'{"s": [1, 1, 1, 1, null, 1, 1, 1]}', "m")[0].values[0])


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({}, "shape", "expected 8 lists of 2 samples, got nothing there"),
        ({"s": [[1, 2]] * 7}, "shape", "expected 8 lists of 2 samples, got a list of 7"),
        ({"s": [[1, 2]] * 7 + [[1]]}, "shape", "got a list of 1 among them"),
        ({"s": [1] * 8}, "shape", "got 1 among them"),
        ({"s": [[1, "2"]] * 8}, "type", "got '2'"),
        ({"s": [[1, True]] * 8}, "type", "got true"),
        ({"s": [[1, 10**400]] * 8}, "type", "a very large number"),
        ({"s": [[1, 2]] * 8, "hz": 999}, "shape", "expected samples at 1000 Hz, got 999 Hz"),
        ({"s": [[1, 2]] * 8, "hz": None}, "type", "the sample rate in Hz at hz, got null"),
        ({"s": [[1, 2]] * 8}, "type", "the sample rate in Hz at hz, found nothing there"),
    ],
)
def test_samples_of_another_form_are_refused(message: dict[str, Any], reason: str, text: str) -> None:
    """Length, channels, type and rate."""
    keys: dict[str, Any] = {"sample_rate": "hz"} if "hz" in message or "rate" in text else {}
    decoder = Decoder(Payload(kind="samples", samples="s", **keys), SHAKEN)
    with pytest.raises(PayloadError) as caught:
        decoder.decode(json.dumps(message).encode(), "m")
    assert (caught.value.reason, text in str(caught.value)) == (reason, True), str(caught.value)


def test_packed_samples_have_one_length() -> None:
    """All of them, and no more."""
    decoder = Decoder(Payload(kind="samples"), SHAKEN)
    for size in (1, 60, 68, 128):
        with pytest.raises(PayloadError, match=r"expected 64 bytes \(8 x 2 float32\)"):
            decoder.decode(bytes(size), "m")


def test_a_long_waveform_has_room() -> None:
    """The limit is what the snapshot can need, and what is configured where that is."""
    waveform = Waveform(20_000.0, 100_000, {"x": "g"}, features=("rms",))
    long = handmade.manifest(4, 1, channels=waveform.columns, waveform=waveform)
    assert Decoder(Payload(kind="samples"), long).max_bytes >= 400_000
    assert Decoder(Payload(kind="samples", samples="$"), long).max_bytes >= 100_000 * len("-1.2345678901234567e-300,")
    assert Decoder(Payload(kind="samples", max_kb=2), long).max_bytes == 2048
    assert Decoder(Payload(), long).max_bytes == 256 * 1024


# Whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["m", "2024-05-01T12:00"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["c0", "c1", "data", "all", "at", "id", "s", "hz", "x", ""]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
HOSTILE = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.text("0123456789.,eE+-nNaif \r\n_:TZ", max_size=40).map(str.encode),
    st.binary(min_size=64, max_size=64),
)


def check_line(fault: PayloadError, payload: bytes) -> None:
    """The error is one short printable line with a known reason, and at most 80 characters of the payload."""
    text = str(fault)
    assert fault.reason in REASONS
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 250
    if len(payload) > 81:
        shown = payload.decode("latin-1")
        assert not any(shown[start : start + 81] in text for start in range(len(shown) - 80))


@pytest.mark.parametrize("kind", KINDS)
@given(payload=HOSTILE)
@settings(max_examples=examples(300), deadline=None, derandomize=True, database=None)
def test_nothing_but_readings_or_a_payload_error_comes_out(kind: str, payload: bytes) -> None:
    """For any bytes; readings have a number for each channel and a time that a datetime can hold."""
    form, manifest = KINDS[kind]
    try:
        readings = Decoder(form, manifest).decode(payload, None if form.machine else "m")
    except PayloadError as fault:
        check_line(fault, payload)
        return
    assert readings
    for reading in readings:
        assert type(reading.machine) is str
        assert reading.time is None or type(reading.time) is int
        assert [type(value) for value in reading.values] == [float] * len(manifest.channels)
        assert form.is_binary or form.kind == "samples" or not any(map(math.isinf, reading.values))


@pytest.mark.parametrize(
    "value", ["\n\x1b[2J" * 40, "é" * 300, "\ud800" * 100, "\\" * 200, "'\"" * 90, {"a": 1}, 10**300, -1e300, 7, None]
)
def test_an_excerpt_is_short_and_harmless(value: object) -> None:
    """ASCII, printable, and never more than 60 characters."""
    text = excerpt(value)
    assert text.isascii()
    assert text.isprintable()
    assert 0 < len(text) <= 60


# Against an oracle in plain loops


def looked_up(message: Any, keys: list[str]) -> Any:
    """By key in an object and by position in a list; a KeyError otherwise."""
    for key in keys:
        if isinstance(message, dict):
            message = message[key]
        elif isinstance(message, list) and key.isdigit() and int(key) < len(message):
            message = message[int(key)]
        else:
            raise KeyError(key)
    return message


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="$"), min_size=1, max_size=5)


@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=3, max_size=3, unique_by=tuple),
    values=st.lists(NUMBERS, min_size=3, max_size=3),
    rounds=st.integers(1, 3),
)
@settings(max_examples=examples(300), deadline=None, derandomize=True, database=None)
def test_objects_are_read_as_by_an_oracle(paths: list[list[str]], values: list[Any], rounds: int) -> None:
    """Any keys, dots and backslashes in them too, at any depth, once or many times in a message."""
    message: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        place = message
        for key in path[:-1]:
            inner = place.setdefault(key, {})
            place = inner if isinstance(inner, dict) else {}
        place[path[-1]] = value
    escaped = [".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in path) for path in paths]
    payload = Payload(channels={f"c{index}": path for index, path in enumerate(escaped)}, many="$")
    text = json.dumps([message] * rounds).encode()
    decoder = Decoder(payload, handmade.manifest(4, 3))
    try:
        found = [looked_up(message, path) for path in paths]
        expected = tuple(NAN if value is None else float(value) for value in found)
    except (KeyError, TypeError):  # one path lies within another
        with pytest.raises(PayloadError):
            decoder.decode(text, "m")
        return
    assert same(decoder.decode(text, "m"), [Decoded("m", None, expected)] * rounds)


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
@settings(max_examples=examples(200), deadline=None, derandomize=True, database=None)
def test_all_kinds_say_the_same(rows: list[tuple[Any, Any]]) -> None:
    """What is written as objects, arrays and CSV is read as the same readings, and as float32 once it is rounded."""
    expected = [Decoded("m", None, tuple(NAN if value is None else float(value) for value in row)) for row in rows]
    objects = json.dumps([{"c0": first, "c1": second} for first, second in rows])
    lines = "\n".join(",".join("" if value is None else repr(value) for value in row) for row in rows)
    assert same(decode(objects, many="$"), expected)
    assert same(decode(json.dumps(rows), kind="array", many="$"), expected)
    assert same(decode(lines, kind="csv"), expected)
    with np.errstate(over="ignore"):
        packed = np.array([row.values for row in expected], "<f4")
    rounded = [Decoded("m", None, tuple(row)) for row in packed.astype(np.float64).tolist()]
    assert same(decode(packed.tobytes(), kind="float32"), rounded)


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize(
    ("keys", "write"),
    [
        ({"many": "$"}, lambda rows: json.dumps([{"c0": a, "c1": b} for a, b in rows])),
        ({"kind": "array", "many": "$"}, json.dumps),
        ({"kind": "csv"}, lambda rows: "\n".join(f"{a},{b}" for a, b in rows)),
    ],
)
def test_a_message_is_taken_whole_or_not_at_all(
    keys: dict[str, Any], write: Callable[[list[list[Any]]], str], wrong: int
) -> None:
    """One bad reading refuses those before and after it, and the error says which it is."""
    rows: list[list[Any]] = [[1, 2], [3, 4], [5, 6]]
    assert len(decode(write(rows), **keys)) == 3
    rows[wrong][1] = "x"
    assert str(refusal(write(rows), **keys)).startswith(f"reading {wrong + 1} of 3: ")
