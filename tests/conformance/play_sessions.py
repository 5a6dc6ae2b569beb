"""Players' sessions."""

from tests.conformance.session import (
    C2,
    FLASH_LIKE,
    SIMPLE,
    URL,
    Session,
    buffer_length,
    chunk_size,
    window,
)
from tests.support.wire import command


def _ffmpeg_play() -> Session:
    properties = {
        "app": "live",
        "flashVer": "LNX 9,0,124,2",
        "tcUrl": "rtmp://host:1935/live",
        "fpad": False,
        "capabilities": 15,
        "audioCodecs": 4071,
        "videoCodecs": 252,
        "videoFunction": 1,
    }
    return Session(
        client="ffmpeg 5.1 plays (ffplay, mpv and VLC likewise), and seeks",
        turns=[
            FLASH_LIKE,
            C2,
            command("connect", 1, properties),
            window() + command("createStream", 2, None),
            command("getStreamLength", 3, None, "name", csid=8)
            + command("play", 4, None, "name", -2000, csid=8, stream_id=1)
            + buffer_length(1, 3000),
            command("seek", 0, None, 1000, stream_id=1),
            command("deleteStream", 0, None, 1),
        ],
        events=[
            "connect live rtmp://host:1935/live",
            "play 1 name -2000",
            "play stopped 1",
        ],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "_result 3",
            "onStatus 0 NetStream.Play.Reset @1",
            "onStatus 0 NetStream.Play.Start @1",
            "onStatus 0 NetStream.Seek.Notify @1",
        ],
    )


def _rtmpdump_play() -> Session:
    properties = {
        "app": "live",
        "flashVer": "LNX 10,0,32,18",
        "tcUrl": URL,
        "fpad": False,
        "capabilities": 15,
        "audioCodecs": 3191,
        "videoCodecs": 252,
        "videoFunction": 1,
    }
    return Session(
        client="rtmpdump plays",
        turns=[
            SIMPLE,
            C2,
            command("connect", 1, properties),
            window() + buffer_length(0, 300) + command("createStream", 2, None),
            command("FCSubscribe", 3, None, "name"),
            command("play", 4, None, "name", -1000, csid=8, stream_id=1)
            + buffer_length(1, 36_000_000),
        ],
        events=["connect live rtmp://host/live", "play 1 name -1000"],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "_result 3",
            "onFCSubscribe 0 NetStream.Play.Start",
            "onStatus 0 NetStream.Play.Reset @1",
            "onStatus 0 NetStream.Play.Start @1",
        ],
    )


def _gstreamer_play() -> Session:
    return Session(
        client="GStreamer rtmp2src plays",
        turns=[
            SIMPLE,
            C2 + chunk_size(4096),
            command("connect", 1, {"app": "live", "tcUrl": URL}, chunk_size=4096),
            window() + buffer_length(0, 300) + command("createStream", 2, None, chunk_size=4096),
            command("play", 3, None, "name", -2, stream_id=1, chunk_size=4096)
            + buffer_length(1, 30_000),
        ],
        events=["connect live rtmp://host/live", "play 1 name -2"],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "onStatus 0 NetStream.Play.Reset @1",
            "onStatus 0 NetStream.Play.Start @1",
        ],
    )


def _flash_play() -> Session:
    return Session(
        client="Flash plays, pauses, resumes, mutes and plays something else",
        turns=[
            FLASH_LIKE,
            C2,
            command("connect", 1, {"app": "live", "tcUrl": URL, "objectEncoding": 3}),
            command("createStream", 2, None),
            command("play", 0, None, "name", -1, -1, 1, csid=8, stream_id=1),
            command("pause", 0, None, True, 100, csid=8, stream_id=1),
            command("pauseRaw", 0, None, False, 100, csid=8, stream_id=1),
            command("receiveAudio", 0, None, False, csid=8, stream_id=1),
            command("play", 0, None, "other", csid=8, stream_id=1),
            command("play", 0, None, False, csid=8, stream_id=1),
        ],
        events=[
            "connect live rtmp://host/live",
            "play 1 name -1",
            "paused 1 True",
            "paused 1 False",
            "tracks 1 False None",
            "play stopped 1",
            "play 1 other -2",
            "play stopped 1",
        ],
        replies=[
            "_result 1 NetConnection.Connect.Success",
            "_result 2",
            "onStatus 0 NetStream.Play.Reset @1",
            "onStatus 0 NetStream.Play.Start @1",
            "onStatus 0 NetStream.Pause.Notify @1",
            "onStatus 0 NetStream.Unpause.Notify @1",
            "onStatus 0 NetStream.Play.Reset @1",
            "onStatus 0 NetStream.Play.Start @1",
        ],
    )


PLAY_SESSIONS = [
    _ffmpeg_play(),
    _rtmpdump_play(),
    _gstreamer_play(),
    _flash_play(),
]
