"""Frozen dataclasses that are cheap to define: what a manifest, and a model of the numpy engine, are made of.

`@dataclass` writes the source of each class's methods and compiles it, in every process: three million ARM instructions a class,
a millisecond of a Raspberry Pi 4's start. A `Record` inherits methods that were compiled once, and costs next to nothing
(docs/decisions/0014-start.md). Creating one is slower, which nobody notices of a few dozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field


class _Fields:
    """`__dataclass_fields__`, made when somebody asks for it: `dataclasses.fields` and `replace` do, opening a bundle does not."""

    def __get__(self, record: Record | None, cls: type[Record]) -> dict[str, Field[Any]]:
        from dataclasses import dataclass, field

        if cls is Record:
            raise AttributeError("__dataclass_fields__")  # it has none, only its subclasses
        for name, default in cls.field_defaults.items():
            if type(default) is dict:
                setattr(cls, name, field(default_factory=dict))
        dataclass(init=False, repr=False, eq=False, match_args=False)(cls)
        fields: dict[str, Field[Any]] = cls.__dict__["__dataclass_fields__"]
        return fields


@dataclass_transform(frozen_default=True)
class Record:
    """A subclass is a frozen dataclass: its annotations are its fields, `dataclasses.fields` and `replace` take it.

    A default `{}` is a new dictionary for each record. Annotate with the types themselves, without `from __future__ import
    annotations`: `schema.decode` has to evaluate text first.
    """

    if TYPE_CHECKING:  # no fields, not even to `typing.get_type_hints`
        field_types: ClassVar[dict[str, Any]]
        """Each field's type by its name, in order."""
        field_defaults: ClassVar[dict[str, Any]]
        """The values of the fields that have one without being given."""
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:
        __dataclass_fields__ = _Fields()

    def __init_subclass__(cls) -> None:
        cls.field_types = {**getattr(cls, "field_types", {}), **cls.__annotations__}
        cls.field_defaults = {name: getattr(cls, name) for name in cls.field_types if hasattr(cls, name)}

    def __init__(self, *given: Any, **named: Any) -> None:
        types = self.field_types
        values = dict(zip(types, given, strict=False))
        if len(given) > len(types) or not values.keys().isdisjoint(named):
            raise TypeError(f"{type(self).__name__} takes each of {', '.join(types)} once, got {given} and {named}")
        values = {**self.field_defaults, **values, **named}
        if values.keys() != types.keys():
            raise TypeError(f"{type(self).__name__} takes {', '.join(types)}, got {', '.join(values)}")
        for name, value in values.items():
            if type(value) is dict and value is self.field_defaults.get(name):
                values[name] = {}
        self.__dict__.update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Raise `ValueError` for values that do not go together."""

    def replaced(self, **changes: Any) -> Self:
        """The same with other values of some fields, checked again: `dataclasses.replace` without that module."""
        return type(self)(**{**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self.field_types))

    def __repr__(self) -> str:
        values = (f"{name}={self.__dict__[name]!r}" for name in self.field_types)
        return f"{type(self).__qualname__}({', '.join(values)})"
