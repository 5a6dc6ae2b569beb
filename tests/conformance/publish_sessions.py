"""Encoders' sessions."""

from typing import Any

from common.rtmp.command import encode_command
from tests.conformance.session import (
    AAC_FRAME,
    AAC_HEADER,
    AVC_END,
    AVC_HEADER,
    AVC_KEYFRAME,
    C2,
    FLASH_LIKE,
    SIMPLE,
    URL,
    Session,
    chunk_size,
    metadata,
    window,
)
from tests.support.wire import command, message


def _ffmpeg_publish() -> Session:
    def call(name: str, txn: float, *values: Any, csid: int = 3, stream_id: int = 0) -> bytes:
        return command(name, txn, *values, csid=csid, stream_id=stream_id, chunk_size=65_536)

    def media(type_id: int, body: bytes, time: int, csid: int) -> bytes:
        return message(type_id, body, csid=csid, stream_id=1, timestamp=time, chunk_size=65_536)

    properties = {
        "app": "live",
        "type": "nonprivate",
        "flashVer": "FMLE/3.0 (compatible; Lavf59.27.100)",
        "tcUrl": "rtmp://host:1935/live",
    }
    return Session(
        client="ffmpeg 5.1 publishes, and ends cleanly",
        turns=[
            FLASH_LIKE,
            C2,
            command("connect", 1, properties),
            chunk_size(65_536)  # the answer to ours
            + call("releaseStream", 2, None, "name?key=1")
            + call("FCPublish", 3, None, "name?key=1")
            + call("createStream", 4, None),
            call("publish", 5, None, "name?key=1", "live", csid=8, stream_id=1),
            media(18, metadata(width=1280.0), 0, 4)
            + media(9, AVC_HEADER, 0, 6)
            + media(8, AAC_HEADER, 0, 4)
            + media(9, AVC_KEYFRAME, 0, 6)
            + media(8, AAC_FRAME, 21, 4),
            media(9, AVC_END, 40, 6)
            + call("FCUnpublish", 6, None, "name?key=1")
            + call("deleteStream", 7, None, 1),
        ],
        events=[
            "connect live rtmp://host:1935/live",
            "publish 1 name?key=1 live",
            "18@0",
            "9@0",
            "8@0",
            "9@0",
            "8@21",
            "9@40",
            "publish stopped 1",
        ],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "_result 3",
            "onFCPublish 3 NetStream.Publish.Start",
            "_result 4",
            "onStatus 0 NetStream.Publish.Start @1",
            "onFCUnpublish 0 NetStream.Unpublish.Success",
            "_result 6",
            "onStatus 0 NetStream.Unpublish.Success @1",
        ],
    )


def _obs_publish() -> Session:
    properties = {
        "app": "live?clientConfigId=7",
        "type": "nonprivate",
        "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)",
        "swfUrl": "rtmp://host/live?clientConfigId=7",
        "tcUrl": "rtmp://host/live?clientConfigId=7",
    }
    # OBS sends everything on csid 4; the second audio message is fmt 1, the third fmt 3.
    audio = message(8, AAC_FRAME, csid=4, stream_id=1, timestamp=23, chunk_size=4096)
    next_audio = b"\x44\x00\x00\x17" + len(AAC_FRAME).to_bytes(3, "big") + b"\x08" + AAC_FRAME
    third_audio = b"\xc4" + AAC_FRAME
    return Session(
        client="OBS 30 publishes: chunk size first, media on one chunk stream",
        turns=[
            SIMPLE,
            C2 + chunk_size(4096) + command("connect", 1, properties, chunk_size=4096),
            command("releaseStream", 2, None, "key", chunk_size=4096)
            + command("FCPublish", 3, None, "key", chunk_size=4096)
            + command("createStream", 4, None, chunk_size=4096),
            command("publish", 5, None, "key", "live", csid=4, stream_id=1, chunk_size=4096),
            message(18, metadata(encoder="obs"), csid=4, stream_id=1, chunk_size=4096)
            + message(9, AVC_HEADER, csid=4, stream_id=1, chunk_size=4096)
            + message(9, AVC_KEYFRAME, csid=4, stream_id=1, chunk_size=4096)
            + audio
            + next_audio
            + third_audio,
            command("FCUnpublish", 6, None, "key", chunk_size=4096)
            + command("deleteStream", 7, None, 1, chunk_size=4096),
        ],
        events=[
            "connect live?clientConfigId=7 rtmp://host/live?clientConfigId=7",
            "publish 1 key live",
            "18@0",
            "9@0",
            "9@0",
            "8@23",
            "8@46",
            "8@69",
            "publish stopped 1",
        ],
        replies=_ffmpeg_publish().replies,
    )


def _gstreamer_publish() -> Session:
    return Session(
        client="GStreamer rtmp2sink publishes: transaction id 0 where it wants no answer",
        turns=[
            SIMPLE,
            C2 + chunk_size(4096),
            command("connect", 1, {"app": "live", "tcUrl": URL}, chunk_size=4096),
            window()
            + command("releaseStream", 0, None, "name", chunk_size=4096)
            + command("FCPublish", 0, None, "name", chunk_size=4096)
            + command("createStream", 2, None, chunk_size=4096),
            command("publish", 0, None, "name", "live", stream_id=1, chunk_size=4096),
            message(9, AVC_HEADER, csid=5, stream_id=1, chunk_size=4096),
        ],
        events=["connect live rtmp://host/live", "publish 1 name live", "9@0"],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "onStatus 0 NetStream.Publish.Start @1",
        ],
    )


