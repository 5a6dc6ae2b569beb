"""Codec names: one name per codec, whichever way a sender spells it.

A codec is named by its FourCC, legacy ids included ("avc1" for id 7), so that the rest of the code
and people who read listings see one word. Unknown codecs are "": names end up in records and
metrics, and a peer must not be able to invent them.
"""

from typing import Final

FOURCC_NAMES: Final[dict[bytes, str]] = {
    b"avc1": "avc1",
    b"hvc1": "hvc1",
    b"vvc1": "vvc1",
    b"av01": "av01",
    b"vp08": "vp08",
    b"vp09": "vp09",
    b"mp4a": "mp4a",
    b"Opus": "Opus",
    b"fLaC": "fLaC",
    b"ac-3": "ac-3",
    b"ec-3": "ec-3",
    b".mp3": "mp3",
}
"""E-RTMP FourCCs [ER2]."""

LEGACY_VIDEO_NAMES: Final[dict[int, str]] = {
    2: "h263",
    3: "screen",
    4: "vp6",
    5: "vp6a",
    6: "screen2",
    7: "avc1",
    12: "hvc1",  # a convention of Chinese CDNs, in no specification
    13: "av01",  # of the same family
}
"""Codec ids of the legacy video header [FLV E.4.3.1]."""

LEGACY_AUDIO_NAMES: Final[dict[int, str]] = {
    0: "pcm",
    1: "adpcm",
    2: "mp3",
    3: "pcm",
    4: "nellymoser",
    5: "nellymoser",
    6: "nellymoser",
    7: "alaw",
    8: "ulaw",
    10: "mp4a",
    11: "speex",
    14: "mp3",  # at 8 kHz
}
"""Sound formats of the legacy audio header [FLV E.4.2.1]."""


def codec_name(value: object, legacy: dict[int, str]) -> str:
    """Return the codec that onMetaData's videocodecid or audiocodecid names, "" if unknown.

    ``value`` is a legacy id, a FourCC as a number [ER2], or a string ("avc1", XSplit and others).
    """
    if isinstance(value, str):
        return FOURCC_NAMES.get(value.encode("ascii", "replace"), "")
    if isinstance(value, float | int) and 0 <= value < 1 << 32:
        number = int(value)
        return legacy.get(number) or FOURCC_NAMES.get(number.to_bytes(4, "big"), "")
    return ""
