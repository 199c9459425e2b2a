"""Topics: what is subscribed to, whose a message is, and which topics go together."""

from __future__ import annotations

from typing import Any

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import PayloadError
from edge_runtime.gateway.config import Group, Payload
from edge_runtime.gateway.topics import MACHINE, Topics, check_pattern, check_together, name_fault, overlap


def group(topic: str | None, *machines: str, **keys: Any) -> Group:
    """A group with these machines on this topic."""
    return Group("b.anomalite", topic, machines=machines, **keys)


GROUPS = (
    group("plant/{machine}/readings", "press", appear=2),
    group("plant/{machine}/readings", "saw"),
    group("hall/+/{machine}", "pump"),
    group("mixed/all", appear=5, payload=Payload(machine="id")),
    group("+/one", "fan"),
    group(None, "mill", lines="/var/mill.jsonl"),
)


@pytest.mark.parametrize(
    ("topic", "index", "machine"),
    [
        ("plant/press/readings", 0, "press"),
        ("plant/saw/readings", 1, "saw"),
        ("plant/new one/readings", 0, "new one"),
        ("plant/Ünï-1/readings", 0, "Ünï-1"),
        ("hall/7/pump", 2, "pump"),
        ("mixed/all", 3, None),
        ("x/one", 4, "fan"),
        ("/one", 4, "fan"),
        ("/var/mill.jsonl", 5, "mill"),
    ],
)
def test_a_topic_has_a_group_and_a_machine(topic: str, index: int, machine: str | None) -> None:
    """Known machines by name, others to the group that lets them appear; no name where the payload says it."""
    assert Topics(GROUPS).find(topic) == (index, machine)


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("plant/press", "topic"),
        ("plant/press/readings/x", "topic"),
        ("", "topic"),
        ("Plant/press/readings", "topic"),
        ("plant//readings", "machine"),
        ("plant/\n/readings", "machine"),
        ("plant/\x00/readings", "machine"),
        ("plant/\ud800/readings", "machine"),
        ("plant/+/readings", "machine"),
        ("plant/" + "x" * 101 + "/readings", "machine"),
        ("plant/pump/readings", "machine"),
        ("hall/7/press", "machine"),
        ("hall/7/unknown", "machine"),
    ],
)
def test_another_topic_is_nobodys(topic: str, reason: str) -> None:
    """It is refused with the word for what is wrong: a machine of another group is not taken for a new one."""
    with pytest.raises(PayloadError) as caught:
        Topics(GROUPS).find(topic)
    assert caught.value.reason == reason
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_each_filter_is_subscribed_to_once() -> None:
    """With the highest QoS wanted of it; lines are no topic."""
    groups = (*GROUPS[1:], group("plant/{machine}/readings", "late", qos=0))
    assert Topics(groups).subscriptions == [
        ("plant/+/readings", 1), ("hall/+/+", 1), ("mixed/all", 1), ("+/one", 1),
    ]  # fmt: skip
    assert Topics([group("a/{machine}", "x", qos=0)]).subscriptions == [("a/+", 0)]


@pytest.mark.parametrize(
    "topic",
    ["", "a/#", "#", "a/b+", "$SYS/x", "$share/g/x", "{machine}x", "{machine}/{machine}", "{m}", "a/{machine", "a\n", "a\x00", "x" * 1001],
)  # fmt: skip
def test_what_nothing_can_be_subscribed_to_by(topic: str) -> None:
    """Wildcards and braces are whole levels; `#` would take the machine's level too."""
    with pytest.raises(ValueError, match="expected"):
        check_pattern(topic)


@pytest.mark.parametrize("topic", ["a", "/", "a//b", "+/{machine}/+", "{machine}", "a b/ü"])
def test_what_something_can_be_subscribed_to_by(topic: str) -> None:
    """Empty levels are levels."""
    check_pattern(topic)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((group("a/{machine}", "x"), group("+/{machine}", "y")), "topics without a message in common"),
        ((group("a/{machine}", "x"), group("a/b", "y")), "topics without a message in common"),
        ((group("a/b", "x"), group("a/b", "y")), "to have {machine} in it"),
        ((group("a/{machine}", appear=1), group("a/{machine}", appear=1)), "expected appear in one of the groups"),
        ((group(None, "x", lines="-"), group(None, "y", lines="-")), "'-' twice"),
        ((group("+/hall/{machine}", "x"),), "what the gateway says itself"),
        ((group("own/hall/alerts/{machine}", "x"),), "what the gateway says itself"),
    ],
)
def test_groups_that_do_not_go_together(groups: tuple[Group, ...], message: str) -> None:
    """Each message has one group, and the gateway does not hear itself."""
    with pytest.raises(ValueError, match=message):
        check_together(groups, ("own", "hall"))


def test_groups_that_go_together() -> None:
    """The same topic with other machines, other topics, and topics beside what the gateway says."""
    check_together(GROUPS, ("own", "hall"))
    check_together((group("own/hall", "x"), group("own/z/+", "y")), ("own", "hall"))


LEVELS = st.lists(st.sampled_from(["a", "b", "", "+", MACHINE]), min_size=1, max_size=3)


@given(LEVELS, LEVELS, st.lists(st.sampled_from(["a", "b", "", "c"]), min_size=1, max_size=3))
@settings(max_examples=examples(500), deadline=None, derandomize=True, database=None)
def test_topics_that_overlap_are_those_that_share_a_message(one: list[str], other: list[str], topic: list[str]) -> None:
    """No message is matched by two topics that do not overlap."""

    def matches(pattern: list[str]) -> bool:
        return len(pattern) == len(topic) and all(
            level == given or level in ("+", MACHINE) for level, given in zip(pattern, topic, strict=True)
        )

    if matches(one) and matches(other):
        assert overlap(one, other)
    if not overlap(one, other):
        assert not overlap(other, one)


@given(LEVELS.filter(lambda levels: levels.count(MACHINE) == 1), st.text(max_size=20))
@settings(max_examples=examples(500), deadline=None, derandomize=True, database=None)
def test_a_machine_is_found_where_its_name_stands(levels: list[str], name: str) -> None:
    """Any name that can be one is given back as it was; all others are refused."""
    topics = Topics([group("/".join(levels), appear=1)])
    topic = "/".join("any" if level == "+" else name if level == MACHINE else level for level in levels)
    if name_fault(name):
        with pytest.raises(PayloadError):
            topics.find(topic)
    else:
        assert topics.find(topic) == (0, name)


@given(st.text(max_size=30))
@settings(max_examples=examples(500), deadline=None, derandomize=True, database=None)
def test_any_topic_is_found_or_refused(topic: str) -> None:
    """With a `PayloadError` of one line."""
    try:
        Topics(GROUPS).find(topic)
    except PayloadError as fault:
        text = str(fault)
    else:
        return
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 200