def _haivision_publish() -> Session:
    return Session(
        client="Haivision publishes: _checkbw first, FCPublish after createStream (SRS #844)",
        turns=[
            SIMPLE + C2,
            command("connect", 1, {"app": "live", "tcUrl": URL}) + command("_checkbw", 2, None),
            command("createStream", 3, None),
            command("FCPublish", 4, None, "name"),
            command("publish", 5, None, "name", "live", stream_id=1),
            message(9, AVC_HEADER, csid=6, stream_id=1),
        ],
        events=["connect live rtmp://host/live", "publish 1 name live", "9@0"],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "_result 3",
            "_result 4",
            "onFCPublish 4 NetStream.Publish.Start",
            "onStatus 0 NetStream.Publish.Start @1",
        ],
    )


def _wirecast_publish() -> Session:
    return Session(
        client="Wirecast publishes, and stops with publish(false) (NMS #67)",
        turns=[
            SIMPLE + C2,
            command("connect", 1, {"app": "live", "tcUrl": URL, "objectEncoding": 0}),
            command("releaseStream", 2, None, "name") + command("FCPublish", 3, None, "name"),
            command("createStream", 4, None),
            command("publish", 0, None, "name", "live", stream_id=1),
            message(9, AVC_KEYFRAME, csid=6, stream_id=1),
            command("publish", 0, None, False, stream_id=1),
        ],
        events=[
            "connect live rtmp://host/live",
            "publish 1 name live",
            "9@0",
            "publish stopped 1",
        ],
        replies=[*_ffmpeg_publish().replies[:6], "onStatus 0 NetStream.Unpublish.Success @1"],
    )


def _fmle_publish() -> Session:
    # FMLE really does this: fmt 0 at 26 ms, then fmt 3 for the message at 52 ms.
    times = message(8, b"\xaf\x01a", csid=4, stream_id=1, timestamp=26) + b"\xc4\xaf\x01b"
    return Session(
        client="FMLE 3 publishes twice on one connection",
        turns=[
            FLASH_LIKE,
            C2,
            command("connect", 1, {"app": "live", "tcUrl": URL, "flashVer": "FMLE/3.0"}),
            command("releaseStream", 2, None, "name") + command("FCPublish", 3, None, "name"),
            command("createStream", 4, None),
            command("publish", 5, None, "name", "live", csid=5, stream_id=1),
            times,
            command("FCUnpublish", 6, None, "name") + command("deleteStream", 7, None, 1),
            command("releaseStream", 8, None, "name") + command("FCPublish", 9, None, "name"),
            command("createStream", 10, None),
            command("publish", 11, None, "name", "live", csid=5, stream_id=2),
            message(8, b"\xaf\x01c", csid=4, stream_id=2, timestamp=5),
        ],
        events=[
            "connect live rtmp://host/live",
            "publish 1 name live",
            "8@26",
            "8@52",
            "publish stopped 1",
            "publish 2 name live",
            "8@5",
        ],
        replies=[
            *_ffmpeg_publish().replies,
            "_result 8",
            "_result 9",
            "onFCPublish 9 NetStream.Publish.Start",
            "_result 10",
            "onStatus 0 NetStream.Publish.Start @2",
        ],
    )


def _flash_publish() -> Session:
    # objectEncoding 3 makes ActionScript 3 send commands as type 17, with a format byte.
    def call(name: str, txn: float, *values: Any, stream_id: int = 0) -> bytes:
        body = b"\x00" + encode_command(name, txn, *values)
        return message(17, body, csid=3, stream_id=stream_id)

    properties = {
        "app": "live",
        "flashVer": "WIN 11,1,102,55",
        "tcUrl": URL,
        "pageUrl": "http://page/",
        "capabilities": 239,
        "audioCodecs": 3575,
        "videoCodecs": 252,
        "objectEncoding": 3,
    }
    return Session(
        client="Flash publishes with AMF3 commands, without FCPublish",
        turns=[
            FLASH_LIKE,
            C2,
            command("connect", 1, properties),
            window() + call("createStream", 2, None),
            call("publish", 3, None, "name", "live", stream_id=1),
            message(8, b"\x22abc", csid=4, stream_id=1, timestamp=1),
            message(17, b"\x00" + encode_command("closeStream", 0, None), csid=8, stream_id=1),
        ],
        events=[
            "connect live rtmp://host/live",
            "publish 1 name live",
            "8@1",
            "publish stopped 1",
        ],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "onStatus 0 NetStream.Publish.Start @1",
        ],
    )


PUBLISH_SESSIONS = [
    _ffmpeg_publish(),
    _obs_publish(),
    _gstreamer_publish(),
    _haivision_publish(),
    _wirecast_publish(),
    _fmle_publish(),
    _flash_publish(),
]
