"""Strict decoding: nothing is coerced, nothing is ignored, and every fault is named with its path."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import SchemaError
from edge_runtime.schema import decode, encode


@dataclass(frozen=True)
class Circle:
    kind: Literal["circle"]
    radius: float

    def __post_init__(self) -> None:
        if self.radius < 0:
            raise ValueError(f"expected a radius of 0 or more, got {self.radius}")


@dataclass(frozen=True)
class Square:
    kind: Literal["square"]
    side: float = 1.0


@dataclass(frozen=True)
class Drawing:
    """One of everything."""

    title: str
    shape: Circle | Square
    pages: int = 1
    scale: float = 1.0
    is_final: bool = False
    mode: Literal["draft", "print"] = "draft"
    corner: tuple[float, ...] = ()
    shapes: tuple[Circle | Square, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    extra: Square | None = None
    last: int | None = None
    when: datetime | None = None


LEAST = {"title": "t", "shape": {"kind": "circle", "radius": 2}}


def fault(**changes: Any) -> tuple[str, str]:
    """Path and fault of the error that decoding the least drawing with changes raises."""
    with pytest.raises(SchemaError) as caught:
        decode(Drawing, {**LEAST, **changes}, "plan.toml")
    error = caught.value
    assert error.source == "plan.toml"
    assert str(error) == f"plan.toml: {error.fault} - at {error.path}"
    return error.path, error.fault


def test_defaults_fill_what_is_not_given() -> None:
    """And a whole number is fine where a number is expected, as a float."""
    drawing = decode(Drawing, LEAST, "plan.toml")
    assert drawing == Drawing("t", Circle("circle", 2.0))
    assert type(drawing.shape.radius) is float


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"titel": 1}, "$.titel", "unknown key 'titel', did you mean 'title'?"),
        (
            {"qqq": 1},
            "$.qqq",
            "unknown key 'qqq', known: title, shape, pages, scale, is_final, mode, corner, shapes, notes, extra, last, when",
        ),
        ({"title": 1}, "$.title", "expected text, got 1"),
        ({"title": None}, "$.title", "expected text, got nothing"),
        ({"pages": 1.0}, "$.pages", "expected a whole number, got 1.0"),
        ({"pages": True}, "$.pages", "expected a whole number, got True"),
        ({"pages": "1"}, "$.pages", "expected a whole number, got '1'"),
        ({"scale": "1"}, "$.scale", "expected a number, got '1'"),
        ({"scale": False}, "$.scale", "expected a number, got False"),
        ({"scale": math.nan}, "$.scale", "expected a finite number, got nan"),
        ({"scale": -math.inf}, "$.scale", "expected a finite number, got -inf"),
        ({"is_final": 0}, "$.is_final", "expected true or false, got 0"),
        ({"mode": "prnt"}, "$.mode", "unknown value 'prnt', did you mean 'print'?"),
        ({"mode": 7}, "$.mode", "unknown value 7, known: draft, print"),
        ({"mode": ["draft"]}, "$.mode", "unknown value ['draft'], did you mean 'draft'?"),
        ({"corner": 1.0}, "$.corner", "expected a list, got 1.0"),
        ({"corner": {}}, "$.corner", "expected a list, got a table"),
        ({"corner": [1, 2, "x"]}, "$.corner[2]", "expected a number, got 'x'"),
        ({"corner": [1, math.nan]}, "$.corner[1]", "expected a finite number, got nan"),
        ({"notes": []}, "$.notes", "expected a table, got a list"),
        ({"notes": {"a": 1}}, "$.notes.a", "expected text, got 1"),
        ({"shape": None}, "$.shape", "expected a table, got nothing"),
        ({"shape": "circle"}, "$.shape", "expected a table, got 'circle'"),
        ({"shape": {}}, "$.shape", "expected the key 'kind' (circle, square), found none"),
        ({"shape": {"kind": "circel", "radius": 1}}, "$.shape.kind", "unknown kind 'circel', did you mean 'circle'?"),
        ({"shape": {"kind": []}}, "$.shape.kind", "unknown kind [], known: circle, square"),
        ({"shape": {"kind": "circle"}}, "$.shape", "expected the key 'radius', found none"),
        ({"shape": {"kind": "circle", "radius": -1}}, "$.shape", "expected a radius of 0 or more, got -1.0"),
        ({"shape": {"kind": "square", "radius": 1}}, "$.shape.radius", "unknown key 'radius', known: kind, side"),
        (
            {"shapes": [{"kind": "square"}, {"kind": "square", "side": "x"}]},
            "$.shapes[1].side",
            "expected a number, got 'x'",
        ),
        ({"extra": {"kind": "square", "sid": 2}}, "$.extra.sid", "unknown key 'sid', did you mean 'side'?"),
        ({"extra": {"kind": "circle"}}, "$.extra.kind", "unknown value 'circle', known: square"),
        ({"last": 1.5}, "$.last", "expected a whole number, got 1.5"),
        ({"when": "soon"}, "$.when", "expected a date and time, got 'soon'"),
        ({"when": 5}, "$.when", "expected a date and time, got 5"),
        ({"when": date(2004, 2, 12)}, "$.when", "expected a date and time, got datetime.date(2004, 2, 12)"),
    ],
    ids=str,
)
def test_faults_are_named_with_their_path(changes: dict[str, Any], path: str, message: str) -> None:
    """Unknown keys with a suggestion, wrong types, missing keys, unions, literals, numbers that are none, nested places."""
    assert fault(**changes) == (path, message)


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_a_whole_number_too_large_for_a_float(number: int) -> None:
    """Is not finite."""
    path, message = fault(scale=number)
    assert path == "$.scale"
    assert message.startswith("expected a finite number, got ")


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_the_whole_must_be_a_table(data: Any) -> None:
    """The path of the whole is `$`."""
    with pytest.raises(SchemaError, match=r"plan\.toml: expected a table, got .* - at \$"):
        decode(Drawing, data, "plan.toml")


def test_a_missing_key() -> None:
    """Is named, at the table that lacks it."""
    with pytest.raises(SchemaError, match=r"expected the key 'title', found none - at \$$"):
        decode(Drawing, {"shape": LEAST["shape"]}, "plan.toml")


def test_times_are_read_with_offset_or_as_utc() -> None:
    """From text, as in JSON, and as TOML gives them."""
    moment = datetime(2004, 2, 12, 10, 32, tzinfo=UTC)
    there = timezone(timedelta(hours=1))
    for given_ in (
        "2004-02-12T10:32:00Z",
        "2004-02-12T11:32:00+01:00",
        "2004-02-12 10:32",
        moment,
        moment.astimezone(there),
        moment.replace(tzinfo=None),
    ):
        when = decode(Drawing, {**LEAST, "when": given_}, "plan.toml").when
        assert when == moment
        assert when.tzinfo is not None


numbers = st.floats(allow_nan=False, allow_infinity=False)
shapes = st.one_of(
    st.builds(Circle, st.just("circle"), st.floats(0, 1e300)), st.builds(Square, st.just("square"), numbers)
)
drawings = st.builds(
    Drawing,
    title=st.text(),
    shape=shapes,
    pages=st.integers(),
    scale=numbers,
    is_final=st.booleans(),
    mode=st.sampled_from(["draft", "print"]),
    corner=st.lists(numbers).map(tuple),
    shapes=st.lists(shapes, max_size=3).map(tuple),
    notes=st.dictionaries(st.text(), st.text(), max_size=3),
    extra=st.none() | st.builds(Square, st.just("square"), numbers),
    last=st.none() | st.integers(),
    when=st.none() | st.datetimes(timezones=st.just(UTC)),
)


@pytest.mark.heavy
@given(drawing=drawings)
def test_round_trip(drawing: Drawing) -> None:
    """`decode` of `encode` is an equal object, through real JSON."""
    assert decode(Drawing, json.loads(json.dumps(encode(drawing), allow_nan=False)), "plan.json") == drawing


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "radius", "side", "x"]) | st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    data=st.dictionaries(st.sampled_from([*Drawing.__dataclass_fields__, "x"]), anything, max_size=4), title=st.text()
)
def test_whatever_is_given_is_decoded_or_a_schema_error(data: dict[str, Any], title: str) -> None:
    """No other exception leaves `decode`, and what it accepts encodes to what was given, defaults apart."""
    try:
        drawing = decode(Drawing, {"title": title, "shape": LEAST["shape"], **data}, "plan.toml")
    except SchemaError:
        return
    for key, value in data.items():
        if key not in ("shape", "shapes", "extra", "when"):
            assert encode(drawing)[key] == value
