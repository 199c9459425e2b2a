"""Where in a JSON message something is: `data.vibration.0`."""

from __future__ import annotations

import re
from typing import Any

_KEY = re.compile(r"(?:[^.\\]|\\.)+", re.DOTALL)
_MISSING = object()


class Path:
    """Keys and positions between dots. A key with a dot in it has `\\.` there, a backslash is `\\\\`; digits are a position in a list.

    `$` is the whole message and `$.name` starts from it, where a message holds several readings; else paths start at the reading.
    """

    MISSING = _MISSING

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for text that is no path."""
        self.text = text
        self.from_message = text == "$" or text.startswith("$.")
        rest = text[2:] if self.from_message else text
        keys = _KEY.findall(rest)
        if ".".join(keys) != rest or not (keys or text == "$") or not text.isprintable():
            raise ValueError(f"expected a path like data.vibration.0, got {text!r}")
        self.keys = tuple(re.sub(r"\\(.)", r"\1", key) for key in keys)
        self._steps = tuple(
            (key, int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None) for key in self.keys
        )

    @classmethod
    def to_key(cls, key: str) -> Path:
        """The path of a key that may have any characters in it."""
        path = cls("$")
        path.text, path.from_message, path.keys, path._steps = key, False, (key,), ((key, None),)
        return path

    def find(self, message: Any, reading: Any) -> Any:
        """What is there; `Path.MISSING` if a key or position is not, or where null or a plain value stands in the way."""
        found = message if self.from_message else reading
        for key, position in self._steps:
            if type(found) is dict:
                if key not in found:
                    return _MISSING
                found = found[key]
            elif type(found) is list and position is not None and position < len(found):
                found = found[position]
            else:
                return _MISSING
        return found
