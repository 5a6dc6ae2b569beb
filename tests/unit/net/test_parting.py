"""How long a peer is waited for at the end, with a clock that stands still."""

import asyncio
from typing import cast

import pytest

from common.net import parting
from common.net.parting import LINGER_S, Parting
from tests.support.fanout import ManualLoop

BEHIND_S = 3.0


class Wire:
    """A transport of which the peer takes what the test says."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.did: list[str] = []

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.did.append("write_eof")

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def get_write_buffer_size(self) -> int:
        if self.unsent < 0:
            raise RuntimeError("the handle is closed")
        return self.unsent


class Scene:
    """A parting from a peer, and time that passes."""

    def __init__(self, unsent: int, *, peer_has_ended: bool = False) -> None:
        self.wire = Wire(unsent)
        self.loop = ManualLoop()
        transport = cast("asyncio.Transport", self.wire)
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.parting = Parting(transport, loop, behind_s=BEHIND_S)
        self.parting.begin(peer_has_ended=peer_has_ended)

    def linger(self, *, taken: int) -> None:
        """The peer takes something, and a linger is over."""
        self.wire.unsent -= taken
        self.loop.now += LINGER_S
        self.loop.turn()


def test_who_has_everything_is_given_one_linger_to_close() -> None:
    scene = Scene(unsent=0)
    assert scene.wire.did == ["write_eof"]
    scene.linger(taken=0)
    assert scene.wire.did == ["write_eof", "abort"]


@pytest.mark.parametrize(("ended", "first"), [(False, "write_eof"), (True, "close")])
def test_who_takes_nothing_is_cut_off_after_one_linger(ended: bool, first: str) -> None:
    scene = Scene(unsent=100_000, peer_has_ended=ended)
    scene.linger(taken=0)
    assert scene.wire.did == [first, "abort"]


@pytest.mark.parametrize("ended", [False, True])
def test_who_takes_it_slowly_is_waited_for_and_then_has_a_linger_more(ended: bool) -> None:
    scene = Scene(unsent=100_000, peer_has_ended=ended)
    scene.linger(taken=60_000)
    scene.linger(taken=40_000)
    assert len(scene.wire.did) == 1
    scene.linger(taken=0)
    assert scene.wire.did[1:] == ["abort"]


def test_nobody_is_waited_for_longer_than_one_may_be_behind() -> None:
    scene = Scene(unsent=100_000)
    for _ in range(round(BEHIND_S / LINGER_S)):
        scene.linger(taken=10)
        assert scene.wire.did == ["write_eof"]
    scene.linger(taken=10)
    assert scene.wire.did == ["write_eof", "abort"]


def test_who_has_gone_with_everything_is_not_waited_for() -> None:
    scene = Scene(unsent=0, peer_has_ended=True)
    assert scene.wire.did == ["close"]
    assert scene.loop.next_timer is None


def test_a_transport_that_was_closed_meanwhile_has_nothing_unsent() -> None:
    scene = Scene(unsent=5)
    scene.linger(taken=6)  # it raises from now on
    scene.linger(taken=0)
    assert scene.wire.did == ["write_eof", "abort"]


def test_what_a_peer_still_sends_is_dropped_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "MAX_LINGER_BYTES", 100)
    scene = Scene(unsent=0)
    scene.parting.drop(bytes(100))
    assert scene.wire.did == ["write_eof"]
    scene.parting.drop(b"1")
    assert scene.wire.did == ["write_eof", "abort"]
