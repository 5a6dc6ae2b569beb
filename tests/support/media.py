"""Looking into recorded streams, and comparing them with what was published."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from common.media.flv import classify
from common.media.flv_file import FlvTag, read_tags
from common.media.packet import Role
from common.rtmp.message import MessageType

AUDIO: Final = int(MessageType.AUDIO)
VIDEO: Final = int(MessageType.VIDEO)

CODED: Final = frozenset({Role.KEYFRAME, Role.FRAME, Role.AUDIO})


def role_of(tag: FlvTag) -> Role:
    """Return what a tag is; all data counts as metadata."""
    if tag.type_id in (AUDIO, VIDEO):
        return classify(tag.type_id, tag.payload).role
    return Role.METADATA


def read_flv(path: Path) -> list[FlvTag]:
    """Return all tags of a file."""
    return list(read_tags(path.read_bytes()))


def coded(tags: Iterable[FlvTag]) -> list[FlvTag]:
    """Return the coded audio and video."""
    return [tag for tag in tags if role_of(tag) in CODED]


def of_type(tags: Iterable[FlvTag], type_id: int) -> list[FlvTag]:
    """Return the tags of one type."""
    return [tag for tag in tags if tag.type_id == type_id]


def assert_is_end_of(source: list[FlvTag], recorded: list[FlvTag], *, frames: int = 25) -> None:
    """Assert that a recording is the source from some keyframe on.

    Nothing is missing, double or out of order, and one distance in time holds for all of both
    tracks: audio and video are in sync to the millisecond. ``frames`` must be there at least.
    """
    source, recorded = coded(source), coded(recorded)
    distances = set()
    for type_id in (VIDEO, AUDIO):
        theirs, ours = of_type(source, type_id), of_type(recorded, type_id)
        assert len(ours) >= min(frames, len(theirs)), f"type {type_id}: only {len(ours)} came"
        tail = theirs[-len(ours) :] if ours else []
        differ = [at for at, (a, b) in enumerate(zip(tail, ours, strict=True)) if a[2] != b[2]]
        assert not differ, f"type {type_id}: {len(ours)} of {len(theirs)}, other bytes at {differ}"
        distances |= {b.timestamp - a.timestamp for a, b in zip(tail, ours, strict=True)}
    assert len(distances) <= 1, f"tracks and frames moved by different times: {distances}"
    video = of_type(recorded, VIDEO)
    assert not video or role_of(video[0]) is Role.KEYFRAME


def assert_time_never_goes_back(tags: Iterable[FlvTag]) -> None:
    """Assert that no track goes back in time."""
    last: dict[int, int] = {}
    for at, tag in enumerate(coded(tags)):
        before = last.get(tag.type_id, 0)
        assert tag.timestamp >= before, f"tag {at} of type {tag.type_id} goes back from {before}"
        last[tag.type_id] = tag.timestamp
