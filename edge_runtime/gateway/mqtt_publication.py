"""What the gateway says to the broker."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple


class Publication(NamedTuple):
    """What goes to the broker, QoS 1."""

    topic: str
    payload: bytes
    retain: bool
    token: int | None
    """None: the status of the gateway itself."""


def unfit_topic(topic: str) -> str | None:
    """Why a broker would not take it as the topic of a publication."""
    if not 0 < len(topic) < 16_384:
        return f"the topic has {len(topic)} characters"
    for character in topic:
        # Private use, format characters and spaces may be in a topic; control characters, surrogates and non-characters may not.
        if character in "+#" or unicodedata.category(character) in ("Cc", "Cs") or ord(character) & 0xFFFE == 0xFFFE:
            return f"a topic cannot hold {character!r}"
    return None
