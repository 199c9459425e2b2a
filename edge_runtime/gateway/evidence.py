"""An alert's evidence: a machine's state, the readings since, and what was made of them, in a few kilobytes that are kept with the alert.

With the bundle, whose digest it names, it is all that is needed to compute the alert's score again (`replay.py`).
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import NamedTuple

import numpy as np

from edge_runtime.errors import StoreError
from edge_runtime.gateway.past import Past

MAGIC = b"anomalite evidence 1\n"
"""The number is the format's."""
_HEAD = struct.Struct("<II")  # checksum of the rest, begun with the number that follows: bytes of the text in it
LARGEST = 16 * 2**20
"""More than this is not unpacked (bytes)."""


class Evidence(NamedTuple):
    """What raised an alert."""

    machine: str
    bundle: str
    """The bundle's file as it was."""
    digest: str
    engine: str
    variant: str
    channels: tuple[str, ...]
    time: int
    """Of the reading that raised it, the last one, microseconds since 1970 UTC."""
    score: float
    threshold: float
    contributions: dict[str, float]
    past: Past
    """The state, and the readings (N, C) since."""


def pack(evidence: Evidence) -> bytes:
    """Its bytes."""
    past = evidence.past
    named = evidence._replace(past=Past(b"", past.times[:0], past.values[:0]))._asdict()
    del named["past"]
    sizes = {"state": len(past.state), "readings": len(past.times)}
    text = json.dumps({**named, **sizes}).encode()
    parts = text, past.state, past.times.astype("<i8").tobytes(), past.values.astype("<f8").tobytes()
    body = zlib.compress(b"".join(parts))
    return MAGIC + _HEAD.pack(zlib.crc32(body, len(text)), len(text)) + body


def unpack(content: bytes) -> Evidence:
    """What `pack` was given. Raises `StoreError` for bytes that are damaged or of another version."""
    if content[: len(MAGIC)] != MAGIC:
        raise StoreError(f"expected the evidence of an alert ({MAGIC.decode().strip()}), got something else")
    start = len(MAGIC) + _HEAD.size
    try:
        checksum, length = _HEAD.unpack(content[len(MAGIC) : start])
        if zlib.crc32(content[start:], length) != checksum:
            raise ValueError("another checksum")
        body = zlib.decompressobj().decompress(content[start:], LARGEST)
        named = json.loads(body[:length])
        state, count = named.pop("state"), named.pop("readings")
        named["channels"] = tuple(named["channels"])
        times_at = length + state
        values_at = times_at + 8 * count
        times = np.frombuffer(body, "<i8", count, times_at).astype(np.int64)
        values = np.frombuffer(body, "<f8", count * len(named["channels"]), values_at).astype(np.float64)
        past = Past(body[length:times_at], times, values.reshape(count, len(named["channels"])))
        return Evidence(**named, past=past)
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as fault:
        raise StoreError(f"the evidence of the alert is damaged: {fault}") from None
