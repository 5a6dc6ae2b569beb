"""Which worker of this host pulls a stream: one pull per host, however many workers it has."""

from collections.abc import Iterable
from hashlib import blake2b

from common.ids import StreamKey


def owner_of(stream: StreamKey, slots: Iterable[int]) -> int:
    """Return the slot that pulls ``stream`` from its origin; the others relay from it.

    Rendezvous hashing: every worker finds the same answer without asking, and when a worker comes
    or goes only its own streams change hands. ``slots`` must not be empty.
    """
    return max(slots, key=lambda slot: (_weight(stream, slot), slot))


def _weight(stream: StreamKey, slot: int) -> bytes:
    return blake2b(f"{slot}/{stream}".encode(), digest_size=8).digest()
