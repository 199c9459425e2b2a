"""What one check found."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """The answer of one check."""

    state: Literal["fine", "note", "wrong"]
    """`note`: a person should know; `wrong`: the gateway would not start, or not do its work."""
    what: str
    """`group 1`, `storage`, `broker`."""
    text: str
    """One line."""


def fine(what: str, text: str) -> Finding:
    """All is well."""
    return Finding("fine", what, text)


def note(what: str, text: str) -> Finding:
    """It works, and a person should know."""
    return Finding("note", what, text)


def wrong(what: str, text: str) -> Finding:
    """It does not work."""
    return Finding("wrong", what, text)
