"""The values of AMF0 and AMF3 that Python has no type of its own for.

The rest map to themselves: None, bool, float (AMF3 integers: int), str, dict (anonymous object),
list (strict array), bytes (AMF3 ByteArray).

A str that came from a peer may hold lone surrogates (U+DC80..U+DCFF): encoders send Latin-1 and
GBK where UTF-8 belongs, and ``surrogateescape`` lets such bytes be encoded again without loss.
Whoever shows, logs or stores such a string must expect them.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Undefined(Enum):
    """The type of `UNDEFINED`, ActionScript's ``undefined``; None is its ``null``."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


class EcmaArray(dict[str, Any]):
    """An associative array: an object with another marker. Metadata is sent as one."""

    __slots__ = ()


class TypedObject(dict[str, Any]):
    """An object of a named class."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.class_name = class_name


class XmlDocument(str):
    """An XML document as text; never parsed."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Date:
    """A point in time, in ms since 1970; the zone is reserved and should be 0."""

    unix_ms: float
    zone_minutes: int = 0
