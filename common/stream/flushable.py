"""What a round works with: outputs that have blocks, when they are flushed, and the totals."""

from dataclasses import dataclass
from typing import Protocol

from common.stream.blocks import Block
from common.stream.viewer import Audience


@dataclass(slots=True)
class FanoutTotals:
    """What a worker has written since its start, as plain integers."""

    bytes_out: int = 0
    audio_out: int = 0
    video_out: int = 0
    data_out: int = 0
    skipped_gops: int = 0

    def count(self, block: Block, viewers: int) -> None:
        """Take note that ``viewers`` were written ``block``."""
        self.bytes_out += len(block.data) * viewers
        self.audio_out += block.audio * viewers
        self.video_out += block.video * viewers
        self.data_out += block.other * viewers


class FlushTimes:
    """When an output was flushed, and when it will be. They are the flusher's to set."""

    __slots__ = ("flushed_at", "held_until", "ripe_at")

    def __init__(self) -> None:
        self.flushed_at = 0.0
        """When its last round began; 0 before the first."""
        self.ripe_at = 0.0
        """From when on its next message has it flushed; 0 unless it is held."""
        self.held_until = 0.0
        """When it is flushed without one."""


class Flushable(Protocol):
    """Something with blocks to write: an output."""

    times: FlushTimes

    @property
    def viewers(self) -> int:
        """How many viewers take it."""
        ...

    def begin_flush(self, now: float) -> tuple[bytes, Audience]:
        """Take what is pending; return the block and the viewers to write it to."""
        ...
