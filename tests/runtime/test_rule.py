"""Rules on channels are parsed by a small parser of our own, strictly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.rule import OPERATORS, Comparison, channels_of, compile_rule, parse_rule


def test_comparisons_are_joined() -> None:
    """`and` binds tighter than `or`; channels are named once each."""
    rule = parse_rule("current > 0.5 and speed>=1e2 or mode == -2")
    assert rule == (
        (Comparison("current", ">", 0.5), Comparison("speed", ">=", 100.0)),
        (Comparison("mode", "==", -2.0),),
    )
    assert channels_of(parse_rule("a > 1 or b > 2 and a < 3")) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("oil_temp.2 > 1", "oil_temp.2"),
        ("2nd > 1", "2nd"),
        ("`oil temp` > 1", "oil temp"),
        ('"oil temp (degC)" > 1', "oil temp (degC)"),
        ("`and` > 1", "and"),
        ('"a`b" > 1', "a`b"),
        ("Größe>1", "Größe"),
        ("`5`>1", "5"),
    ],
)
def test_names(text: str, name: str) -> None:
    """Words stand as they are, anything else in backticks or double quotes."""
    assert parse_rule(text) == ((Comparison(name, ">", 1.0),),)


@given(
    parts=st.lists(
        st.lists(
            st.tuples(st.text("ab `_.(and>0", min_size=1), st.sampled_from(list(OPERATORS)), st.floats(-1e300, 1e300)),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_written_rule_is_read_back(parts: list[list[tuple[str, str, float]]]) -> None:
    """Whatever the channels are called, however large the numbers."""
    text = " or ".join(" and ".join(f'"{name}"{sign} {level!r}' for name, sign, level in part) for part in parts)
    assert parse_rule(text) == tuple(tuple(Comparison(*each) for each in part) for part in parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected a channel in the rule '', got the end"),
        ("current", r"expected one of > >= < <= == != in the rule 'current', got the end"),
        ("current >", r"expected a number in the rule 'current >', got the end"),
        ("current > speed", r"expected a number in the rule 'current > speed', got 'speed'"),
        ("0.5 < current", r"expected a channel in the rule '0.5 < current', got '0.5'"),
        ("current > 1 and", r"expected a channel in the rule 'current > 1 and', got the end"),
        ("current > 1 speed > 2", r"expected 'and', 'or' or the end in the rule .*, got 'speed'"),
        ("current = 1", r"cannot read the rule 'current = 1' from '= 1' on"),
        ("(current > 1)", r"cannot read the rule '\(current > 1\)' from '\(current > 1\)' on"),
        ("current > 1; import os", r"cannot read the rule .* from '; import os' on"),
        ("current > 1e999", r"expected a finite number in the rule 'current > 1e999', got '1e999'"),
        ("current > nan", r"expected a number in the rule 'current > nan', got 'nan'"),
        ("`current > 1", r"cannot read the rule"),
        ("current > 1.5.2", r"expected a number in the rule 'current > 1.5.2', got '1.5.2'"),
        ("a > 1 or or b > 2", r"expected a channel in the rule .*, got 'or'"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, message: str) -> None:
    """With what was expected and what stands there."""
    with pytest.raises(ValueError, match=message):
        parse_rule(text)


@pytest.mark.parametrize("sign", OPERATORS)
def test_every_operator(sign: str) -> None:
    """Below, at and above the level, for one machine and for several alike; a missing value is never above or below."""
    values = [0.5, 1.0, 1.5, math.nan]
    expected = {
        ">": [False, False, True, False],
        ">=": [False, True, True, False],
        "<": [True, False, False, False],
        "<=": [True, True, False, False],
        "==": [False, True, False, False],
        "!=": [True, False, True, True],
    }[sign]
    holds = compile_rule(parse_rule(f"b {sign} 1"), ("a", "b"))
    assert [holds([9.0, value]) for value in values] == expected
    assert holds([np.full(4, 9.0), np.array(values)]).tolist() == expected


def test_and_before_or() -> None:
    """`a or b and c` is `a or (b and c)`."""
    holds = compile_rule(parse_rule("a > 0 or b > 0 and c > 0"), ("a", "b", "c"))
    assert holds([1, 0, 0]) is True
    assert holds([0, 1, 0]) is False
    assert holds([0, 1, 1]) is True
    assert holds([0, 0, 1]) is False
