"""What a node does, added up from what its workers tell."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from common.cluster.records import StreamLoad
from common.ids import StreamKey
from common.supervisor.worker_process import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The figures of all workers together."""

    viewers: int = 0
    publishers: int = 0
    egress_bps: int = 0
    cpu_share: float = 0.0  # the busiest worker's
    streams: Mapping[StreamKey, StreamLoad]


def add_up(figures: Sequence[Figures]) -> Load:
    """Return the load of the workers that told ``figures``."""
    return Load(
        viewers=sum(each.status.viewers for each in figures),
        publishers=sum(each.status.publishers for each in figures),
        egress_bps=sum(each.vitals.egress_bps for each in figures),
        cpu_share=max((each.vitals.cpu_share for each in figures), default=0.0),
        streams=_add_streams(figures),
    )


def by_slot(addresses: Mapping[int, str], ready: Collection[int]) -> tuple[str, ...]:
    """Return the addresses of those workers that are ``ready`` in the order of their slots.

    "" stands for others; empty where nobody has one.
    """
    there = {slot: addresses[slot] for slot in ready if addresses.get(slot)}
    return tuple(there.get(slot, "") for slot in range(max(there, default=-1) + 1))


def _add_streams(figures: Sequence[Figures]) -> dict[StreamKey, StreamLoad]:
    """Return what the workers do for each stream, together.

    Viewers add up. The bitrate does not: the workers of an edge that have viewers of a stream all
    have the same stream coming in.
    """
    added: dict[StreamKey, StreamLoad] = {}
    for each in figures:
        for stream, load in each.status.streams.items():
            other = added.get(stream)
            added[stream] = load if other is None else _together(other, load)
    return added


def _together(one: StreamLoad, other: StreamLoad) -> StreamLoad:
    return StreamLoad(
        viewers=one.viewers + other.viewers,
        bitrate_bps=max(one.bitrate_bps, other.bitrate_bps),
        codecs=one.codecs or other.codecs,
        standbys=one.standbys + other.standbys,
    )
