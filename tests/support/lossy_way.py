"""A way that loses packets, by the kernel: a router in a network namespace of its own.

    whoever connects ──▶ veth ══▶ router at ``far``: drops some, turns the others round
      listens at ``near`` ◀══ veth ◀══╛

What connects to a port of ``far`` comes to the same port of ``near``, an address of this machine,
across the router both ways. TCP sees real loss there and does what it does about it.

The namespace lives as long as a process that ends with our end of its standard input: whatever
becomes of us, the kernel takes the namespace down, and the veth pair and the rules with it.
"""

import asyncio
import ipaddress
import os
import re
from contextlib import AsyncExitStack
from typing import Final

from common.local.staged import Staged

_NETWORKS: Final = ipaddress.ip_network("198.18.0.0/15")  # for measuring networks [RFC 2544]
_PREFIX: Final = 30

_HOLD: Final = "echo; exec cat"  # a line when the namespace is there; then until our end closes

# Every packet that leaves by the way it came would bring its sender a redirect.
_ROUTER: Final = """
ip addr add {far}/{prefix} dev {veth}
ip link set {veth} up
echo 1 > /proc/sys/net/ipv4/ip_forward
for each in /proc/sys/net/ipv4/conf/*/send_redirects; do echo 0 > "$each"; done
iptables -w -t nat -A PREROUTING -p tcp -j DNAT --to-destination {near}
iptables -w -t nat -A POSTROUTING -p tcp -j MASQUERADE
"""

_LOSE: Final = "iptables -w -A FORWARD -m statistic --mode random --probability {share} -j DROP"
_COUNT_AND_HEAL: Final = "iptables -w -nvxL FORWARD; iptables -w -F FORWARD"
_DROPPED: Final = re.compile(r"^\s*(\d+)\s+\d+\s+DROP\b", re.MULTILINE)


class CannotBeHad(Exception):
    """This machine has not got, or does not allow, what is needed; says what."""


class LossyWay(Staged):
    """The router, for the length of an ``async with`` block; loses nothing until told to.

    Entering raises `CannotBeHad` without root, iptables or what they need of the kernel. One at a
    time in a process.
    """

    def __init__(self) -> None:
        super().__init__()
        number = os.getpid() % 2 ** (_PREFIX - _NETWORKS.prefixlen)
        network = int(_NETWORKS.network_address) + number * 2 ** (32 - _PREFIX)
        self.near = str(ipaddress.ip_address(network + 1))
        self.far = str(ipaddress.ip_address(network + 2))
        self._veth = f"hwlab{os.getpid()}"  # 15 characters at most
        self._holder: asyncio.subprocess.Process | None = None

    async def _start(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._end)
        await self._hold()
        await self._build()

    async def lose(self, share: float) -> None:
        """Lose this share of the packets, of either direction."""
        await self._in_router(_LOSE.format(share=share))

    async def heal(self) -> int:
        """Lose nothing more; return how many packets were lost."""
        told = await self._in_router(_COUNT_AND_HEAL)
        return sum(map(int, _DROPPED.findall(told)))

    async def _hold(self) -> None:
        self._holder = await _spawn("unshare", "--net", "sh", "-c", _HOLD)
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if not await self._holder.stdout.readline():
            said = await self._holder.stderr.read()
            raise CannotBeHad(f"no network namespace: {said.decode().strip()}")

    async def _build(self) -> None:
        assert self._holder is not None
        ours, theirs = f"{self._veth}a", f"{self._veth}b"
        peer = ("peer", "name", theirs, "netns", str(self._holder.pid))
        await _run("ip", "link", "add", ours, "type", "veth", *peer)
        await _run("ip", "addr", "add", f"{self.near}/{_PREFIX}", "dev", ours)
        await _run("ip", "link", "set", ours, "up")
        addresses = {"near": self.near, "far": self.far, "prefix": _PREFIX}
        await self._in_router(_ROUTER.format(veth=theirs, **addresses))

    async def _in_router(self, script: str) -> str:
        assert self._holder is not None
        inside = ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net")
        return await _run(*inside, "sh", "-ec", script)

    async def _end(self) -> None:
        if self._holder is None:
            return
        # The kernel would do it, too, but some time later; the next one shall find its place free.
        deleting = await _spawn("ip", "link", "del", f"{self._veth}a")
        await deleting.communicate()
        if self._holder.returncode is None:
            self._holder.kill()
        await self._holder.communicate()
        self._holder = None


async def _run(*command: str) -> str:
    process = await _spawn(*command)
    said, complained = await process.communicate()
    if process.returncode:
        raise CannotBeHad(f"{command[0]}: {complained.decode().strip()}")
    return said.decode()


async def _spawn(*command: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise CannotBeHad(f"{command[0]}: {error.strerror}") from error
