"""Whatever a server sends, a client core gives events and bytes, and closes at most once."""

from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import Closed, PublishStarted
from common.rtmp.limits import RtmpLimits
from tests.support.pair import fixed_bytes

LIMITS = RtmpLimits(max_message_bytes=1 << 20, max_partial_bytes=1 << 20)
SERVER_HANDSHAKE = b"\x03" + bytes(2 * 1536)


def target(data: bytes) -> None:
    """Receive ``data`` after a handshake, in the mode and the cuts that its first byte says."""
    first, data = (data[0] if data else 0), data[1:]
    client = ClientConnection(
        LIMITS,
        tc_url="rtmp://host/live",
        app="live",
        stream_name="name",
        mode=Mode.PUBLISH if first % 2 else Mode.PLAY,
        now=0.0,
        chunk_size=4096,
        random_bytes=fixed_bytes,
    )
    client.start()
    client.receive_data(SERVER_HANDSHAKE, 0.0)
    events = client.events()
    size = first // 2 * 16 or max(len(data), 1)
    for at in range(0, len(data), size):
        client.receive_data(data[at : at + size], at / 1000)
        events += client.events()
        if any(isinstance(event, PublishStarted) for event in events):
            client.send_media(9, at, b"\x17\x01")
    client.finish(1.0)
    client.receive_eof(1.0)
    events += client.events()
    closed = [event for event in events if isinstance(event, Closed)]
    assert closed == events[-1:]
