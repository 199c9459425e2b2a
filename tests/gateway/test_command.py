"""Messages on the gateway's topic for commands: what they ask for, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.command import Acknowledge, Begin, End, parse_command

MINUTE = 60_000_000
NOW = 1_800_000_000_000_000  # 2027-01-15 08:00 UTC


def command(**keys: Any) -> bytes:
    return json.dumps(keys).encode()


def test_commands() -> None:
    """Each as its JSON says; times are ISO 8601, UTC where they do not say."""
    alert = "0123456789abcdef"
    assert parse_command(command(command="acknowledge", alert=alert, by="Ann")) == Acknowledge(alert, "Ann")
    assert parse_command(command(command="acknowledge", alert=alert)) == Acknowledge(alert, "")
    assert parse_command(command(command="end_maintenance", machines=["a", "b", "a"])) == End(("a", "b"))
    given = command(command="maintenance", machines=["a"], minutes=30, note="oil", by="Bo")
    assert parse_command(given) == Begin(("a",), None, None, 30.0, "oil", "Bo")
    given = command(command="maintenance", machines=["a"], start="2027-01-15T08:00", end="2027-01-15T11:00+01:00")
    assert parse_command(given) == Begin(("a",), NOW, NOW + 120 * MINUTE, None, "", "")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "json"),
        (b"\xff\xfe", "json"),
        (b"[" * 50_000, "json"),
        (b"[]", "json"),
        (b'{"command": "acknowledge", "alert": "0123456789abcdef", "alert": "0123456789abcdee"}', "json"),
        (b'{"command": "maintenance", "machines": ["a"], "minutes": NaN}', "type"),
        (b'{"command": "maintenance", "machines": ["a"], "minutes": 1e999}', "time"),
        (b'{"command": "maintenance", "machines": ["a"], "minutes": ' + b"9" * 5_000 + b"}", "json"),
        (b" " * 70_000, "size"),
        (command(), "command"),
        (command(command="reboot"), "command"),
        (command(command=["acknowledge"]), "command"),
        (command(command="acknowledge"), "type"),
        (command(command="acknowledge", alert="../etc"), "command"),
        (command(command="acknowledge", alert="0123456789abcdef", by="a\nb"), "type"),
        (command(command="acknowledge", alert="0123456789abcdef", by="x" * 300), "type"),
        (command(command="acknowledge", alert="0123456789abcdef", machines=["a"]), "command"),
        (command(command="maintenance", machines=["a"]), "command"),
        (command(command="maintenance", machines=["a"], minutes=3, end="2027-01-01"), "command"),
        (command(command="maintenance", machines=["a"], minutes=0), "time"),
        (command(command="maintenance", machines=["a"], minutes=True), "time"),
        (command(command="maintenance", machines=["a"], minutes="30"), "time"),
        (command(command="maintenance", machines=["a"], minutes=60 * 24 * 32), "time"),
        (command(command="maintenance", machines=["a"], end="tomorrow"), "time"),
        (command(command="maintenance", machines=["a"], end=1_800_000_000), "time"),
        (command(command="maintenance", machines=["a"], start="2027-01-02", end="2027-01-01"), "time"),
        (command(command="maintenance", machines=["a"], start="2027-01-02", end="2028-01-01"), "time"),
        (command(command="maintenance", machines=[], minutes=3), "machine"),
        (command(command="maintenance", machines="a", minutes=3), "machine"),
        (command(command="maintenance", machines=["a", 3], minutes=3), "machine"),
        (command(command="maintenance", machines=["a\u202e"], minutes=3), "machine"),
        (command(command="maintenance", machines=[f"m{n}" for n in range(1_001)], minutes=3), "machine"),
        (command(command="end_maintenance"), "machine"),
    ],
)
def test_what_is_no_command_is_refused(payload: bytes, reason: str) -> None:
    """With a reason to count by, and one printable line."""
    with pytest.raises(PayloadError) as fault:
        parse_command(payload)
    assert fault.value.reason == reason
    assert str(fault.value).isprintable()
    assert len(str(fault.value)) < 400


def test_a_retained_command_is_refused() -> None:
    """The broker would give it again at every start, and the gateway do it again."""
    with pytest.raises(PayloadError, match="without retain"):
        parse_command(command(command="end_maintenance", machines=["a"]), is_retained=True)


@settings(max_examples=examples(300))
@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.sampled_from(["command", "machines", "minutes", "end"]), some),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_payload_raises_anything_else(payload: bytes) -> None:
    """Whatever comes in is a command or a `PayloadError`."""
    with contextlib.suppress(PayloadError):
        parse_command(payload)
