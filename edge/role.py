"""What an edge answers to clients: viewers play; encoders are told where to publish."""

from common.net.roles import Encoder, PlayOrder, Publishing
from common.rtmp.events import PublishRequested
from common.stream.live import LiveStream
from edge.streams import Streams


class EdgeRole:
    """The edge's side of every session."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def publish(self, encoder: Encoder, request: PublishRequested) -> Publishing | None:
        """Refuse: streams come in at origins."""
        encoder.link.log.info("publisher refused", reason="this is an edge")
        encoder.link.core.reject_publish(
            request.stream_id, "NetStream.Publish.Denied", "this is an edge: publish to an origin"
        )
        return None

    def find(self, order: PlayOrder) -> LiveStream | None:
        """Return a stream that is here already."""
        return self._streams.find(order)

    async def acquire(self, order: PlayOrder) -> LiveStream:
        """Pull the stream."""
        return await self._streams.acquire(order)

    def viewer_left(self, stream: LiveStream) -> None:
        """Let the pull linger, then end."""
        self._streams.viewer_left(stream)
