"""An address that is gone: whoever connects to it gets no answer at all."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from common.local.redis_server import HOST


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield the address of a port whose queue is full: the kernel drops who wants to join it."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind((HOST, 0))
        sock.listen(0)
        address = sock.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield f"{HOST}:{address[1]}"
