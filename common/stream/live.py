"""A live stream inside a worker: what is known of it, and who takes it.

The same object serves an origin (fed by a publisher) and an edge (fed by a relay). It outlives its
source: viewers stay while a new source is found, and go on at a keyframe.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from common.config.model import GopSettings
from common.ids import StreamKey
from common.media.gop import GopCache, HeaderCache
from common.media.packet import HEADER_ROLES, Packet, Role
from common.media.recent import RecentPackets, ResumePoint
from common.rtmp.message import AUDIO, VIDEO
from common.stream.blocks import OutputSpec
from common.stream.flusher import Flusher
from common.stream.output import Output
from common.stream.source import StreamSource
from common.stream.viewer import Viewer, ViewerKind

_KEYFRAME: Final = Role.KEYFRAME
_FRAME: Final = Role.FRAME


@dataclass(slots=True)
class StreamTotals:
    """What has come in for a stream since it began, as plain integers."""

    bytes_in: int = 0
    audio_in: int = 0
    video_in: int = 0
    data_in: int = 0

    def count(self, packet: Packet) -> None:
        """Take note of a packet."""
        self.bytes_in += len(packet.payload)
        type_id = packet.type_id
        if type_id == AUDIO:
            self.audio_in += 1
        elif type_id == VIDEO:
            self.video_in += 1
        else:
            self.data_in += 1


class LiveStream:
    """Codec headers, the cached GOP and the outputs of one stream."""

    def __init__(self, key: StreamKey, gop: GopSettings, flusher: Flusher) -> None:
        self.key = key
        self.headers = HeaderCache()
        self.gop = GopCache(gop.max_bytes, gop.max_seconds, gop.max_packets)
        self.recent = RecentPackets(gop.max_bytes, gop.max_seconds, gop.max_packets)
        self.header_version = 0
        """Grows with whatever a viewer must be given before it starts."""
        self.source: StreamSource | None = None
        """Where the stream comes from, for relays."""
        self.totals = StreamTotals()
        self.viewers: dict[Viewer, ViewerKind] = {}
        self.on_first_viewer: Callable[[], None] = _do_nothing
        """Called when somebody comes while nobody is here."""
        self._flusher = flusher
        self._outputs: dict[OutputSpec, Output] = {}
        self._former_headers: dict[tuple[Role, int], bytes] = {}
        self._awaits_keyframe = True

    @property
    def has_video(self) -> bool:
        """Whether viewers must start at a keyframe."""
        known = self.headers.has_video or self.gop.has_video
        return known and not self.gop.audio_only  # a camera that is off keeps nobody waiting

    @property
    def codecs(self) -> tuple[str, ...]:
        """The codecs of the stream as far as they are known, video first."""
        return self.headers.codecs

    @property
    def outputs(self) -> Iterator[Output]:
        """The serialisations that somebody takes."""
        return iter(self._outputs.values())

    def begin_session(self, source: StreamSource | None = None, at: int = 0) -> None:
        """Prepare for a new source of the stream; not for the same one after a short loss.

        Nothing of the old one is served to newcomers: a header of a track that does not come
        again would be a track that never plays (SRS #1630). Viewers go on at a keyframe. Relays
        are told which ``source`` it is, and that it begins about ``at`` on the stream's clock;
        without a name they are told nothing.
        """
        self.resume_session()
        self._awaits_keyframe = True
        self.headers.clear()
        self.gop.clear()
        self.recent.clear(at)
        self.source = source
        if source is not None:
            self.header_version += 1
            for output in self._outputs.values():
                if output.spec.relay:
                    output.add(source.to_packet(at))

    def resume_session(self) -> None:
        """Prepare for the same source by another way: the headers that viewers have come again."""
        for each in self.headers.for_joiner():
            # Added to those before: a source may have gone again without a word.
            self._former_headers[each.role, each.track] = each.payload

    def push(self, packet: Packet) -> None:
        """Take the next packet: cache it, and hand it to every output."""
        role = packet.role
        if role in HEADER_ROLES:
            self._push_header(packet)
            return
        gop = self.gop
        if role is _KEYFRAME:
            self._awaits_keyframe = False
        elif role is _FRAME and not gop.has_video and (self._awaits_keyframe or gop.audio_only):
            # It refers to pictures of a source that is gone, or from before a long time without
            # video, which viewers that have come meanwhile do not have.
            return
        gop.add(packet)
        if self._former_headers:
            # Somebody may start here: with the headers known by now, and those that follow.
            self._former_headers.clear()
        totals = self.totals  # `StreamTotals.count`, spelled out: once per message
        totals.bytes_in += len(packet.payload)
        if packet.type_id == AUDIO:
            totals.audio_in += 1
        elif packet.type_id == VIDEO:
            totals.video_in += 1
        else:
            totals.data_in += 1
        self.recent.add(packet)
        for output in self._outputs.values():
            output.add(packet)

    def forget_metadata(self) -> None:
        """Give newcomers no onMetaData until there is a new one; others keep what they have."""
        self.headers.forget_metadata()
        self.header_version += 1

    def attach(
        self,
        viewer: Viewer,
        spec: OutputSpec,
        now: float,
        *,
        resume: bool = False,
        since: ResumePoint | None = None,
    ) -> None:
        """Let ``viewer`` take the stream, or take it in another way than before.

        With ``resume`` it goes on at the next keyframe instead of starting from the cache; a relay
        goes on at ``since`` where that is still here.
        """
        self._leave(viewer)
        if not self.viewers:
            self.on_first_viewer()
        output = self._outputs.get(spec)
        if output is None:
            output = self._outputs[spec] = Output(self, spec, self._flusher)
        self.viewers[viewer] = viewer.kind
        output.join(viewer, now, at_keyframe=resume, since=since)

    def suspend(self, viewer: Viewer) -> None:
        """Send nothing to ``viewer`` for now; it still counts as one."""
        self._leave(viewer)

    def detach(self, viewer: Viewer) -> None:
        """Forget ``viewer``."""
        self._leave(viewer)
        self.viewers.pop(viewer, None)

    def end(self, reason: str) -> None:
        """Tell all viewers that the stream is over, when they have all of it."""
        self._flusher.finish(self.outputs)
        for viewer in list(self.viewers):
            viewer.owner.viewer_ended(viewer, reason)

    def _push_header(self, packet: Packet) -> None:
        changed = self.headers.put(packet)
        players_have_it = self._is_former_header(packet)
        if changed:
            self._header_changed(packet, players_have_it)
        elif players_have_it:
            return  # and relays: it was not they that were told of a new source
        self.totals.count(packet)
        self.recent.add(packet)
        for output in self._outputs.values():
            # Relays have forgotten the headers of the source before: all come again.
            if not players_have_it or output.spec.relay:
                output.add(packet)

    def _leave(self, viewer: Viewer) -> None:
        if viewer.seat is not None:
            viewer.seat.leave(viewer)
            for spec in [spec for spec, output in self._outputs.items() if not output.viewers]:
                del self._outputs[spec]

    def _is_former_header(self, packet: Packet) -> bool:
        """Tell whether the source begins with a header that viewers have already."""
        former = self._former_headers.pop((packet.role, packet.track), None)
        return former == packet.payload

    def _header_changed(self, packet: Packet, players_have_it: bool) -> None:
        if not players_have_it:
            self.header_version += 1
            if packet.role in (Role.VIDEO_HEADER, Role.AUDIO_HEADER):
                self.gop.empty()  # what it holds needs the old header
                self.recent.headers_changed()


def _do_nothing() -> None:
    """Leave it at that: most streams have nobody who wants to know."""
