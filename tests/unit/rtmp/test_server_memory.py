import gc
import tracemalloc

from tests.support.wire import WireClient, command, message

CONNECTIONS = 300
BYTES_PER_PLAYER = 1600  # measured: 1,394 on CPython 3.11


def test_a_playing_connection_is_small() -> None:
    # A node holds one of these for each of its viewers, nearly all of them idle.
    def player() -> object:
        client = WireClient().play()
        client.send(message(4, b"\x00\x03\0\0\0\1\0\0\x0b\xb8", csid=2))
        client.send(command("getStreamLength", 3, None, "name", csid=8))
        return client.server

    player()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        players = [player() for _ in range(CONNECTIONS)]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / len(players) < BYTES_PER_PLAYER
