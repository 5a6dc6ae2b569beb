"""Names of the streams of a bench, and addresses that players come from."""

import ipaddress
from typing import Any, Final

SOURCES: Final = 8
"""Loopback addresses that players come from: each has 28,000 ports of its own towards a server."""


def stream_url(url: str, number: int) -> str:
    """Return the URL of a stream; the first is ``url`` itself."""
    return f"{url}-{number}" if number else url


def loopback_source(address: Any, number: int) -> str:
    """Return the address that player ``number`` connects from; "" where the system must choose."""
    host = address[4][0]
    if not host or ":" in host or not ipaddress.ip_address(host).is_loopback:
        return ""
    return f"127.0.0.{2 + number % SOURCES}"
