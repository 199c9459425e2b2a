"""docs/gateway.md, "Configuration": every key is named, in its own section, and every example of a payload is one."""

from __future__ import annotations

import math
import re
import struct
import tomllib
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime.gateway.config import HTTP, MQTT, TLS, GatewayConfig, Group, Maintenance, Payload, Storage
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.payload import Decoder
from edge_runtime.manifest import Channel, Waveform
from edge_runtime.record import Record
from edge_runtime.schema import decode

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
SECTION = PAGE.split("## Configuration\n")[1].split("\n## ")[0]
TABLES: dict[str, type[Record]] = {
    "`[[groups]]`": Group, "`[groups.payload]`": Payload, "`[mqtt]`": MQTT, "`[mqtt.tls]`": TLS, "`[storage]`": Storage,
    "`[http]`": HTTP, "`[[maintenance]]`": Maintenance,
}  # fmt: skip
EXAMPLES = re.findall(r"^```toml\n(.*?)^```\n```(json|csv|python)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
NOON = 1_772_362_800_000_000
"""2026-03-01 11:00 UTC."""
FULL, NEXT = (0.058, 21.5), (0.061, 21.5)
WAVEFORM = Waveform(1000.0, 8, {"x": "g"}, features=("peak",))


def described(text: str) -> set[str]:
    """The keys in the first column of a table."""
    return {key for line in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)`", line)}


@pytest.mark.parametrize("table", TABLES)
def test_each_key_is_described_in_its_section(table: str) -> None:
    """And no other: a key that is gone is gone from the page."""
    (text,) = [part for part in SECTION.split("\n### ")[1:] if part.split("\n")[0].split(":")[0] == table]
    assert described(text) == set(TABLES[table].field_types)


def test_the_tables_are_all_there_are() -> None:
    """What is at the top is a key or a table with a section, and so is what is in a table."""
    plain = described(SECTION.split("\n### ")[0])
    assert plain | {"groups", "mqtt", "storage", "http", "maintenance"} == set(GatewayConfig.field_types)
    assert len(SECTION.split("\n### ")) == 1 + len(TABLES)


def seen(keys: dict[str, Any], message: bytes) -> list[Decoded]:
    """The readings of an example."""
    if keys["kind"] == "samples":
        manifest = handmade.manifest(4, 1, channels=WAVEFORM.columns, waveform=WAVEFORM)
    else:
        manifest = handmade.manifest(4, 2, channels=(Channel("vibration", "g"), Channel("temperature", "degC")))
    payload = decode(Payload, keys, "docs/gateway.md")
    return Decoder(payload, manifest).decode(message, None if payload.machine else "m")


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        *zip(
            EXAMPLES,
            [
                [Decoded("m", None, FULL)],
                [Decoded("m", NOON + 250_000, (0.058, math.nan))],
                [Decoded("press-1", NOON, FULL), Decoded("press-1", NOON + 1_000_000, NEXT)],
                [Decoded("m", None, FULL)],
                [Decoded("m", NOON, FULL), Decoded("m", NOON + 1_000_000, (0.061, math.nan))],
                [Decoded("m", NOON, FULL), Decoded("m", NOON + 1_000_000, (0.061, math.nan))],
                [Decoded("m", None, (float(np.float32(0.058)), 21.5))],
                [Decoded("m", None, (float(np.float32(0.2)),))],
                [Decoded("m", NOON, (0.2,))],
            ],
            strict=True,
        )
    ],
    ids=lambda value: value[1] if type(value) is tuple else "",
)
def test_each_example_is_read_as_it_says(example: tuple[str, str, str], expected: list[Decoded]) -> None:
    """The table before it, the message after it."""
    keys, language, text = example
    made = eval(text, {"struct": struct, "np": np}) if language == "python" else text.encode()  # noqa: S307 - the page's own
    assert repr(seen(tomllib.loads(keys), made)) == repr(expected)


def test_every_kind_has_an_example() -> None:
    """So that nobody has to guess."""
    assert {tomllib.loads(keys)["kind"] for keys, _, _ in EXAMPLES} == {"json", "array", "csv", "float32", "samples"}
