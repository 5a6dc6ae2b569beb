"""The end of a publish session that is wanted by the server, at the place where it costs least."""

from typing import Final

from common.errors import MediaError
from common.media.flv import classify
from common.media.packet import Role
from common.net.link import Link
from common.net.roles import Publishing
from common.rtmp.message import Message, MessageType

AUDIO_ONLY_MESSAGES: Final = 50
"""So many audio messages without video in between, about a second of AAC: there is no keyframe to
wait for."""


class LastGop:
    """Takes a publisher's place until its next keyframe, and closes the connection there.

    Viewers then have the whole last GOP, and the encoder begins the next one at another node. It
    stands in for the session itself, so that publishers who stay pay nothing for it.
    """

    def __init__(self, publishing: Publishing, link: Link, reason: str) -> None:
        self._publishing = publishing
        self._link = link
        self._reason = reason
        self._audio_in_a_row = 0

    @property
    def stands_by(self) -> bool:
        """Whether it waits for its stream."""
        return self._publishing.stands_by

    def media(self, messages: list[Message]) -> None:
        """Pass media on, unless it begins what is not to come here any more."""
        for message in messages:
            if self._ends_at(message):
                self._link.close(self._reason)
                return
            self._publishing.media([message])

    def _ends_at(self, message: Message) -> bool:
        if message.type_id == MessageType.AUDIO:
            self._audio_in_a_row += 1
        elif message.type_id == MessageType.VIDEO:
            self._audio_in_a_row = 0
        return self._audio_in_a_row > AUDIO_ONLY_MESSAGES or _is_keyframe(message)

    def stop(self, reason: str) -> None:
        """End the session."""
        self._publishing.stop(reason)


def _is_keyframe(message: Message) -> bool:
    if message.type_id != MessageType.VIDEO:
        return False
    try:
        return classify(message.type_id, message.payload).role is Role.KEYFRAME
    except MediaError:
        return False  # the session drops and counts it
