"""A release of the chart from `helm install` to `helm uninstall`, in this order.

Run by tests/kubernetes/run.py beside a cluster of its own.
"""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from tests.image.build import IMAGE
from tests.kubernetes.api import Api, connected
from tests.kubernetes.helm import NAMESPACE, RELEASE, Helm
from tests.kubernetes.images import NEXT_IMAGE
from tests.kubernetes.load_balancer import address_of, balancing
from tests.kubernetes.network import CLIENT_ADDRESS
from tests.kubernetes.node import NAME, ZONE
from tests.kubernetes.pods import PATH, Pods, watched
from tests.kubernetes.rollout import ROLES, RollOut
from tests.kubernetes.say import say, told_time
from tests.kubernetes.scene import PICTURE, Services, picture_played, played
from tests.kubernetes.viewers import viewing
from tests.support.encoder import encoding, picture_published
from tests.support.wait import until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "HEADWATER_CLUSTER_TOKEN" not in os.environ, reason="run by `make cluster-test`"
    ),
]
_SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with connected(os.environ["HEADWATER_CLUSTER_TOKEN"]) as api:
        yield api


@pytest.fixture
async def pods(api: Api) -> AsyncIterator[Pods]:
    async with watched(api) as pods:
        yield pods


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(os.environ["KUBECONFIG"], tmp_path)


async def test_install_brings_all_pods_to_ready_under_the_restricted_policy(
    api: Api, helm: Helm
) -> None:
    await api.make_namespace(NAMESPACE)
    await until(lambda: is_node_ready(api), 120)
    with told_time("helm install"):
        async with balancing(api, _SERVICES):
            await helm.install()
    async with watched(api) as pods:
        for role, count in (("origin", 2), ("edge", 2), ("valkey", 1)):
            there = await pods.until_only(role, count)
            assert [pod.restarts for pod in there] == [0] * count
            say(f"{role}: {', '.join(pod.name for pod in there)}")


async def is_node_ready(api: Api) -> bool:
    conditions = (await api.get(f"/api/v1/nodes/{NAME}"))["status"].get("conditions", [])
    return ("Ready", "True") in [(each["type"], each["status"]) for each in conditions]


async def test_the_test_of_the_chart_passes(helm: Helm) -> None:
    told = await helm.test()
    assert "Phase:          Succeeded" in told, told


async def test_nodes_know_their_zone(pods: Pods) -> None:
    async with aiohttp.ClientSession() as http:
        for pod in [*pods.of("origin"), *pods.of("edge")]:
            async with http.get(f"http://{pod.address}:8080/metrics") as answer:
                assert f'zone="{ZONE}"' in await answer.text(), pod.name


async def test_a_picture_published_to_the_service_plays_from_every_edge(
    api: Api, pods: Pods
) -> None:
    services = await find_services(api)
    async with picture_published(f"rtmp://{services.ingest}/{PICTURE}"):
        for address in [*(f"{pod.address}:1935" for pod in pods.of("edge")), services.play]:
            async with picture_played(address) as player:
                await until(lambda player=player: player.frames > 60)
                assert player.errors == 0, player.explain()
    logs = [await api.text(f"{PATH}/{pod.name}/log") for pod in pods.of("origin")]
    assert any(CLIENT_ADDRESS in log for log in logs)  # which the way through the Service keeps


async def test_nodes_log_json_without_errors(api: Api, pods: Pods) -> None:
    for role in ROLES:
        for pod in pods.of(role):
            for line in (await api.text(f"{PATH}/{pod.name}/log")).splitlines():
                assert json.loads(line)["level"] not in ("error", "critical"), line


async def test_a_second_edge_may_not_be_evicted_while_the_first_one_leaves(
    api: Api, pods: Pods
) -> None:
    first, second = await pods.until_only("edge", 2)
    assert await evict(api, first.name) == 201
    assert await evict(api, second.name) == 429  # Too Many Requests: the disruption budget
    await until(lambda: first.gone_at is not None, 60)
    assert first.exit_codes == [0]
    await pods.until_only("edge", 2)


async def evict(api: Api, name: str) -> int:
    metadata = {"name": name, "namespace": NAMESPACE}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    return await api.post(f"{PATH}/{name}/eviction", body)


async def test_nobody_is_harmed_when_the_table_comes_back_empty_at_another_address(
    api: Api, pods: Pods
) -> None:
    services = await find_services(api)
    (former,) = await pods.until_only("valkey", 1)
    async with played(pods, services) as scene:
        assert await api.delete(f"{PATH}/{former.name}") == 200
        await until(lambda: former.gone_at is not None, 60)
        (valkey,) = await pods.until_only("valkey", 1)
        assert valkey.address != former.address
        for edge in pods.of("edge"):
            # A stream that no edge has heard of: by a table that has been filled again.
            stream = f"live/new-at-{edge.name}"
            async with (
                encoding([services.ingest], stream),
                viewing(pods, f"{edge.address}:1935", services.play, stream) as viewer,
            ):
                await viewer.until_more()
        assert not any(stay.ended_at for viewer in scene.viewers for stay in viewer.stays)
        assert [len(encoder.at) for encoder in scene.encoders] == [1] * len(scene.encoders)
        assert not scene.newcomers.problems


async def test_an_upgrade_cuts_nobody_but_viewers_of_the_edge_that_leaves(
    api: Api, helm: Helm, pods: Pods
) -> None:
    # Another image, and another setting as well.
    await roll(api, pods, "helm upgrade", lambda: helm.upgrade("image.tag=next", "log.level=debug"))
    assert {pod.image for role in ROLES for pod in pods.of(role)} == {NEXT_IMAGE}


async def test_a_rollback_cuts_nobody_but_viewers_of_the_edge_that_leaves(
    api: Api, helm: Helm, pods: Pods
) -> None:
    await roll(api, pods, "helm rollback", helm.rollback)
    assert {pod.image for role in ROLES for pod in pods.of(role)} == {IMAGE}


async def roll(api: Api, pods: Pods, what: str, change: Callable[[], Awaitable[None]]) -> None:
    """Replace every node while a scene is played; fail when somebody is harmed."""
    former = [pod for role in ROLES for pod in await pods.until_only(role, 2)]
    async with (
        played(pods, await find_services(api)) as scene,
        picture_published(f"rtmp://{(await find_services(api)).ingest}/{PICTURE}"),
    ):
        began = monotonic()
        await change()
        await until(lambda: all(pod.gone_at is not None for pod in former), 120)
        rollout = RollOut(what, monotonic() - began, former, pods, scene)
        for role in ROLES:
            await pods.until_only(role, 2)
        for line in rollout.lines():
            say(line)
        await rollout.check()
        async with picture_played((await find_services(api)).play):
            pass  # what ffmpeg publishes was carried over, too


async def test_uninstall_leaves_nothing(api: Api, helm: Helm) -> None:
    await helm.uninstall()
    await until(lambda: is_nothing_left(api), 120)


async def is_nothing_left(api: Api) -> bool:
    mine = {"labelSelector": f"app.kubernetes.io/instance={RELEASE}"}
    left = [
        await api.items(path, **mine) for path in (await api.paths_of_kinds(NAMESPACE)).values()
    ]
    return not any(left) and not await api.items(PATH)


async def find_services(api: Api) -> Services:
    """Return the addresses of the Services for encoders and players."""
    ingest, play = [await api.get(f"{_SERVICES}/{RELEASE}-headwater-{role}") for role in ROLES]
    return Services(address_of(ingest), address_of(play))
