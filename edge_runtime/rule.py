"""Rules on channels, such as `current > 0.5 and "oil temp" >= 40`: text in, comparisons out.

A small parser of our own: nothing in a rule is ever run as code. Comparisons `CHANNEL OPERATOR NUMBER` are joined by `and`
and `or`; `and` binds tighter. A channel's name stands as it is if it looks like a word (letters, digits, `_`, `.`), else in
backticks or double quotes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = r"""\s*(?:
        (?P<operator> >= | <= | == | != | > | < )
      | (?P<number> [+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? (?![\w.]) )
      | `(?P<ticked> [^`]+ )`
      | "(?P<quoted> [^"]+ )"
      | (?P<word> [\w.]+ )
    )"""
"""One word of a rule; compiled only where there is a rule."""


class Comparison(NamedTuple):
    """A channel compared with a number."""

    channel: str
    operator: str
    """One of `OPERATORS`."""
    level: float
    """In the channel's unit."""


Rule = tuple[tuple[Comparison, ...], ...]
"""The rule holds if all comparisons of any of its parts do."""


def parse_rule(text: str) -> Rule:
    """Parse a rule. Raises `ValueError` saying what was expected where."""
    tokens = _tokens(text)
    parts: list[list[Comparison]] = [[]]
    position = 0
    while True:
        kinds = [kind for kind, _ in tokens[position : position + 3]]
        for index, expected in enumerate(("name", "operator", "number")):
            if index >= len(kinds) or kinds[index] != expected:
                got = repr(tokens[position + index][1]) if index < len(kinds) else "the end"
                what = {"name": "a channel", "operator": f"one of {' '.join(OPERATORS)}", "number": "a number"}[
                    expected
                ]
                raise ValueError(f"expected {what} in the rule {text!r}, got {got}")
        name, sign, number = (token for _, token in tokens[position : position + 3])
        level = float(number)
        if abs(level) == float("inf"):
            raise ValueError(f"expected a finite number in the rule {text!r}, got {number!r}")
        parts[-1].append(Comparison(name, sign, level))
        position += 3
        if position == len(tokens):
            return tuple(map(tuple, parts))
        kind, joint = tokens[position]
        if kind != "joint":
            raise ValueError(f"expected 'and', 'or' or the end in the rule {text!r}, got {joint!r}")
        if joint == "or":
            parts.append([])
        position += 1


def channels_of(rule: Rule) -> tuple[str, ...]:
    """The names of the channels the rule asks for, each once."""
    return tuple(dict.fromkeys(comparison.channel for part in rule for comparison in part))


def compile_rule(rule: Rule, channels: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """A function of C values, numbers for one machine or arrays (B,) for several, that says whether the rule holds.

    Where a value is NaN its comparisons do not hold, except for `!=`. `channels` are the C names, in order.
    """
    parts = [[(channels.index(each.channel), OPERATORS[each.operator], each.level) for each in part] for part in rule]

    def holds(values: Sequence[Any]) -> Any:
        whole: Any = False
        for part in parts:
            every: Any = True
            for channel, compare, level in part:
                every = every & compare(values[channel], level)
            whole = whole | every
        return whole

    return holds


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each word of the rule; the kinds are name, operator, number and joint."""
    tokens: list[tuple[str, str]] = []
    pattern = re.compile(_TOKEN, re.VERBOSE)
    position, end = 0, len(text.rstrip())
    while position < end:
        match = pattern.match(text, position)
        if match is None:
            rest = text[position:].strip()
            raise ValueError(f"cannot read the rule {text!r} from {rest[:20]!r} on")
        kind = str(match.lastgroup)
        token = match[kind]
        if kind == "word" and token in ("and", "or"):
            kind = "joint"
        elif kind in ("word", "ticked", "quoted"):
            kind = "name"
        tokens.append((kind, token))
        position = match.end()
    return tokens
