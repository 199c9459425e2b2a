"""A record is a frozen dataclass in everything but how its methods came to be."""

import copy
import dataclasses
import pickle
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from edge_runtime.record import Record


class Point(Record):
    x: int
    y: float = 2.0
    names: dict[str, int] = {}  # noqa: RUF012 - each record has its own

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"expected x of 0 or more, got {self.x}")


class Empty(Record):
    pass


@dataclass(frozen=True)
class Ordinary:
    x: int
    y: float = 2.0
    names: dict[str, int] = field(default_factory=dict)


GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((), {"x": 1}),
    ((1, 3.0), {"names": {"a": 1}}),
    ((1, 3.0, {"a": 1}), {}),
    ((), {"names": {}, "y": 0.5, "x": 7}),
]


@pytest.mark.parametrize(("given", "named"), GIVEN)
def test_it_is_made_like_a_dataclass(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """By place or by name, with defaults; it looks and compares alike."""
    record, ordinary = Point(*given, **named), Ordinary(*given, **named)
    assert repr(record) == repr(ordinary).replace("Ordinary", "Point")
    assert dataclasses.asdict(record) == dataclasses.asdict(ordinary)
    assert record == Point(*given, **named)
    assert record != ordinary
    assert record != replace(record, x=99)
    assert [each.name for each in fields(record)] == ["x", "y", "names"]
    assert copy.deepcopy(record) == record


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1, 2.0, {}, 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1.0})],
    ids=["none", "too many", "twice", "unknown", "one is missing"],
)
def test_what_a_dataclass_refuses_it_refuses(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """A wrong set of values is a `TypeError`, never a record without one of its fields."""
    for kind in (Point, Ordinary):
        with pytest.raises(TypeError):
            kind(*given, **named)


def test_its_own_check_is_made_whenever_one_is_made() -> None:
    """`__post_init__` runs for `replace` too."""
    assert Point(1).replaced(x=2) == replace(Point(1), x=2) == Point(2)
    for make in (lambda: Point(-1), lambda: replace(Point(1), x=-1), lambda: Point(1).replaced(x=-1)):
        with pytest.raises(ValueError, match="expected x of 0 or more, got -1"):
            make()


def test_it_is_frozen() -> None:
    """No field is changed, added or taken away."""
    point: Any = Point(1)
    for change in (lambda: setattr(point, "x", 2), lambda: setattr(point, "new", 2), lambda: delattr(point, "x")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert point == Point(1)


def test_defaults_are_not_shared() -> None:
    """A default that can change is made for each record."""
    assert Point(1).names is not Point(1).names


def test_equal_ones_have_one_hash() -> None:
    """Where the values have hashes; else it has none, as a dataclass."""
    assert hash(Empty()) == hash(Empty())
    assert {Empty(): 1}[Empty()] == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_a_manifest_is_pickled_and_copied() -> None:
    """As training does between processes."""
    import handmade

    manifest = handmade.manifest()
    assert pickle.loads(pickle.dumps(manifest)) == manifest  # noqa: S301 - our own, a line ago
    assert copy.deepcopy(manifest) == manifest
