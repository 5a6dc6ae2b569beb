"""What raw.c does, in Python, for machines without a C compiler: ``raw_loop.py SCHEDULE``.

A script of its own that imports nothing of ours, so that it is as bare as it can be.
"""

import signal
import socket
import sys
import time
from pathlib import Path


class _Ended(Exception):
    """SIGTERM has come."""


def _end(number: int, frame: object) -> None:
    raise _Ended


def main() -> None:
    """Send blocks of given sizes at given times to everybody who has connected."""
    period, *lines = Path(sys.argv[1]).read_text().splitlines()
    schedule = [(int(due) / 1e6, bytes(int(size))) for due, size in map(str.split, lines)]
    signal.signal(signal.SIGTERM, _end)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    clients: list[socket.socket] = []
    start = time.monotonic()
    writes = lost = 0
    try:
        while True:
            for due, block in schedule:
                time.sleep(max(start + due - time.monotonic(), 0))
                for client in clients:
                    try:
                        lost += len(block) - client.send(block)
                    except OSError:
                        lost += len(block)
                writes += len(clients)
                _accept_all(listener, clients)
            start += int(period) / 1e6
    except _Ended:
        print(writes, lost)


def _accept_all(listener: socket.socket, clients: list[socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(client)


if __name__ == "__main__":
    main()
