"""Figures in words, the same on the command line and in the report."""

from __future__ import annotations

NORMAL_BY = {
    "labels": "while the labels say normal",
    "normal_until": "while the machine was known to be normal",
    "assumption": "if the machine was normal throughout",
    "nothing": "are not known: nothing says until when the machine was normal",
}
"""What says which readings are normal, by name, in words that follow "false alarms"."""


def share_text(value: float | None) -> str:
    """A share for people."""
    return "-" if value is None else f"{value:.3f}"


def count_text(number: int, what: str) -> str:
    """A count for people: "1 alarm", "2 alarms"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def days_text(days: float) -> str:
    """A time for people."""
    if days >= 2:
        return f"{days:.3g} days"
    return f"{24 * days:.3g} hours" if 24 * days >= 1 else f"{1440 * days:.3g} minutes"


def rate_text(per_day: float) -> str:
    """How often, for people."""
    return f"{per_day:,.0f} a day" if per_day >= 100 else f"{per_day:.3g} a day"


def delay_text(seconds: float | None) -> str:
    """A delay for people."""
    return "never" if seconds is None else f"{seconds:g} s"
