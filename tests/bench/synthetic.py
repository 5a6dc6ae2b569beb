"""An FLV without an encoder: packets with the sizes and times of a usual stream, and noise inside.

Servers forward bodies untouched and read no more of them than the first bytes and the codec
headers, which are real ones; no decoder would make pictures of the rest.
"""

import random
from typing import Final

from common.media.flv_file import file_header, tag
from common.rtmp.amf0 import encode
from common.rtmp.message import MessageType

_AVCC: Final = bytes.fromhex(  # High profile, level 3.1, 1280x720, as x264 writes it
    "0164001fffe100186764001facb402802dd80880000003008000001e078c195001000468ef3cb0fdf8f800"
)
_ASC: Final = bytes.fromhex("1188")  # AAC-LC, 48 kHz, mono
_METADATA: Final = encode("onMetaData", {"width": 1280, "height": 720, "framerate": 30})
_KEYFRAME_BYTES: Final = 14_000
_FRAME_BYTES: Final = 3_760
_KEYFRAME_EVERY_S: Final = 2
_AUDIO_BYTES: Final = 256  # 96 kbit/s
_AUDIO_MS: Final = 1024 / 48


def synthetic_flv(seconds: int, fps: int) -> bytes:
    """Return ``seconds`` of 0.9 Mbit/s of video and 96 kbit/s of audio as an FLV file."""
    noise = random.Random(1)
    tags = [
        (-1.0, tag(MessageType.DATA_AMF0, 0, _METADATA)),
        (-1.0, tag(MessageType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + _AVCC)),
        (-1.0, tag(MessageType.AUDIO, 0, b"\xaf\x00" + _ASC)),
    ]
    for number in range(seconds * fps):
        at = number * 1000 / fps
        tags.append((at, _picture(noise, round(at), number % (_KEYFRAME_EVERY_S * fps) == 0)))
    for number in range(round(seconds * 1000 / _AUDIO_MS)):
        at = number * _AUDIO_MS
        body = b"\xaf\x01" + noise.randbytes(_AUDIO_BYTES)
        tags.append((at, tag(MessageType.AUDIO, round(at), body)))
    tags.sort(key=lambda each: each[0])
    return file_header(audio=True, video=True) + b"".join(each for _, each in tags)


def _picture(noise: random.Random, timestamp: int, key: bool) -> bytes:
    size = noise.randint(9, 11) * (_KEYFRAME_BYTES if key else _FRAME_BYTES) // 10
    nal = (b"\x65" if key else b"\x41") + noise.randbytes(size - 1)
    head = bytes((0x17 if key else 0x27, 1, 0, 0, 0))
    return tag(MessageType.VIDEO, timestamp, head + len(nal).to_bytes(4, "big") + nal)
