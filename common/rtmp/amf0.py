"""AMF0 values to and from bytes [AMF0 §2]. `amf_values` says what becomes what.

Two liberties are taken with the specification because encoders do: the count of an ECMA array is
ignored, and the outermost object may end with the message instead of an end marker (Envivio).
"""

from enum import IntEnum
from struct import Struct
from typing import Any, Final

from common.errors import AmfError, UsageError
from common.rtmp.amf3 import Amf3Decoder, encode_byte_array
from common.rtmp.amf_cursor import AmfCursor, Shared
from common.rtmp.amf_values import UNDEFINED, Date, EcmaArray, TypedObject, Undefined, XmlDocument
from common.rtmp.limits import RtmpLimits

__all__ = [
    "UNDEFINED",
    "Date",
    "EcmaArray",
    "TypedObject",
    "Undefined",
    "XmlDocument",
    "decode_all",
    "encode",
]


class _Marker(IntEnum):
    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    REFERENCE = 0x07
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML_DOCUMENT = 0x0F
    TYPED_OBJECT = 0x10
    AMF3 = 0x11


_MARKERS: Final = {int(marker): marker for marker in _Marker}
_MAX_SHORT: Final = 0xFFFF
_OBJECT_END: Final = b"\x00\x00\x09"

_NUMBER = Struct(">Bd")
_STRING = Struct(">BH")
_COUNTED = Struct(">BI")  # long strings and arrays
_DATE = Struct(">Bdh")
_KEY = Struct(">H")
_ZONE = Struct(">h")


def decode_all(data: bytes, limits: RtmpLimits) -> list[Any]:
    """Return all the values in ``data``.

    Raises AmfError, and nothing else, for data that is broken or over a limit.
    """
    decoder = _Decoder(AmfCursor(data, limits))
    values = []
    while decoder.cursor.pos < decoder.cursor.end:
        values.append(decoder.value())
    return values


def encode(*values: Any) -> bytes:
    """Return ``values`` one after the other. An int is sent as a number.

    Everything that `decode_all` returns can be encoded. Raises UsageError for other types.
    """
    out = bytearray()
    for value in values:
        _encode(value, out)
    return bytes(out)


class _Decoder:
    """Decodes the values of one message; references reach back to its beginning [AMF0 §2.9]."""

    def __init__(self, cursor: AmfCursor) -> None:
        self.cursor = cursor
        self._shared: list[Shared] = []
        self._amf3 = Amf3Decoder(cursor)  # its tables, too, live as long as the message

    def value(self) -> Any:
        cursor = self.cursor
        cursor.count_nodes(1)
        code = cursor.u8()
        match _MARKERS.get(code):
            case _Marker.NUMBER:
                return cursor.double()
            case _Marker.BOOLEAN:
                return cursor.u8() != 0
            case _Marker.STRING:
                return cursor.text(cursor.u16())
            case _Marker.OBJECT:
                return self._properties({})
            case _Marker.NULL:
                return None
            case _Marker.UNDEFINED | _Marker.UNSUPPORTED:
                return UNDEFINED
            case _Marker.REFERENCE:
                return cursor.repeat(self._shared, cursor.u16())
            case _Marker.ECMA_ARRAY:
                cursor.take(4)  # a count that encoders do not get right [E-RTMP v2]
                return self._properties(EcmaArray())
            case _Marker.STRICT_ARRAY:
                return self._strict_array()
            case _Marker.DATE:
                return Date(cursor.double(), _ZONE.unpack(cursor.take(2))[0])
            case _Marker.LONG_STRING:
                return cursor.text(cursor.u32())
            case _Marker.XML_DOCUMENT:
                return XmlDocument(cursor.text(cursor.u32()))
            case _Marker.TYPED_OBJECT:
                return self._properties(TypedObject(cursor.text(cursor.u16())))
            case _Marker.AMF3:
                return self._amf3.value()
            case _:  # movie clips and record sets are reserved; an object's end belongs in one
                raise AmfError("amf_bad_marker", f"{code:#04x} at byte {cursor.pos - 1}")

    def _properties(self, target: dict[str, Any]) -> dict[str, Any]:
        """Read names and values into ``target`` up to the end marker."""
        cursor = self.cursor
        shared = cursor.begin()
        self._shared.append(shared)
        # Envivio never ends its connect object; deeper down the end would be ambiguous.
        while not (cursor.pos == cursor.end and cursor.depth == 1):
            size = cursor.u16()
            if size == 0 and cursor.data[cursor.pos : cursor.pos + 1] == b"\x09":
                cursor.pos += 1
                break
            name = cursor.text(size)
            target[name] = self.value()
        cursor.finish(shared, target)
        return target

    def _strict_array(self) -> list[Any]:
        cursor = self.cursor
        count = cursor.u32()
        if count > cursor.end - cursor.pos:  # each value takes a byte at least
            raise AmfError("amf_truncated", f"an array of {count} in {cursor.end - cursor.pos} B")
        shared = cursor.begin()
        self._shared.append(shared)
        values = [self.value() for _ in range(count)]
        cursor.finish(shared, values)
        return values


def _encode(value: Any, out: bytearray) -> None:
    match value:  # subclasses before the class they extend
        case None:
            out.append(_Marker.NULL)
        case bool():
            out += bytes((_Marker.BOOLEAN, value))
        case int() | float():
            out += _NUMBER.pack(_Marker.NUMBER, value)
        case XmlDocument():
            text = _utf8(value)
            out += _COUNTED.pack(_Marker.XML_DOCUMENT, len(text)) + text
        case str():
            _encode_string(value, out)
        case TypedObject():
            out.append(_Marker.TYPED_OBJECT)
            _encode_name(value.class_name, out)
            _encode_properties(value, out)
        case EcmaArray():
            out += _COUNTED.pack(_Marker.ECMA_ARRAY, len(value))
            _encode_properties(value, out)
        case dict():
            out.append(_Marker.OBJECT)
            _encode_properties(value, out)
        case list() | tuple():
            out += _COUNTED.pack(_Marker.STRICT_ARRAY, len(value))
            for item in value:
                _encode(item, out)
        case Date():
            out += _DATE.pack(_Marker.DATE, value.unix_ms, value.zone_minutes)
        case Undefined():
            out.append(_Marker.UNDEFINED)
        case bytes():  # AMF0 has no byte array of its own
            out.append(_Marker.AMF3)
            out += encode_byte_array(value)
        case _:
            raise UsageError(f"AMF0 has no {type(value).__name__}")


def _encode_string(value: str, out: bytearray) -> None:
    text = _utf8(value)
    if len(text) <= _MAX_SHORT:
        out += _STRING.pack(_Marker.STRING, len(text)) + text
    else:
        out += _COUNTED.pack(_Marker.LONG_STRING, len(text)) + text


def _encode_properties(properties: dict[str, Any], out: bytearray) -> None:
    for name, value in properties.items():
        _encode_name(name, out)
        _encode(value, out)
    out += _OBJECT_END


def _encode_name(name: str, out: bytearray) -> None:
    text = _utf8(name)
    if len(text) > _MAX_SHORT:
        raise UsageError(f"a name of {len(text)} B does not fit into AMF0")
    out += _KEY.pack(len(text)) + text


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
