"""Node-Media-Server, from npm."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from common.local.redis_server import free_port

from ..cache import cache_folder
from .base import HOST, Running, Server, ServerError, process, until_listening

VERSION: Final = "4.4.3"
_PACKAGE: Final = f"node-media-server@{VERSION}"


class NodeMediaServer(Server):
    """Node-Media-Server with its defaults, RTMP alone."""

    def __init__(self) -> None:
        self.name = "node-media-server"

    def missing(self) -> str:
        """Look for node and in the cache."""
        if shutil.which("node") is None:
            return "install Node.js, then --fetch"
        return "" if _app().exists() else f"--fetch (npm install {_PACKAGE} into the cache)"

    def version(self) -> str:
        """Return its version and that of node."""
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        return f"node-media-server {VERSION}, node {node.stdout.strip()}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Run it on a free port."""
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
            config = _write_config(Path(folder), port)
            async with process(["node", str(_app()), "-c", str(config)]) as (child, output):
                await until_listening(child, output, port)
                url = f"rtmp://{HOST}:{port}/live/bench"
                yield Running(publish_url=url, play_url=url, pids=(child.pid,))


def fetch_nms() -> None:
    """Install the package into the cache. Raises `ServerError`."""
    folder = cache_folder("nms")
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        raise ServerError("node-media-server can be fetched where npm is only")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), _PACKAGE]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"node-media-server could not be fetched: {error}") from error


def _write_config(folder: Path, port: int) -> Path:
    settings = {
        "bind": HOST,
        "rtmp": {"port": port},
        "store": {"path": str(folder)},
        "auth": {"play": False, "publish": False, "secret": "unused"},
        "webadmin": {"enable": False},
        "record": {"auto": False},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(settings))
    return path


def _app() -> Path:
    return cache_folder("nms") / "node_modules/node-media-server/bin/app.js"
