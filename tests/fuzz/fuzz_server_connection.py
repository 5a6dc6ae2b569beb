"""Whatever a client sends, a server core gives events and bytes, and closes at most once."""

from common.rtmp.events import Closed
from common.rtmp.limits import RtmpLimits
from tests.support.wire import C0C1, C2, WireClient

LIMITS = RtmpLimits(max_message_bytes=1 << 20, max_partial_bytes=1 << 20)


def target(data: bytes) -> None:
    """Receive ``data`` after a handshake, cut where its first byte says.

    An odd first byte leaves the handshake to the data, too.
    """
    step, data = (data[0] if data else 0), data[1:]
    client = WireClient(LIMITS)
    if step % 2 == 0:
        client.send(C0C1 + C2)
    size = step // 2 * 16 or max(len(data), 1)
    for at in range(0, len(data), size):
        client.send(data[at : at + size])
        client.now += 0.01
        if (due := client.server.next_deadline()) is not None and due <= client.now:
            client.server.handle_deadline(client.now)
    client.server.receive_eof(client.now)
    client.collect()
    closed = [event for event in client.events if isinstance(event, Closed)]
    assert closed == client.events[-1:]
    assert client.server.data_to_send() == b""
    client.messages()  # what we sent is a chunk stream that our own reader takes
