"""One play of a session: from the request to the last byte."""

import asyncio

from common.errors import HeadwaterError, StreamNotFound
from common.media.recent import ResumePoint
from common.metrics import FIRST_FRAME
from common.net.link import Link, close_on_error
from common.net.roles import PlayOrder
from common.net.services import Services
from common.rtmp.events import PlayRequested, TrackChanged
from common.stream.blocks import OutputSpec
from common.stream.live import LiveStream
from common.stream.viewer import Viewer, ViewerKind


class Playback:
    """A client's play: waits for the stream, then takes it as a viewer."""

    __slots__ = (
        "_asked_at",
        "_audio",
        "_link",
        "_paused",
        "_services",
        "_source",
        "_stream",
        "_stream_id",
        "_task",
        "_video",
        "viewer",
    )

    def __init__(
        self, link: Link, services: Services, request: PlayRequested, kind: ViewerKind
    ) -> None:
        self._link = link
        self._services = services
        self._stream_id = request.stream_id
        self._audio = True  # as it is wanted when the play begins
        self._video = True
        self._paused = False
        self._stream: LiveStream | None = None
        self._task: asyncio.Task[None] | None = None
        self._source = "cached"
        self._asked_at = services.now()
        self.viewer = Viewer(
            link.transport,
            kind,
            self,
            socket=link.plain_socket(),
            # What was played before may be unsent yet, and nobody tells that a second time.
            congested=link.congested,
        )

    @property
    def is_fed(self) -> bool:
        """Whether the stream is written to the client now: not while it waits, pauses or lags."""
        return self.viewer.seat is not None and self.viewer.lagging_since is None

    def begin(self, order: PlayOrder) -> None:
        """Start at once if the stream is here, else as soon as it has been got hold of."""
        stream = self._services.role.find(order)
        if stream is not None:
            self._begin(stream, order)
        else:
            self._source = "pulled"
            self._task = self._services.loop.create_task(self._wait(order))
            close_on_error(self._task, self._link)

    def congestion(self, congested: bool) -> None:
        """Pass on that the transport holds unsent bytes, or no longer does."""
        if congested:
            self.viewer.writing_paused()
        else:
            self.viewer.writing_resumed()

    def pause(self, paused: bool) -> None:
        """Stop sending, or go on at a keyframe."""
        self._paused = paused
        if self._stream is None:
            return
        if paused:
            self._stream.suspend(self.viewer)
        else:
            self.viewer.header_version = -1  # on resume a player gets the headers anew [SRS]
            self._attach(self._stream, resume=True)

    def change_tracks(self, change: TrackChanged) -> None:
        """Send audio or video no longer, or again: then from a keyframe, with headers."""
        audio = self._audio if change.audio is None else change.audio
        video = self._video if change.video is None else change.video
        if (audio, video) == (self._audio, self._video):
            return
        self._audio = audio
        self._video = video
        if self._stream is not None and not self._paused:
            self.viewer.header_version = -1
            self._attach(self._stream, resume=True)

    def stop(self) -> None:
        """Leave the stream; harmless when there is none."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.detach(self.viewer)
            self._services.role.viewer_left(stream)

    def viewer_started(self, viewer: Viewer) -> None:
        """Measure how long the first picture took."""
        now = self._services.now()
        FIRST_FRAME.labels(source=self._source).observe(now - self._asked_at)

    def viewer_kicked(self, viewer: Viewer, reason: str) -> None:
        """End the connection without another byte: its buffer is full."""
        self._link.log.info("viewer disconnected", reason=reason)
        self._link.abort(reason)

    def viewer_ended(self, viewer: Viewer, reason: str) -> None:
        """Say that the stream is over, and close."""
        self._link.core.end_play(self._stream_id)
        self._link.close(reason)

    async def _wait(self, order: PlayOrder) -> None:
        try:
            stream = await self._services.role.acquire(order)
        except StreamNotFound as error:
            self._refuse("NetStream.Play.StreamNotFound", str(error))
        except HeadwaterError as error:
            self._refuse("NetStream.Play.Failed", str(error))
        else:
            self._begin(stream, order)
            self._link.pump()
        self._task = None

    def _refuse(self, code: str, description: str) -> None:
        self._link.log.limited("play_refused").info("play refused", code=code, reason=description)
        self._link.core.reject_play(self._stream_id, code, description)
        self._link.pump()

    def _begin(self, stream: LiveStream, order: PlayOrder) -> None:
        if not self._link.core.accept_play(self._stream_id):
            return  # stopped while we were looking
        # The answers must be on the wire before the first media byte.
        if output := self._link.core.data_to_send():
            self._link.write(output)
        # It may have switched one off or on before `play`, and while it waited for the stream.
        self._audio = self._link.core.wants_audio
        self._video = self._link.core.wants_video
        self._stream = stream
        self._attach(stream, since=order.hello.since if order.hello else None)

    def _attach(
        self, stream: LiveStream, *, resume: bool = False, since: ResumePoint | None = None
    ) -> None:
        spec = OutputSpec(
            stream_id=self._stream_id,
            audio=self._audio,
            video=self._video,
            relay=self.viewer.kind is not ViewerKind.PLAYER,
            chunk_size=self._services.chunk_size,
        )
        stream.attach(self.viewer, spec, self._services.now(), resume=resume, since=since)
