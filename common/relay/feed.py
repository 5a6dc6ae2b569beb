"""What a pull does with what its relays bring: one stream, from whatever sources, by whatever ways.

Our own nodes name the publish session that they serve. Viewers go on exactly in the session that
they see, by whatever way it comes now: from its origin, from a sibling worker, from another edge.
Other servers name nothing: there the epoch of the route tells the session, if there is a route.
"""

from common.logs import get_log
from common.media.recent import ResumePoint
from common.media.relay_timeline import RelayTimeline
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import DATA_AMF0, Message
from common.stream.ingest import StreamFeed
from common.stream.live import LiveStream
from common.stream.source import StreamSource, is_source, new_source, parse_source

_log = get_log("relay.feed")


class RelayFeed:
    """Feeds one stream from one relay after the other."""

    def __init__(self, live: LiveStream, limits: RtmpLimits) -> None:
        self._live = live
        self._limits = limits
        self._timeline = RelayTimeline()
        self._feed = StreamFeed(live, self._timeline, limits, self._take_source)
        self._epoch: int | None = None  # of the route in use
        self._fed_epoch: int | None = None  # of the last source that did not name itself
        self._begun = False  # whether this relay has brought anything
        self._log = _log.bind(stream=live.key)

    @property
    def point(self) -> ResumePoint | None:
        """Up to where viewers have the publish session, if its source has named it."""
        return self._timeline.point

    def begin_relay(self, epoch: int | None) -> None:
        """Prepare for another relay; ``epoch`` is that of its route, if it has one."""
        self._epoch = epoch
        self._begun = False

    def epoch_changed(self, epoch: int) -> None:
        """Take note that the publisher at the relay's other end is another, and the relay stays."""
        self._epoch = epoch
        if self._begun and self._fed_epoch is not None:
            self._fed_epoch = epoch

    def take(self, messages: list[Message]) -> None:
        """Take the relay's next messages."""
        if not self._begun and self._is_unnamed(messages):
            self._begin_unnamed()
        self._feed.take(messages)

    def _is_unnamed(self, messages: list[Message]) -> bool:
        """Tell whether something of the stream comes before a source that makes sense."""
        for message in messages:
            if message.type_id != DATA_AMF0 or not is_source(message.payload):
                return True
            if parse_source(message.payload, self._limits) is not None:
                return False
        return False

    def _take_source(self, message: Message) -> bool:
        """Go on with the source that ``message`` names, if it is such a message."""
        if not is_source(message.payload):
            return False
        source = parse_source(message.payload, self._limits)
        if source is None:
            self._log.limited("bad_source").warning("a relay names no source that makes sense")
            return True
        # A peer may say it as often as it likes; that must not fill the log.
        log = self._log.limited("source_changed") if self._begun else self._log
        self._begun = True
        self._fed_epoch = None
        start = self._timeline.begin_source(source.session, source.offset_ms, message.timestamp)
        if start is None:
            self._live.resume_session()
        else:
            own = StreamSource(session=source.session, offset_ms=self._timeline.offset)
            self._live.begin_session(own, start)
        log.info("source", session=source.session, goes_on=start is None)
        return True

    def _begin_unnamed(self) -> None:
        self._begun = True
        epoch = self._epoch
        # The same epoch is the same publish session with the same clock.
        continues = epoch is not None and epoch == self._fed_epoch
        self._fed_epoch = epoch
        if continues:
            self._live.resume_session()
        else:
            # For our own relays the session begins here.
            self._live.begin_session(new_source(), self._timeline.next_start)
        self._timeline.begin_session(continues=continues)
        self._log.info("source without a name", epoch=epoch, goes_on=continues)
