"""What a message or topic held, short enough and harmless enough for one line of a log."""

from __future__ import annotations

LONGEST = 60
"""Characters of an excerpt, with its quotes; what is read here comes from strangers."""


def excerpt(value: object) -> str:
    """`value` as parsed from JSON, or text: escaped, cut off, and only named where it is a list or an object."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, (str, bytes)):
        shown = ascii(value[:LONGEST])
        return shown if len(shown) <= LONGEST and len(value) <= LONGEST else f"{shown[: LONGEST - 3]}..."
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 200:  # its digits are quadratic work, or refused
        return "a very large number"
    return repr(value)[:LONGEST]
