import asyncio
import socket

import pytest

from common.supervisor.channel import Channel
from common.supervisor.messages import ChannelError, Drain, Members, Stop


async def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return await Channel.open(one), await Channel.open(other)


async def test_messages_arrive_in_order() -> None:
    here, there = await pair()
    sent = [Members(slots=frozenset({0})), Drain(timeout_s=1.0), Stop()]
    for message in sent:
        here.send(message)
    assert [await there.receive() for _ in sent] == sent
    here.close()
    there.close()


async def test_the_end_of_the_other_process_is_noticed() -> None:
    here, there = await pair()
    here.send(Stop())
    await here.flush()
    here.close()
    assert await there.receive() == Stop()
    assert await there.receive() is None
    there.close()


async def test_a_message_to_a_process_that_has_gone_is_lost() -> None:
    here, there = await pair()
    there.close()
    assert await here.receive() is None
    here.send(Stop())
    await here.flush()
    here.close()
    here.send(Stop())


async def test_unread_bytes_at_the_other_end_do_not_hide_its_end() -> None:
    ours, theirs = socket.socketpair()
    channel = await Channel.open(ours)
    channel.send(Stop())
    await channel.flush()
    theirs.close()  # with a message unread: the kernel answers with a reset
    assert await channel.receive() is None
    channel.close()


async def test_nonsense_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = await Channel.open(ours)
        theirs.sendall(b"\xff" * 8)
        with pytest.raises(ChannelError):
            await channel.receive()
        channel.close()
        await asyncio.sleep(0)
