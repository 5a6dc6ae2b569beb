"""AMF3 values from bytes [AMF3 §3]: what stands behind marker 0x11 in AMF0.

Flash clients with objectEncoding 3 send such values; everything we send is AMF0. Strings, objects
and traits are each remembered in a table and may be referred to by number.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from common.errors import AmfError
from common.rtmp.amf_cursor import AmfCursor, Shared
from common.rtmp.amf_values import UNDEFINED, Date, EcmaArray, TypedObject, XmlDocument


class _Marker(IntEnum):
    UNDEFINED = 0x00
    NULL = 0x01
    FALSE = 0x02
    TRUE = 0x03
    INTEGER = 0x04
    DOUBLE = 0x05
    STRING = 0x06
    XML_DOCUMENT = 0x07
    DATE = 0x08
    ARRAY = 0x09
    OBJECT = 0x0A
    XML = 0x0B
    BYTE_ARRAY = 0x0C
    VECTOR_INT = 0x0D
    VECTOR_UINT = 0x0E
    VECTOR_DOUBLE = 0x0F
    VECTOR_OBJECT = 0x10
    DICTIONARY = 0x11


_MARKERS: Final = {int(marker): marker for marker in _Marker}
_VECTOR_ITEMS: Final = {
    _Marker.VECTOR_INT: Struct(">i"),
    _Marker.VECTOR_UINT: Struct(">I"),
    _Marker.VECTOR_DOUBLE: Struct(">d"),
}
_MAX_NAME_BYTES: Final = 0xFFFF  # longer ones could not be sent on in AMF0


@dataclass(frozen=True, slots=True)
class _Traits:
    """What objects of one class share. ``text_bytes`` is the size of its names."""

    class_name: str
    dynamic: bool
    names: list[str]
    text_bytes: int


def encode_byte_array(data: bytes) -> bytes:
    """Return a ByteArray with its marker: the one AMF3 value that AMF0 cannot express."""
    return bytes((_Marker.BYTE_ARRAY,)) + _encode_u29(len(data) << 1 | 1) + data


def _encode_u29(value: int) -> bytes:
    if value < 0x200000:
        groups = [value >> 14 & 0x7F, value >> 7 & 0x7F, value & 0x7F]
        while len(groups) > 1 and groups[0] == 0:
            del groups[0]
        return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])
    first = (value >> shift & 0x7F | 0x80 for shift in (22, 15, 8))
    return bytes((*first, value & 0xFF))


class Amf3Decoder:
    """Decodes AMF3 values at a cursor; the tables last as long as the decoder."""

    def __init__(self, cursor: AmfCursor) -> None:
        self._cursor = cursor
        self._strings: list[tuple[str, int]] = []  # with the size on the wire
        self._objects: list[Shared] = []
        self._traits: list[_Traits] = []

    def value(self) -> Any:
        """Return the next value. Raises AmfError."""
        cursor = self._cursor
        cursor.count_nodes(1)
        code = cursor.u8()
        match _MARKERS.get(code):
            case _Marker.UNDEFINED:
                return UNDEFINED
            case _Marker.NULL:
                return None
            case _Marker.FALSE:
                return False
            case _Marker.TRUE:
                return True
            case _Marker.INTEGER:
                value = self._u29()
                return value - (1 << 29) if value & 1 << 28 else value
            case _Marker.DOUBLE:
                return cursor.double()
            case _Marker.STRING:
                return self._string()[0]
            case None:
                raise AmfError("amf_bad_marker", f"{code:#04x} at byte {cursor.pos - 1} (AMF3)")
            case marker:
                return self._object(marker)

    def _u29(self) -> int:
        """Return a number of one to four bytes [AMF3 §1.3.1]."""
        value = 0
        for _ in range(3):
            byte = self._cursor.u8()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        return value << 8 | self._cursor.u8()

    def _string(self) -> tuple[str, int]:
        """Return a string, new or by reference, and its size."""
        header = self._u29()
        size = header >> 1
        if header & 1 == 0:
            if size >= len(self._strings):
                raise AmfError("amf_bad_reference", f"string {size} of {len(self._strings)}")
            known = self._strings[size]
            self._cursor.count_text(known[1])
            return known
        new = (self._cursor.text(size), size)
        if size > 0:  # the empty string is never referred to [AMF3 §1.3.2]
            self._strings.append(new)
        return new

    def _name(self) -> str:
        text, size = self._string()
        if size > _MAX_NAME_BYTES:
            raise AmfError("amf_string_too_long", f"a name of {size} B")
        return text

    def _object(self, marker: _Marker) -> Any:
        """Return a value of the kinds that go into the object table."""
        header = self._u29()
        if header & 1 == 0:
            return self._cursor.repeat(self._objects, header >> 1)
        shared = self._cursor.begin()
        self._objects.append(shared)
        return self._cursor.finish(shared, self._new_object(marker, header >> 1))

    def _new_object(self, marker: _Marker, header: int) -> Any:
        cursor = self._cursor
        match marker:
            case _Marker.DATE:
                return Date(cursor.double())
            case _Marker.XML_DOCUMENT | _Marker.XML:
                return XmlDocument(cursor.text(header))
            case _Marker.BYTE_ARRAY:
                return cursor.blob(header)
            case _Marker.ARRAY:
                return self._array(header)
            case _Marker.OBJECT:
                return self._instance(header)
            case _Marker.DICTIONARY:
                return self._dictionary(header)
            case _Marker.VECTOR_OBJECT:
                cursor.take(1)  # whether its length is fixed
                self._name()  # its items' class
                return self._values(header)
            case _:
                cursor.take(1)
                item = _VECTOR_ITEMS[marker]
                cursor.count_nodes(header)
                return [value for (value,) in item.iter_unpack(cursor.take(item.size * header))]

    def _values(self, count: int) -> list[Any]:
        left = self._cursor.end - self._cursor.pos
        if count > left:  # each value takes a byte at least
            raise AmfError("amf_truncated", f"an array of {count} in {left} B")
        return [self.value() for _ in range(count)]

    def _array(self, count: int) -> list[Any] | EcmaArray:
        """Return a list, or, when named values come first, one array with the rest by index."""
        named = EcmaArray()
        self._named_values(named)
        values = self._values(count)
        if not named:
            return values
        named.update((str(index), value) for index, value in enumerate(values))
        return named

    def _named_values(self, target: dict[str, Any]) -> None:
        """Read names and values into ``target`` up to an empty name."""
        while name := self._name():
            target[name] = self.value()

    def _instance(self, header: int) -> dict[str, Any]:
        traits = self._read_traits(header)
        target = TypedObject(traits.class_name) if traits.class_name else dict[str, Any]()
        for name in traits.names:
            target[name] = self.value()
        if traits.dynamic:
            self._named_values(target)
        return target

    def _read_traits(self, header: int) -> _Traits:
        if header & 1 == 0:
            index = header >> 1
            if index >= len(self._traits):
                raise AmfError("amf_bad_reference", f"traits {index} of {len(self._traits)}")
            known = self._traits[index]
            self._cursor.count_text(known.text_bytes)
            return known
        if header & 2:  # only the class itself knows how to read it
            raise AmfError("amf_externalizable", "an externalizable object")
        count = header >> 3
        self._cursor.count_nodes(count)
        before = self._cursor.text_bytes
        class_name = self._name()
        names = [self._name() for _ in range(count)]
        text_bytes = self._cursor.text_bytes - before
        traits = _Traits(class_name, bool(header & 4), names, text_bytes)
        self._traits.append(traits)
        return traits

    def _dictionary(self, count: int) -> EcmaArray:
        self._cursor.take(1)  # whether its keys are weak
        target = EcmaArray()
        for _ in range(count):
            name = self.value()
            if not isinstance(name, str):
                raise AmfError("amf_dictionary_key", "a dictionary key that is no string")
            target[name] = self.value()
        return target
