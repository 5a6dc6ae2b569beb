"""Data messages: onMetaData and its kin, made fit for players.

Publishers' data is never relayed as it came. ffmpeg players end the whole session at a data
message that does not begin with a string, whose name is longer than 63 bytes, or whose
onMetaData holds a key over 127 bytes, an empty key, or a value of a kind they do not know. So
every data message is decoded, cleaned and encoded anew.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from common.errors import AmfError, MediaError
from common.media.codec import LEGACY_AUDIO_NAMES, LEGACY_VIDEO_NAMES, codec_name
from common.rtmp import amf0
from common.rtmp.amf_values import UNDEFINED, Date, EcmaArray
from common.rtmp.limits import RtmpLimits

_SET_DATA_FRAME: Final = "@setDataFrame"
_CLEAR_DATA_FRAME: Final = "@clearDataFrame"
_ON_META_DATA: Final = "onMetaData"

SOURCE_MESSAGE: Final = "onHeadwaterSource"
"""The name of what our nodes tell their relays (`common.stream.source`)."""

_NOT_RELAYED: Final = frozenset({"onStatus", "|RtmpSampleAccess", SOURCE_MESSAGE})
"""What a server says to its own players or relays. As data, onStatus makes ffmpeg show a phantom
stream (SRS #3767); a relay brings all of them."""

_MAX_NAME_BYTES: Final = 63  # ffmpeg's rtmpproto.c
_MAX_KEY_BYTES: Final = 127  # the same
_MAX_STRING_BYTES: Final = 1023  # ffmpeg's flvdec.c gives up at a longer value
_MAX_SHOWN: Final = 80  # of a peer's text in listings
_MAX_PIXELS: Final = 65_535  # per side, and frames per second: more is nonsense

_READABLE: Final = (float, int, type(None), Date, dict, list)
"""Kinds of values, besides strings and undefined, that ffmpeg can step over."""


class DataKind(Enum):
    """What a data message means to the stream's caches."""

    METADATA = "metadata"  # onMetaData: kept for those who join
    CLEAR = "clear"  # @clearDataFrame (FMLE at stop): forget the metadata, forward nothing
    OTHER = "other"  # onTextData, onCuePoint, ...: forwarded


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What onMetaData claims, for people: it may be wrong, and nothing depends on it."""

    encoder: str = ""
    width: int = 0
    height: int = 0
    framerate: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMessage:
    """A data message fit for players: ``payload`` is its AMF0 body (empty for CLEAR)."""

    kind: DataKind
    name: str
    payload: bytes = b""
    info: MediaInfo = MediaInfo()


def parse_data(payload: bytes, limits: RtmpLimits) -> DataMessage | None:
    """Return what the body of a type 18 or 15 message says, None where nothing is to be relayed.

    Not relayed are bodies that do not begin with a string (ffmpeg's timecode track, SRS #3803),
    names that players refuse, and what servers tell their players. Raises MediaError, and
    nothing else, for a body that is broken or too large.
    """
    if payload[:2] == b"\x00\x02":
        payload = payload[1:]  # the format byte of type 15; as AMF0 a number near 1e-308
    try:
        values = amf0.decode_all(payload, limits)
        return _data_message(values, limits)
    except AmfError as error:
        raise MediaError("bad_data", str(error)) from error


def _data_message(values: list[Any], limits: RtmpLimits) -> DataMessage | None:
    if values and values[0] == _SET_DATA_FRAME:
        values = values[1:]
    if not values or type(values[0]) is not str:
        return None
    name = values[0]
    if name == _CLEAR_DATA_FRAME:
        return DataMessage(kind=DataKind.CLEAR, name=name)
    if not 0 < _size(name) <= _MAX_NAME_BYTES or name in _NOT_RELAYED:
        return None
    if name == _ON_META_DATA:
        return _metadata(values[1:], limits)
    payload = _encode(limits, name, *_clean(values[1:]))
    return DataMessage(kind=DataKind.OTHER, name=name, payload=payload)


def _metadata(values: list[Any], limits: RtmpLimits) -> DataMessage | None:
    found = next((value for value in values if isinstance(value, dict)), None)
    if found is None:
        return None
    info = _media_info(found)
    # An ECMA array: only in this form does ffmpeg count it as "metadata received".
    fields = EcmaArray(_clean(found))
    fields.pop("keyframes", None)  # an index into a file
    for key in ("duration", "filesize"):
        # Players take a positive one for a recording's.
        if key in fields and not _is_at_most_zero(fields[key]):
            fields[key] = 0.0
    payload = _encode(limits, _ON_META_DATA, fields)
    return DataMessage(kind=DataKind.METADATA, name=_ON_META_DATA, payload=payload, info=info)


def _is_at_most_zero(value: object) -> bool:
    return isinstance(value, float | int) and value <= 0


def _encode(limits: RtmpLimits, *values: Any) -> bytes:
    payload = amf0.encode(*values)
    if len(payload) > limits.max_command_bytes:
        raise MediaError("data_too_large", f"{len(payload)} bytes")
    return payload


def _clean(value: Any) -> Any:
    """Return ``value`` without what players cannot read. Its depth is bounded by the decoder."""
    if isinstance(value, dict):
        kept = {
            key: _clean(each)
            for key, each in value.items()
            if 0 < _size(key) <= _MAX_KEY_BYTES and _is_known(each)
        }
        return EcmaArray(kept) if isinstance(value, EcmaArray) else kept
    if isinstance(value, list):
        return [_clean(each) if _is_known(each) else None for each in value]
    return value


def _is_known(value: Any) -> bool:
    # By exact type: XML documents are strings to Python, but another marker on the wire. A typed
    # object passes as an anonymous one.
    if type(value) is str:
        return _size(value) <= _MAX_STRING_BYTES
    return value is UNDEFINED or isinstance(value, _READABLE)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _media_info(fields: dict[str, Any]) -> MediaInfo:
    return MediaInfo(
        encoder=_text(fields.get("encoder")),
        width=int(_number(fields.get("width"))),
        height=int(_number(fields.get("height"))),
        framerate=_number(fields.get("framerate")),
        video_codec=codec_name(fields.get("videocodecid"), LEGACY_VIDEO_NAMES),
        audio_codec=codec_name(fields.get("audiocodecid"), LEGACY_AUDIO_NAMES),
    )


def _number(value: object) -> float:
    if isinstance(value, float | int) and math.isfinite(value) and 0 <= value <= _MAX_PIXELS:
        return float(value)
    return 0.0


def _text(value: object) -> str:
    """Return a peer's text fit for a terminal and a log: short, printable, valid Unicode."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:_MAX_SHOWN] if character.isprintable())
