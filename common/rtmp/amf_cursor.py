"""The place in a message that is being decoded, and what decoding it may still cost.

AMF0 and AMF3 share one cursor, since AMF3 values stand inside AMF0. Both can point back at an
earlier value, so that a few bytes stand for a large tree: such a value is charged again, in
full, each time it is referred to. What comes out is never larger than the limits allow, even for
a caller that walks it as a tree or encodes it again.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from common.errors import AmfError
from common.rtmp.limits import RtmpLimits

_U16 = Struct(">H")
_U32 = Struct(">I")
_DOUBLE = Struct(">d")

_UNFINISHED: Final = -1


@dataclass(slots=True)
class Shared:
    """A value that later ones may refer to, with what it costs. ``height``: levels inside it."""

    value: Any
    nodes: int
    text_bytes: int
    height: int
    outer_peak: int = 0


class AmfCursor:
    """Reads forward through ``data`` and counts values, levels and text. Raises AmfError only.

    ``text_bytes`` is the text counted so far.
    """

    __slots__ = ("_limits", "_nodes", "_peak", "data", "depth", "end", "pos", "text_bytes")

    def __init__(self, data: bytes, limits: RtmpLimits) -> None:
        self.data = data
        self.pos = 0
        self.end = len(data)
        self.depth = 0
        self._peak = 0  # the deepest level seen inside the innermost open value
        self._nodes = 0
        self.text_bytes = 0
        self._limits = limits

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        after = self.pos + size
        if after > self.end:
            raise AmfError("amf_truncated", f"{size} B wanted, {self.end - self.pos} B left")
        piece = self.data[self.pos : after]
        self.pos = after
        return piece

    def u8(self) -> int:
        """Return the next byte as a number."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Return the next two bytes as a number."""
        value: int = _U16.unpack(self.take(2))[0]
        return value

    def u32(self) -> int:
        """Return the next four bytes as a number."""
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def double(self) -> float:
        """Return the next eight bytes as a number."""
        value: float = _DOUBLE.unpack(self.take(8))[0]
        return value

    def blob(self, size: int) -> bytes:
        """Return ``size`` bytes of text or of a byte array, counted against the limits."""
        if size > self._limits.max_amf_string_bytes:
            raise AmfError("amf_string_too_long", f"{size} B")
        piece = self.take(size)
        self.count_text(size)
        return piece

    def text(self, size: int) -> str:
        """Return ``size`` bytes as text; what is not UTF-8 becomes lone surrogates."""
        return self.blob(size).decode("utf-8", "surrogateescape")

    def count_nodes(self, count: int) -> None:
        """Count ``count`` values, before they are read."""
        self._nodes += count
        if self._nodes > self._limits.max_amf_nodes:
            raise AmfError("amf_too_many_values", f"more than {self._limits.max_amf_nodes}")

    def count_text(self, size: int) -> None:
        """Count ``size`` bytes of text; all of it together must fit in one command."""
        self.text_bytes += size
        if self.text_bytes > self._limits.max_command_bytes:
            raise AmfError("amf_too_much_text", f"more than {self._limits.max_command_bytes} B")

    def begin(self) -> Shared:
        """Go down one level, into a value that holds others."""
        self.depth += 1
        self._check_depth(self.depth)
        shared = Shared(None, self._nodes, self.text_bytes, _UNFINISHED, self._peak)
        self._peak = self.depth
        return shared

    def finish(self, shared: Shared, value: Any) -> Any:
        """Come back up from a value, which may be referred to from now on; return it."""
        shared.value = value
        shared.nodes = self._nodes - shared.nodes
        shared.text_bytes = self.text_bytes - shared.text_bytes
        shared.height = self._peak - self.depth + 1
        self._peak = max(self._peak, shared.outer_peak)
        self.depth -= 1
        return value

    def repeat(self, table: list[Shared], index: int) -> Any:
        """Return a value that was read before, and charge it as if it stood here in full.

        One that is not finished yet would contain itself: refused, as nothing in RTMP needs it.
        """
        if index >= len(table):
            raise AmfError("amf_bad_reference", f"number {index} of {len(table)}")
        shared = table[index]
        if shared.height == _UNFINISHED:
            raise AmfError("amf_cyclic", "a value that contains itself")
        self.count_nodes(shared.nodes)
        self.count_text(shared.text_bytes)
        self._check_depth(self.depth + shared.height)
        self._peak = max(self._peak, self.depth + shared.height)
        return shared.value

    def _check_depth(self, depth: int) -> None:
        if depth > self._limits.max_amf_depth:
            raise AmfError("amf_too_deep", f"more than {self._limits.max_amf_depth} levels")
