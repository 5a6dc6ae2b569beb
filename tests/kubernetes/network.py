"""Two networks: that of the machine, and the world outside, where all clients are."""

from pathlib import Path
from typing import Final

from tests.kubernetes.tools import run

NODE_ADDRESS: Final = "10.200.0.1"
CLIENT_ADDRESS: Final = "10.200.0.2"
PODS: Final = "10.244.0.0/24"
SERVICES: Final = "10.96.0.0/16,fd00:10:96::/112"
LOAD_BALANCERS: Final = "203.0.113"
_OUTSIDE: Final = "outside"
OUTSIDE: Final = ("nsenter", f"--net=/run/netns/{_OUTSIDE}")
"""What a command is to be behind, in order to be run outside of the machine."""
ON_THE_MACHINE: Final = ("nsenter", "--target=1", "--net")
"""And to be run on the machine again, whose first process is the rig's."""


def furnish() -> None:
    """Connect the machine with the world: whatever has no other way goes to the other side."""
    run("ip", "netns", "add", _OUTSIDE)
    there = ("netns", _OUTSIDE)
    run("ip", "link", "add", "world", "type", "veth", "peer", "name", "machine", *there)
    run("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "world")
    run("ip", "link", "set", "world", "up")
    run("ip", "route", "add", "default", "via", CLIENT_ADDRESS)
    outside = ("ip", "-netns", _OUTSIDE)
    run(*outside, "address", "add", f"{CLIENT_ADDRESS}/24", "dev", "machine")
    run(*outside, "link", "set", "lo", "up")
    run(*outside, "link", "set", "machine", "up")
    run(*outside, "route", "add", "default", "via", NODE_ADDRESS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
