import re

import pytest

from common.cluster.keys import Keys
from common.ids import NodeId, StreamKey

KEYS = Keys("hw")


def tag_of(key: str) -> str:
    # As Redis Cluster does: from the first "{" to the next "}", if anything is between them.
    found = re.search(r"\{([^}]+)\}", key)
    assert found is not None, f"{key} has no hash tag"
    return found[1]


@pytest.mark.parametrize("name", ["live/a", "}{", "}", "a}b", "live/%7D", "{x}", "ä/日本"])
def test_the_keys_of_a_stream_share_a_slot(name: str) -> None:
    stream = StreamKey(name)
    assert tag_of(KEYS.route(stream)) == tag_of(KEYS.epoch(stream))


def test_the_keys_of_a_node_share_a_slot() -> None:
    node = NodeId("origin-1")
    assert tag_of(KEYS.node(node)) == tag_of(KEYS.load(node))


def test_different_streams_have_different_keys() -> None:
    names = ["a}b", "a%7Db", "a%257Db", "a%b", "a%25b"]
    assert len({KEYS.route(StreamKey(name)) for name in names}) == len(names)


def test_every_key_begins_with_the_prefix() -> None:
    keys = Keys("prod-1")
    stream, node = StreamKey("live/a"), NodeId("n")
    made = [keys.route(stream), keys.epoch(stream), keys.node(node), keys.load(node), keys.events]
    assert all(key.startswith("prod-1:") for key in made)
    assert keys.route(stream) == "prod-1:route:{live/a}"
