"""AMF0 values to and from bytes [AMF0 §2]."""

from typing import Any

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


def decode_all(data: bytes, limits: RtmpLimits) -> list[Any]:
    """Return all the values in ``data``.

    Raises AmfError, and nothing else, for data that is broken or over a limit.
    """
    raise NotImplementedError


def encode(*values: Any) -> bytes:
    """Return ``values`` one after the other. An int is sent as a number."""
    raise NotImplementedError
