"""What a cloud does for a Service of type LoadBalancer: it gets an address that leads to machines.

Here the world outside sends everything to the one machine that there is, as an L4 load balancer
does that leaves the client's address alone; kube-proxy does the rest.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.kubernetes.api import Api, Object
from tests.kubernetes.network import LOAD_BALANCERS


@asynccontextmanager
async def balancing(api: Api, services: str) -> AsyncIterator[None]:
    """Give addresses to the Services of a list for the length of the block."""
    given = 0

    async def go_on() -> None:
        nonlocal given
        async for _, service in api.watch(services):
            if service["spec"]["type"] == "LoadBalancer" and not _ingress(service):
                given += 1
                status = {"loadBalancer": {"ingress": [{"ip": f"{LOAD_BALANCERS}.{given}"}]}}
                path = f"{services}/{service['metadata']['name']}/status"
                assert await api.patch(path, {"status": status}) == 200

    task = asyncio.create_task(go_on())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task})


def address_of(service: Object) -> str:
    """Return address and port of a Service outside of the cluster."""
    return f"{_ingress(service)[0]['ip']}:{service['spec']['ports'][0]['port']}"


def _ingress(service: Object) -> list[Object]:
    return list(service["status"]["loadBalancer"].get("ingress", []))
