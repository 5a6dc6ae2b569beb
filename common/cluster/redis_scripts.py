"""The Lua scripts, and running them by their hash.

Each ``*.lua`` beside this file begins with what its KEYS, ARGV and return value mean.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import cast

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError

from common.cluster.redis_connect import AWAY, RedisClient, uvloop_errors

Argument = str | bytes | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The keys (all of one slot) and arguments of one run of a script."""

    keys: Sequence[str]
    arguments: Sequence[Argument]


class Script:
    """One script. Redis keeps it by hash and is sent the source only when it has lost it."""

    def __init__(self, file_name: str) -> None:
        source = resources.files("common.cluster").joinpath(file_name)
        self._source = source.read_text(encoding="utf-8")
        # Not for secrecy: EVALSHA names scripts by their SHA-1.
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: RedisClient, call: Call) -> object:
        """Run once. Raises what redis-py raises."""
        try:
            return cast("object", await client.execute_command(*self._by_hash(call)))
        except NoScriptError:
            return cast("object", await client.execute_command(*self._by_source(call)))

    async def run_many(self, client: RedisClient, calls: Sequence[Call]) -> list[object]:
        """Run once for each call, in one round trip; answers come in the order of ``calls``.

        An answer may be the error of its call.
        """
        answers = await pipeline(client, [self._by_hash(call) for call in calls])
        lost = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if lost:
            again = await pipeline(client, [self._by_source(calls[at]) for at in lost])
            for at, answer in zip(lost, again, strict=True):
                answers[at] = answer
        return answers

    def _by_hash(self, call: Call) -> list[Argument]:
        return ["EVALSHA", self._sha, len(call.keys), *call.keys, *call.arguments]

    def _by_source(self, call: Call) -> list[Argument]:
        return ["EVAL", self._source, len(call.keys), *call.keys, *call.arguments]


async def pipeline(client: RedisClient, commands: Sequence[Sequence[Argument]]) -> list[object]:
    """Run commands in one round trip; an answer may be the error of its command.

    In a cluster it is one round trip per node, at the same time, and what goes wrong with a node is
    the answer to its commands only.
    """
    if isinstance(client, RedisCluster):
        return await _by_node(client, commands)
    return await _batch(client, commands)


async def _by_node(client: RedisCluster, commands: Sequence[Sequence[Argument]]) -> list[object]:
    # redis-py would send one batch to all nodes, too, but raise for all when one of them is away.
    await client.initialize()
    places: dict[object, list[int]] = {}
    for at, command in enumerate(commands):
        places.setdefault(client.get_node_from_key(_key_of(command)), []).append(at)
    batches = [_batch(client, [commands[at] for at in ats]) for ats in places.values()]
    answers: list[object] = [None] * len(commands)
    for ats, batch in zip(places.values(), await _all(batches), strict=True):
        for place, at in enumerate(ats):
            answers[at] = batch if isinstance(batch, Exception) else batch[place]
    return answers


async def _all(
    batches: Sequence[Coroutine[None, None, list[object]]],
) -> list[list[object] | Exception]:
    done = await asyncio.gather(*batches, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException) and not isinstance(each, AWAY):
            raise each
    return cast("list[list[object] | Exception]", done)


def _key_of(command: Sequence[Argument]) -> str:
    key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    return cast("str", key)


async def _batch(client: RedisClient, commands: Sequence[Sequence[Argument]]) -> list[object]:
    batch = client.pipeline(transaction=False)
    for command in commands:
        batch.execute_command(*command)
    with uvloop_errors():
        return cast("list[object]", await batch.execute(raise_on_error=False))
