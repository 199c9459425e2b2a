"""Strict decoding of frozen dataclasses from JSON and TOML.

Nothing is coerced and nothing is ignored: an unknown key, a missing one, a number where text belongs
or a NaN is a `SchemaError` that carries the path of the fault. Supported field types: other
dataclasses, `X | None`, unions of dataclasses told apart by a `Literal` field called `kind` or
`family` (left out, it is the one that has a default, if one has), `tuple[X, ...]`, `dict[str, X]`, `Literal`, `datetime`, and plain str, int, float, bool.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, TypeVar

from edge_runtime.errors import SchemaError
from edge_runtime.record import Record

T = TypeVar("T")

_TAGS = ("kind", "family")
_TYPES: dict[type[Any], dict[str, Any]] = {}
"""Of the dataclasses met so far."""
_NAMES = {
    dict: "a table",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
}


def decode(cls: type[T], data: object, source: str, path: str = "$") -> T:
    """Build a `cls` from parsed JSON or TOML.

    `source` names the file for error messages. Raises `SchemaError`.
    """
    return typing.cast(T, _decode(cls, data, source, path))


def encode(value: Any) -> Any:
    """Turn a dataclass into what `json.dumps` takes; `decode` of it gives an equal object."""
    import dataclasses  # reading does without, so that a device's start does

    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _decode(expected: Any, data: object, source: str, path: str) -> object:
    origin = typing.get_origin(expected)
    if isinstance(expected, type) and (issubclass(expected, Record) or hasattr(expected, "__dataclass_fields__")):
        return _dataclass(expected, data, source, path)
    if origin in (types.UnionType, typing.Union):
        return _union(typing.get_args(expected), data, source, path)
    if origin is typing.Literal:
        return _literal(typing.get_args(expected), data, source, path)
    if origin is tuple:
        _require(isinstance(data, list), "a list", data, source, path)
        item = typing.get_args(expected)[0]
        return tuple(
            _decode(item, each, source, f"{path}[{i}]") for i, each in enumerate(typing.cast("list[object]", data))
        )
    if origin is dict:
        _require(isinstance(data, dict), "a table", data, source, path)
        item = typing.get_args(expected)[1]
        pairs = typing.cast("dict[str, object]", data).items()
        return {key: _decode(item, each, source, f"{path}.{key}") for key, each in pairs}
    if expected is datetime:
        return _datetime(data, source, path)
    return _plain(expected, data, source, path)


def _dataclass(cls: type[Any], data: object, source: str, path: str) -> object:
    _require(isinstance(data, dict), "a table", data, source, path)
    given = typing.cast("dict[str, object]", data)
    types_of, defaults = _types_of(cls), _defaults_of(cls)
    for key in given:
        if key not in types_of:
            raise SchemaError(source, f"{path}.{key}", _unknown("key", key, list(types_of)))
    values = {}
    for name, kind in types_of.items():
        if name in given:
            values[name] = _decode(kind, given[name], source, f"{path}.{name}")
        elif name not in defaults:
            raise SchemaError(source, path, f"expected the key {name!r}, found none")
    try:
        return cls(**values)
    except ValueError as fault:
        raise SchemaError(source, path, str(fault)) from None


def _written_types_of(cls: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields, as text where they are written so."""
    if issubclass(cls, Record):
        return cls.field_types
    return {name: field.type for name, field in cls.__dataclass_fields__.items()}


def _defaults_of(cls: type[Any]) -> Collection[str]:
    """The fields of a dataclass that need not be given."""
    if issubclass(cls, Record):
        return cls.field_defaults
    from dataclasses import MISSING

    fields = cls.__dataclass_fields__.items()
    return {name for name, field in fields if (field.default, field.default_factory) != (MISSING, MISSING)}


def _types_of(cls: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields; those written as text are evaluated once."""
    types_of = _TYPES.get(cls)
    if types_of is None:
        types_of = _written_types_of(cls)
        if any(isinstance(each, str) for each in types_of.values()):
            evaluated = typing.get_type_hints(cls)
            types_of = {name: evaluated[name] for name in types_of}
        _TYPES[cls] = types_of
    return types_of


def _tag_of(cls: type[Any], tag: str) -> Any:
    """What tells a dataclass from the others of a union."""
    kind = _written_types_of(cls)[tag]
    return typing.get_args(_types_of(cls)[tag] if isinstance(kind, str) else kind)[0]


def _union(options: tuple[Any, ...], data: object, source: str, path: str) -> object:
    if data is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) == 1:
        return _decode(options[0], data, source, path)
    _require(isinstance(data, dict), "a table", data, source, path)
    given = typing.cast("dict[str, object]", data)
    tag = next(tag for tag in _TAGS if tag in _written_types_of(options[0]))
    by_tag = {_tag_of(option, tag): option for option in options}
    if tag not in given:
        for option in options:
            if tag in _defaults_of(option):
                return _decode(option, data, source, path)
        raise SchemaError(source, path, f"expected the key {tag!r} ({', '.join(by_tag)}), found none")
    if not isinstance(given[tag], str) or given[tag] not in by_tag:
        raise SchemaError(source, f"{path}.{tag}", _unknown(tag, given[tag], list(by_tag)))
    return _decode(by_tag[given[tag]], data, source, path)


def _literal(options: tuple[Any, ...], data: object, source: str, path: str) -> object:
    if data not in options or isinstance(data, bool):
        raise SchemaError(source, path, _unknown("value", data, [str(option) for option in options]))
    return data


def _datetime(data: object, source: str, path: str) -> datetime:
    try:
        moment = data if isinstance(data, datetime) else datetime.fromisoformat(typing.cast(str, data))
    except (TypeError, ValueError):
        raise SchemaError(source, path, f"expected a date and time, got {data!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _plain(expected: type, data: object, source: str, path: str) -> object:
    if expected is float and isinstance(data, int) and not isinstance(data, bool):
        data = float(data) if abs(data) <= sys.float_info.max else float("inf")
    _require(type(data) is expected, _NAMES[expected], data, source, path)
    if isinstance(data, float) and not -float("inf") < data < float("inf"):
        raise SchemaError(source, path, f"expected a finite number, got {data}")
    return data


def _require(holds: bool, expected: str, data: object, source: str, path: str) -> None:
    if not holds:
        got = repr(data) if isinstance(data, (str, int, float)) else _NAMES.get(type(data), type(data).__name__)
        raise SchemaError(source, path, f"expected {expected}, got {got}")


def _unknown(what: str, given: object, known: list[str]) -> str:
    import difflib  # only where something is wrong already

    near = difflib.get_close_matches(str(given), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} {given!r}, {hint}"
