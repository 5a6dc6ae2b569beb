"""The balancer of docker/haproxy.cfg, as a process beside the containers."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.image.build import ROOT
from tests.image.containers import ADDRESSES, EDGES

INGEST: Final = "127.0.0.1:1935"
PLAY: Final = "127.0.0.1:1936"
OF_ONE: Final = {name: f"127.0.0.1:{19360 + number}" for number, name in enumerate(EDGES)}
"""Besides: a port for each edge, so that a test knows where its viewers are."""


def config() -> str:
    """Return docker/haproxy.cfg with addresses in place of the names that only containers know."""
    text = (ROOT / "docker" / "haproxy.cfg").read_text()
    text = re.sub(r"^resolvers .*?\n\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = text.replace(" resolvers docker init-addr none", "")
    for name, address in ADDRESSES.items():
        text = text.replace(f" {name}:1935", f" {address}:1935")
    assert "resolvers" not in text
    for name, bind in OF_ONE.items():
        text += f"\nlisten only-{name}\n    bind {bind}\n"
        text += f"    server {name} {ADDRESSES[name]}:1935\n"
    return text


@asynccontextmanager
async def balancing(folder: Path) -> AsyncIterator[None]:
    """Run HAProxy for the length of the block."""
    file = folder / "haproxy.cfg"
    file.write_text(config())
    program = shutil.which("haproxy")
    assert program
    with (folder / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, "-db", "-f", str(file), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
