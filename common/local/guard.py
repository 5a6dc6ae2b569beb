"""What must not outlive us when we are killed without a chance to clean up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

# Reads until our end of its standard input is closed, which the kernel does whatever kills us.
_SCRIPT = 'read -r _; kill $1 2>/dev/null; shift; rm -rf -- "$@"'


@asynccontextmanager
async def guard(*, pids: Sequence[int] = (), folders: Sequence[Path] = ()) -> AsyncIterator[None]:
    """While the block runs, have processes ended and folders removed if we die in it.

    For what cannot notice our end by itself, such as a Redis server. When the block is left in any
    other way the guard goes away and touches nothing.
    """
    arguments = [" ".join(map(str, pids)), *map(str, folders)]
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        _SCRIPT,
        "headwater-guard",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,  # what kills our process group must not kill the guard with it
    )
    try:
        yield
    finally:
        process.kill()  # before its input is closed, so that it does nothing
        await process.wait()
