"""Frozen dataclasses that are cheap to define: what a manifest, and a model of the numpy engine, are made of.

`@dataclass` writes the source of each class's methods and compiles it, in every process: three million ARM instructions a class,
a millisecond of a Raspberry Pi 4's start. A `Record` inherits methods that were compiled once, for a tenth of that
(docs/decisions/0014-start.md). Creating one is slower, which nobody notices of a few dozen.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """A subclass is a frozen dataclass: its annotations are its fields, `dataclasses.fields` and `replace` take it.

    Annotate with the types themselves, without `from __future__ import annotations`: `schema.decode` has to evaluate text first.
    """

    if TYPE_CHECKING:  # no field, not even to `typing.get_type_hints`
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        dataclass(init=False, repr=False, eq=False, match_args=False)(cls)

    def __init__(self, *given: Any, **named: Any) -> None:
        fields = self.__dataclass_fields__
        values = dict(zip(fields, given, strict=False))
        if len(given) > len(fields) or not values.keys().isdisjoint(named):
            raise TypeError(f"{type(self).__name__} takes each of {', '.join(fields)} once, got {given} and {named}")
        values.update(named)
        for name, each in fields.items():
            if name in values:
                continue
            if each.default is not MISSING:
                values[name] = each.default
            elif each.default_factory is not MISSING:
                values[name] = each.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs a value for {name!r}")
        if len(values) > len(fields):
            unknown = ", ".join(name for name in values if name not in fields)
            raise TypeError(f"{type(self).__name__} has no field {unknown}, only {', '.join(fields)}")
        self.__dict__.update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Raise `ValueError` for values that do not go together."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self.__dataclass_fields__))

    def __repr__(self) -> str:
        values = (f"{name}={self.__dict__[name]!r}" for name in self.__dataclass_fields__)
        return f"{type(self).__qualname__}({', '.join(values)})"
