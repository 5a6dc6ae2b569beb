"""A publisher in real time: each message of a looped clip is sent when its time has come."""

import os
import select
import socket
import time
from dataclasses import dataclass, field

from common.rtmp.client import ClientConnection, Mode
from common.rtmp.events import Closed, PublishStarted
from common.rtmp.limits import RtmpLimits
from common.rtmp.message import MessageType
from common.rtmp.targets import parse_rtmp_url
from tests.support.load_clip import Clip, stamp

_START_TIMEOUT_S = 10.0
_CHUNK_SIZE = 4096  # what OBS sends with


class PublishError(Exception):
    """The server refused the publish or ended the connection."""


@dataclass(slots=True)
class PublisherFigures:
    """What was sent, and how late compared with the clip's own clock."""

    messages: int = 0
    bytes: int = 0
    late_ms: list[float] = field(default_factory=list)


class Publisher:
    """Publishes ``clip`` to ``url``, over one blocking socket."""

    def __init__(self, url: str, clip: Clip) -> None:
        target = parse_rtmp_url(url)
        self.figures = PublisherFigures()
        self._clip = clip
        self._socket = socket.create_connection((target.host, target.port), _START_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._core = ClientConnection(
            RtmpLimits(),
            tc_url=target.tc_url,
            app=target.app,
            stream_name=target.stream_name,
            mode=Mode.PUBLISH,
            now=time.monotonic(),
            chunk_size=_CHUNK_SIZE,
            random_bytes=os.urandom,
        )
        self._started = False

    def start(self) -> None:
        """Return when the publish was accepted; raises PublishError."""
        self._core.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._started:
            self._flush()
            if time.monotonic() > deadline:
                raise PublishError("no answer")
            self._receive_until(min(deadline, time.monotonic() + 0.1))

    def run(self, seconds: float) -> None:
        """Publish for ``seconds``; raises PublishError when the server ends it."""
        for tag in self._clip.prelude:
            self._core.send_media(tag.type_id, 0, tag.payload)
        self._flush()
        began = time.monotonic()
        index = 0
        while True:
            tag = self._clip.message(index)
            if tag.timestamp > seconds * 1000:
                return
            due = began + tag.timestamp / 1000
            self._receive_until(due)
            late = time.monotonic() - due
            is_video = tag.type_id == MessageType.VIDEO
            payload = stamp(tag.payload) if is_video else tag.payload
            self._core.send_media(tag.type_id, tag.timestamp, payload)
            self._flush()
            self.figures.messages += 1
            self.figures.bytes += len(payload)
            self.figures.late_ms.append(late * 1000)
            index += 1

    def close(self) -> None:
        """Take leave and close."""
        self._core.finish(time.monotonic())
        self._flush()
        self._socket.close()

    def _receive_until(self, due: float) -> None:
        """Serve the connection until ``due``; at least look once whether something has come."""
        while True:
            left = due - time.monotonic()
            readable, _, _ = select.select([self._socket], [], [], max(left, 0))
            if not readable:
                return
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        now = time.monotonic()
        if data:
            self._core.receive_data(data, now)
        else:
            self._core.receive_eof(now)
        for event in self._core.events():
            if isinstance(event, PublishStarted):
                self._started = True
            elif isinstance(event, Closed):
                raise PublishError(f"{event.reason} {event.detail}".strip())
        self._flush()

    def _flush(self) -> None:
        if output := self._core.data_to_send():
            self._socket.sendall(output)
