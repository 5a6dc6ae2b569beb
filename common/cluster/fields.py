"""Reading the fields of a decoded record, each with the type that it must have."""

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeVar, cast

from common.errors import RecordError

_Choice = TypeVar("_Choice", bound=StrEnum)


class Fields:
    """The fields of one record. Every reader raises `RecordError` for what does not fit.

    A reader with a default returns it when the field is missing, never when it is wrong.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    @classmethod
    def of(cls, value: object) -> "Fields":
        """Take a decoded value as a record."""
        if not isinstance(value, dict):
            raise RecordError(f"a record is not a map but {_kind(value)}")
        return cls(value)

    def names(self) -> Iterator[str]:
        """Return the names of all fields that have text for a name."""
        return (name for name in self._values if isinstance(name, str))

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise _wrong(name, "a text", value)
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number that is not negative."""
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise _wrong(name, "a whole number", value)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number."""
        value = self._values.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong(name, "a number", value)
        if not math.isfinite(value):
            raise _wrong(name, "a finite number", value)
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty when missing."""
        value = self._values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise _wrong(name, "a list of texts", value)
        return tuple(cast("list[str]", value))

    def one_of(self, choices: type[_Choice], name: str) -> _Choice:
        """Return a member of an enum."""
        text = self.text(name)
        try:
            return choices(text)
        except ValueError as error:
            raise RecordError(f"field {name!r} is {text[:40]!r}: not known here") from error

    def inner(self, name: str) -> "Fields":
        """Return a record within the record."""
        return Fields.of(self._values.get(name))


def _wrong(name: str, wanted: str, value: object) -> RecordError:
    return RecordError(f"field {name!r} is not {wanted} but {_kind(value)}")


def _kind(value: object) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"
