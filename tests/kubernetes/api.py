"""The Kubernetes API, as far as tests ask it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from tests.kubernetes.control_plane import URL

Object = dict[str, Any]
_LONG_LINE: Final = 4 * 1024 * 1024


class Api:
    """A client of the API server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, **query: str) -> Object:
        """Return an object, or a list of them."""
        async with self._session.get(f"{URL}{path}", params=query) as answer:
            answer.raise_for_status()
            got: Object = await answer.json()
            return got

    async def items(self, path: str, **query: str) -> list[Object]:
        """Return the objects of a list."""
        return list((await self.get(path, **query))["items"])

    async def text(self, path: str) -> str:
        """Return what is no object, such as a log."""
        async with self._session.get(f"{URL}{path}") as answer:
            answer.raise_for_status()
            return await answer.text()

    async def post(self, path: str, body: Object) -> int:
        """Send an object; return the status."""
        async with self._session.post(f"{URL}{path}", json=body) as answer:
            return answer.status

    async def patch(self, path: str, change: Object) -> int:
        """Change parts of an object; return the status."""
        kind = {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(f"{URL}{path}", json=change, headers=kind) as answer:
            return answer.status

    async def delete(self, path: str) -> int:
        """Delete an object; return the status."""
        async with self._session.delete(f"{URL}{path}") as answer:
            return answer.status

    async def make_namespace(self, name: str) -> None:
        """Make a namespace under the restricted Pod Security Standard, unless it is there."""
        modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        status = await self.post(
            "/api/v1/namespaces", {"metadata": {"name": name, "labels": modes}}
        )
        assert status in (201, 409), status

    async def try_out(self, path: str, body: Object) -> tuple[int, list[str]]:
        """Have the server check an object that is not made; return the status and what it says."""
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        async with self._session.post(f"{URL}{path}", params=query, json=body) as answer:
            told = answer.headers.getall("Warning", [])
            if answer.status >= 400:
                told.append((await answer.json())["message"])
            return answer.status, told

    async def paths_of_kinds(self, namespace: str) -> dict[tuple[str, str], str]:
        """Return the path of each kind of objects in a namespace, by version and kind."""
        groups = [each["preferredVersion"] for each in (await self.get("/apis"))["groups"]]
        roots = {"v1": "/api/v1"}
        roots |= {each["groupVersion"]: f"/apis/{each['groupVersion']}" for each in groups}
        return {
            (version, resource["kind"]): f"{root}/namespaces/{namespace}/{resource['name']}"
            for version, root in roots.items()
            for resource in (await self.get(root))["resources"]
            if resource["namespaced"] and {"create", "list"} <= set(resource["verbs"])
        }

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield what happens to the objects of a list, from those that are there on."""
        unlimited = aiohttp.ClientTimeout(total=None)
        async with self._session.get(f"{URL}{path}?watch=1", timeout=unlimited) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                yield event["type"], event["object"]


@asynccontextmanager
async def connected(token: str) -> AsyncIterator[Api]:
    """Yield a client for the length of the block."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=False),  # the server signs its certificate itself
        read_bufsize=_LONG_LINE,
    ) as session:
        yield Api(session)
    # TLS connections end some rounds of the loop later, and nothing tells when [aiohttp, "Graceful
    # shutdown"].
    await asyncio.sleep(0.25)
