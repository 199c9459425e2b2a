"""Which group, and which machine, a topic belongs to; and what is subscribed to.

A topic of the configuration is levels between `/`: `{machine}` as a whole level stands for the machine's name, `+` for any one level.
Two groups have the same topic, or topics that share no message: a broker may deliver a message once for each of several overlapping
subscriptions, and a reading would count twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.excerpt import excerpt

if TYPE_CHECKING:
    from edge_runtime.gateway.config import Group

MACHINE = "{machine}"
LONGEST_NAME = 100
"""Characters of a machine's name."""
LONGEST_TOPIC = 1000
"""Characters of a configured topic; MQTT itself allows 65,535 bytes."""


def name_fault(name: str) -> str | None:
    """Why `name` cannot be one level of a topic, for people; None if it can.

    Characters that are not printable are refused too: a broker that gets one in a topic may close the connection, every time.
    """
    if not name:
        return "expected a name, got an empty one"
    if len(name) > LONGEST_NAME:
        return f"expected a name of at most {LONGEST_NAME} characters, got {len(name)}"
    if not name.isprintable() or "/" in name or "+" in name or "#" in name:
        return f"expected a name without / + # and control characters, got {excerpt(name)}"
    return None


def check_name(name: str, key: str) -> None:
    """Raises `ValueError` if `name` cannot be the first level of a topic."""
    fault = name_fault(name) or (f"expected a name without $ at its start, got {name!r}" if name[0] == "$" else None)
    if fault:
        raise ValueError(f"{key}: {fault}")


def check_pattern(topic: str) -> None:
    """Raises `ValueError` for a topic that nothing can be subscribed to by."""
    if not 0 < len(topic) <= LONGEST_TOPIC or not topic.isprintable() or topic[0] == "$":
        raise ValueError(
            f"expected a topic of 1 to {LONGEST_TOPIC} printable characters without $ at its start, got {excerpt(topic)}"
        )
    levels = topic.split("/")
    for level in levels:
        if level not in (MACHINE, "+") and any(each in level for each in "{}+#"):
            raise ValueError(
                f"expected {MACHINE} or + as a whole level of a topic, or plain text, got {excerpt(level)}"
            )
    if levels.count(MACHINE) > 1:
        raise ValueError(f"expected {MACHINE} once in a topic, got {excerpt(topic)}")


def overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether a message can have a topic that both match; each is a topic's levels."""
    wild = (MACHINE, "+")
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or a in wild or b in wild for a, b in pairs)


def check_together(groups: Sequence[Group], own: Sequence[str]) -> None:
    """Raises `ValueError` where it would not be clear which group a message is for, or where the gateway would hear itself.

    `own`: the first levels of all that the gateway says.
    """
    seen: dict[str, list[Group]] = {}
    for group in groups:
        where = group.topic if group.topic is not None else group.lines
        assert where is not None  # a group has one of them
        levels = where.split("/")
        if group.topic is not None and len(levels) > len(own) and overlap(levels[: len(own)], own):
            raise ValueError(f"expected a topic outside {'/'.join(own)}/, what the gateway says itself, got {where!r}")
        for known, others in seen.items():
            if known == where:
                _check_shared(group, others)
            elif overlap(levels, known.split("/")):
                raise ValueError(
                    f"expected the same topic in two groups, or topics without a message in common, got {known!r} and {where!r}"
                )
        seen.setdefault(where, []).append(group)


def _check_shared(group: Group, others: Sequence[Group]) -> None:
    where = group.topic if group.topic is not None else group.lines
    if group.topic is None or MACHINE not in group.topic.split("/"):
        raise ValueError(f"expected groups that share a topic to have {MACHINE} in it, got {where!r} twice")
    if group.appear and any(other.appear for other in others):
        raise ValueError(f"expected appear in one of the groups that share a topic, got it in two for {where!r}")


class Topics:
    """Finds the group and machine of a topic. Machines known by name come first, then the group that lets them appear."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._owner = {machine: index for index, group in enumerate(groups) for machine in group.machines}
        by_text: dict[str, list[int]] = {}
        for index, group in enumerate(groups):
            by_text.setdefault(group.topic if group.topic is not None else group.lines or "", []).append(index)
        self._exact: dict[str, tuple[int, str | None]] = {}
        self._patterns: list[tuple[re.Pattern[str], list[int]]] = []
        for text, indexes in by_text.items():
            group = groups[indexes[0]]
            if group.topic is None or not {MACHINE, "+"} & set(text.split("/")):
                self._exact[text] = indexes[0], _only_machine(group)
            else:
                levels = (
                    "([^/]*)" if each == MACHINE else "[^/]*" if each == "+" else re.escape(each)
                    for each in text.split("/")
                )
                self._patterns.append((re.compile("/".join(levels)), indexes))

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Each MQTT topic filter once, with the highest QoS that a group wants of it."""
        wanted: dict[str, int] = {}
        for group in self._groups:
            if group.topic is not None:
                topic = "/".join("+" if level == MACHINE else level for level in group.topic.split("/"))
                wanted[topic] = max(wanted.get(topic, 0), group.qos)
        return list(wanted.items())

    def find(self, topic: str) -> tuple[int, str | None]:
        """The position of the group and the machine's name; None: the message says it.

        `topic`: of the message, or the `lines` of a group. Raises `PayloadError` with the reason `topic` if no group reads it, `machine`
        if the name cannot be one, or is no machine of these groups and none may appear. Whether there is room for one more is not
        looked at here.
        """
        exact = self._exact.get(topic)
        if exact is not None:
            return exact
        for pattern, indexes in self._patterns:
            match = pattern.fullmatch(topic)
            if match is not None:
                if not pattern.groups:
                    return indexes[0], _only_machine(self._groups[indexes[0]])
                return self._group_of(match[1], indexes), match[1]
        raise PayloadError("topic", f"expected a topic that a group reads, got {excerpt(topic)}")

    def _group_of(self, machine: str, indexes: list[int]) -> int:
        owner = self._owner.get(machine)
        if owner is not None:
            if owner not in indexes:
                raise PayloadError("machine", f"the machine {excerpt(machine)} is known on another topic")
            return owner
        fault = name_fault(machine)
        if fault:
            raise PayloadError("machine", fault)
        for index in indexes:
            if self._groups[index].appear:
                return index
        raise PayloadError("machine", f"expected a machine of the configuration, got {excerpt(machine)}")


def _only_machine(group: Group) -> str | None:
    """The machine all messages are about, unless they say themselves."""
    return None if group.payload.machine is not None else group.machines[0]
