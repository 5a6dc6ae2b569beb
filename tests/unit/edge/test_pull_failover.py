"""A pull whose origin is frozen, or gone with its address, while another takes the stream over."""

import asyncio

import pytest

from tests.support.edge_worker import Edge, ends_with
from tests.support.wait import until

AS_LONG_AS_HOLD = {"relay": {"silence_s": 0.3, "first_byte_timeout_s": 0.3}}  # as by default


@pytest.mark.parametrize("sections", [AS_LONG_AS_HOLD])
async def test_who_joins_at_a_frozen_origin_is_held_until_a_standby_has_taken_over(
    edge: Edge,
) -> None:
    frozen, standby = await edge.source(), await edge.source()
    standby.send("b", 5)
    (await edge.way_to(frozen)).freeze()
    await edge.claim(frozen)
    watching = asyncio.ensure_future(edge.watch())
    await edge.suspicion()
    await edge.claim(standby)
    await until(ends_with(await watching, "b-4"))
