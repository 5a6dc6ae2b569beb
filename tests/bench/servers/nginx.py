"""nginx with the RTMP module, as Debian packages them."""

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.local.redis_server import free_port

from ..cache import cache_folder
from ..proc import with_children
from .base import HOST, Running, Server, ServerError, process, until_listening

_PACKAGES: Final = ("nginx", "libnginx-mod-rtmp")
_POLL_S: Final = 0.02
_MODULE: Final = Path("lib/nginx/modules/ngx_rtmp_module.so")

# One worker, a write per message and player: what it does by default. Large limits, no HTTP, no log
# of its clients, and players that begin at a keyframe, as all do here.
_CONFIG: Final = """
load_module {module};
user root;
daemon off;
pid {folder}/nginx.pid;
lock_file {folder}/nginx.lock;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
rtmp {{
    access_log off;
    server {{
        listen {host}:{port};
        chunk_size 4096;
        application live {{
            live on;
            wait_key on;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    program: Path
    module: Path


class Nginx(Server):
    """nginx-rtmp with one worker."""

    def __init__(self) -> None:
        self.name = "nginx"

    def missing(self) -> str:
        """Look on the system and in the cache."""
        return "" if _find() else f"apt-get install {' '.join(_PACKAGES)}, or --fetch"

    def version(self) -> str:
        """Return the versions of nginx and, as Debian names it, the module."""
        found = _find()
        assert found is not None
        shown = subprocess.run([found.program, "-v"], capture_output=True, text=True, check=True)
        return f"{shown.stderr.strip().rpartition(' ')[2]} with {_module_version()}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Run it on a free port."""
        found = _find()
        if found is None:
            raise ServerError(self.missing())
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
            config = _write_config(found, folder, port)
            command = [str(found.program), "-e", "stderr", "-p", folder, "-c", str(config)]
            async with process(command) as (child, output):
                await until_listening(child, output, port)
                url = f"rtmp://{HOST}:{port}/live/bench"
                workers = await _workers(child.pid)
                yield Running(
                    publish_url=url, play_url=url, pids=tuple(workers), others=(child.pid,)
                )


def fetch_nginx() -> None:
    """Download the Debian packages into the cache. Raises `ServerError`."""
    folder = cache_folder("nginx")
    folder.mkdir(parents=True, exist_ok=True)
    for command in (["apt-get", "download", *_PACKAGES], ["dpkg", "-x"]):
        if shutil.which(command[0]) is None:
            raise ServerError(f"nginx can be fetched where {command[0]} is only")
    try:
        # Unlike installing, this needs no root and changes nothing outside the folder.
        _run(["apt-get", "download", *_PACKAGES], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder)], folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"nginx could not be fetched: {error}") from error


def _write_config(found: _Found, folder: str, port: int) -> Path:
    path = Path(folder, "nginx.conf")
    path.write_text(_CONFIG.format(module=found.module, folder=folder, host=HOST, port=port))
    return path


async def _workers(master: int) -> list[int]:
    """Return its workers: it listens before it forks them."""
    while not (workers := with_children(master)[1:]):  # noqa: ASYNC110 # only /proc tells
        await asyncio.sleep(_POLL_S)
    return workers


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)


def _find() -> _Found | None:
    cached = cache_folder("nginx") / "usr"
    for root in (cached, Path("/usr")):
        found = _Found(program=root / "sbin/nginx", module=root / _MODULE)
        if found.program.exists() and found.module.exists():
            return found
    return None


def _module_version() -> str:
    packages = [each.name for each in cache_folder("nginx").glob("libnginx-mod-rtmp*.deb")]
    if packages:
        return packages[0].removesuffix(".deb").replace("%3a", ":")
    query = ["dpkg-query", "-W", "-f", "${Package}_${Version}", "libnginx-mod-rtmp"]
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return re.sub(r"\s", "", shown) or "libnginx-mod-rtmp"
