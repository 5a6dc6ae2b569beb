"""Who of several pulls a stream for all: of the workers of a host, of the edges of a zone."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

from common.ids import StreamKey

_Who = TypeVar("_Who", bound=int | str)


def owner_of(stream: StreamKey, members: Iterable[_Who]) -> _Who:
    """Return which of ``members`` (slots of workers, ids of nodes) pulls ``stream`` for all.

    Rendezvous hashing: everybody finds the same answer without asking, and when a member comes
    or goes only its own streams change hands. ``members`` must not be empty.
    """
    return max(members, key=lambda who: (_weight(stream, who), str(who)))


def _weight(stream: StreamKey, who: int | str) -> bytes:
    return blake2b(f"{who}/{stream}".encode(), digest_size=8).digest()
