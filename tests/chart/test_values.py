"""What cannot work is refused, by the schema or by the templates, with a reason."""

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.chart.chart import CHART, RenderError, render

SCHEMA_REFUSES = [
    ({"orgin.replicas": 3}, "orgin"),
    ({"origin.replica": 3}, "replica"),
    ({"origin.replicas": 0}, "origin.replicas"),
    ({"origin.replicas": "two"}, "origin.replicas"),
    ({"origin.workers": 0}, "origin.workers"),
    ({"edge.ports.rtmp": 80}, "edge.ports.rtmp"),
    ({"edge.ports.http": 8000}, "edge.ports"),
    ({"edge.zoneRelay": "yes"}, "edge.zoneRelay"),
    ({"origin.zoneRelay": True}, "origin"),
    ({"edge.service.type": "ExternalName"}, "edge.service.type"),
    ({"edge.service.externalTrafficPolicy": "local"}, "edge.service.externalTrafficPolicy"),
    ({"edge.service.trafficDistribution": "Closest"}, "trafficDistribution"),
    ({"edge.service.loadBalancerSourceRanges": ["203.0.113.7"]}, "loadBalancerSourceRanges"),
    ({"edge.updateStrategy.type": "OnDelete"}, "edge.updateStrategy.type"),
    ({"origin.updateStrategy.type": "Recreate"}, "origin.updateStrategy.type"),
    ({"edge.drain.seconds": 0}, "edge.drain.seconds"),
    ({"edge.drain.marginSeconds": 1}, "edge.drain.marginSeconds"),
    ({"edge.drain.reconnectUrl": "rtmp://host/app"}, "edge.drain.reconnectUrl"),
    ({"edge.proxyProtocol.trustedCidrs": ["lb.example"]}, "edge.proxyProtocol.trustedCidrs"),
    ({"edge.livenessProbe.httpGet": {}}, "httpGet"),
    ({"edge.autoscaling.engine": "both"}, "edge.autoscaling.engine"),
    ({"edge.antiAffinity": "medium"}, "edge.antiAffinity"),
    ({"edge.extraEnv": [{"value": "x"}]}, "name is required"),
    ({"image.digest": "sha256:abc"}, "image.digest"),
    ({"image.tag": "latest"}, "image.tag"),
    ({"image.pullPolicy": "Sometimes"}, "image.pullPolicy"),
    ({"redis.url": "redis://user:secret@redis.example"}, "redis.url"),
    ({"redis.url": "http://redis.example"}, "redis.url"),
    ({"redis.mode": "sentinel"}, "redis.sentinel.addresses"),
    ({"redis.sentinel.addresses": ["a.example:26379"]}, "redis.sentinel.addresses"),
    ({"redis.tls.secretName": "tls", "redis.tls.certKey": "tls.crt"}, "redis.tls.keyKey"),
    ({"redis.keyPrefix": "with space"}, "redis.keyPrefix"),
    ({"config.rtmp": 1}, "config.rtmp"),
    ({"listenHost": "10.0.0.1"}, "listenHost"),
    ({"log.level": "loud"}, "log.level"),
    ({"gateway.edge.enabled": True}, "gateway.edge.parentRefs"),
    ({"gateway.edge.parentRefs": [{"section": "rtmp"}]}, "gateway.edge.parentRefs"),
    ({"edge.ingress.host": "eu.play.example"}, "edge.ingress"),
    ({"edge.ingress.hosts": "eu.play.example"}, "edge.ingress.hosts"),
    ({"edge.ingress.hosts": ["https://eu.play.example"]}, "edge.ingress.hosts"),
    ({"edge.ingress.hosts": ["eu.play.example/readyz"]}, "edge.ingress.hosts"),
    ({"edge.ingress.hosts": ["203.0.113.7"]}, "edge.ingress.hosts"),
    ({"edge.ingress.hosts": [{"host": "a.example", "paths": ["/"]}]}, "edge.ingress.hosts"),
    ({"edge.ingress.hosts": ["a.example", "a.example"]}, "edge.ingress.hosts"),
    ({"edge.ingress.tls": [{"secret": "x"}]}, "edge.ingress.tls"),
    ({"edge.ingress.annotations": {"a": 1}}, "edge.ingress.annotations"),
    ({"edge.ingress.path": "/"}, "edge.ingress"),
    ({"origin.httpRoute.parentRefs": ["public"]}, "origin.httpRoute.parentRefs"),
    ({"origin.httpRoute.parentRefs": [{"namespace": "x"}]}, "origin.httpRoute.parentRefs"),
    ({"origin.httpRoute.hostnames": ["UPPER.example"]}, "origin.httpRoute.hostnames"),
    ({"origin.httpRoute.rules": []}, "origin.httpRoute"),
    ({"metrics.podMonitor.interval": "15"}, "metrics.podMonitor.interval"),
    ({"metrics.prometheusRule.disabled": ["Watchdog"]}, "metrics.prometheusRule.disabled"),
    ({"networkPolicy.dnsPorts": []}, "networkPolicy.dnsPorts"),
    ({"networkPolicy.redis.ports": ["6379"]}, "networkPolicy.redis.ports"),
]

EDGE_INGRESS = {"edge.ingress.enabled": True, "edge.ingress.hosts": ["eu.example"]}

TEMPLATES_REFUSE = [
    ({"redis.url": ""}, "Headwater needs a Redis"),
    ({"valkey.enabled": True}, "valkey.enabled and redis.url are all given"),
    (
        {"redis.url": "", "valkey.enabled": True, "redis.passwordSecret.name": "x"},
        "single Valkey without password or TLS",
    ),
    (
        {"redis.url": "", "redis.urlSecret.name": "x", "redis.passwordSecret.name": "y"},
        "redis.urlSecret holds the password already",
    ),
    ({"redis.tls.secretName": "tls"}, "redis.url must begin with rediss://"),
    (
        {
            "redis.url": "",
            "redis.mode": "sentinel",
            "redis.sentinel.addresses": ["a.example:26379"],
            "redis.tls.secretName": "tls",
        },
        "set redis.url to rediss://redis/0",
    ),
    ({"origin.enabled": False, "edge.enabled": False}, "nothing to run"),
    (
        {"edge.terminationGracePeriodSeconds": 300},
        "edge.terminationGracePeriodSeconds is 300, but preStopSeconds + seconds + marginSeconds "
        "of edge.drain are 330",
    ),
    (
        {"origin.autoscaling.enabled": True, "origin.autoscaling.maxReplicas": 1},
        "maxReplicas is below minReplicas",
    ),
    (
        {"edge.autoscaling.enabled": True, "edge.autoscaling.clientsPerPod": 0},
        "edge.autoscaling has nothing to scale by",
    ),
    (
        {"edge.autoscaling.enabled": True, "edge.autoscaling.engine": "keda"},
        "edge.autoscaling.keda.serverAddress is needed",
    ),
    ({"edge.proxyProtocol.enabled": True}, "whose PROXY protocol headers shall be believed"),
    ({"edge.ports.admin": 1935}, "must differ"),
    ({"origin.ports.admin": 19353}, "is one of the relay ports, 19350 to 19357"),
    ({"origin.ports.relay": 65530}, "origin.ports.relay is too high for 2 workers"),
    ({"edge.zoneRelay": True, "edge.ports.relay": 65530}, "edge.ports.relay is too high"),
    (
        {"edge.zoneRelay": True, "edge.ports.admin": 19353},
        "edge.ports.admin is one of the relay ports, 19350 to 19357",
    ),
    ({"edge.config.edge": {"zone_relay": True}}, "takes it from edge.zoneRelay"),
    ({"config.supervisor": {"drain_s": 5}}, "takes it from origin.drain.seconds"),
    ({"edge.config.rtmp": {"listen": ":1"}}, "edge.config.rtmp.listen: this chart takes it from"),
    (
        {"edge.extraEnv": [{"name": "HEADWATER_SUPERVISOR__DRAIN_S", "value": "5"}]},
        "edge.extraEnv sets supervisor.drain_s",
    ),
    ({"edge.extraEnv": [{"name": "HEADWATER_CONFIG"}]}, "HEADWATER_CONFIG is there already"),
    ({"edge.extraEnv": [{"name": "A"}, {"name": "A"}]}, "A is there already"),
    (
        {"metrics.podMonitor.enabled": True, "metrics.serviceMonitor.enabled": True},
        "every sample would be there twice",
    ),
    (
        {
            "gateway.edge.enabled": True,
            "gateway.edge.parentRefs": [{"name": "public"}],
            "edge.enabled": False,
        },
        "gateway.edge routes to pods that this release does not run",
    ),
    ({"edge.ingress.enabled": True}, "edge.ingress.hosts is empty: name a host"),
    (
        {"edge.httpRoute.enabled": True, "edge.httpRoute.hostnames": ["a.example"]},
        "edge.httpRoute.parentRefs is empty: name the Gateway",
    ),
    (
        {"edge.httpRoute.enabled": True, "edge.httpRoute.parentRefs": [{"name": "public"}]},
        "edge.httpRoute.hostnames is empty: name a host",
    ),
    (
        {**EDGE_INGRESS, "edge.enabled": False},
        "edge.ingress tells of pods that this release does not run: enable edge",
    ),
    ({**EDGE_INGRESS, "edge.readinessProbe.enabled": False}, "without edge.readinessProbe all"),
    (
        {**EDGE_INGRESS, "networkPolicy.adminFrom": [{"podSelector": {}}]},
        "set networkPolicy.httpFrom to the pods or addresses of the ingress controller",
    ),
    (
        {
            **EDGE_INGRESS,
            "origin.httpRoute.enabled": True,
            "origin.httpRoute.parentRefs": [{"name": "public"}],
            "origin.httpRoute.hostnames": ["eu.example"],
        },
        "origins and edges both answer /readyz of eu.example",
    ),
]


@pytest.mark.parametrize(("sets", "names"), SCHEMA_REFUSES, ids=lambda each: str(each)[:70])
def test_the_schema_refuses(sets: dict[str, object], names: str) -> None:
    with pytest.raises(RenderError, match="don't meet the specifications of the schema") as refused:
        render(sets=sets)
    assert names in str(refused.value)


@pytest.mark.parametrize(("sets", "reason"), TEMPLATES_REFUSE, ids=lambda each: str(each)[:70])
def test_the_templates_refuse(sets: dict[str, object], reason: str) -> None:
    with pytest.raises(RenderError) as refused:
        render(sets=sets)
    assert reason in str(refused.value)


def test_what_a_parent_chart_puts_into_global_is_accepted() -> None:
    assert render(sets={"global.somethingOfAnother": {"chart": True}}).objects


def test_every_value_is_in_the_schema_and_no_other_is() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    strays = list(_strays(values, schema, schema, "values"))
    assert not strays


def _strays(value: object, schema: dict, whole: dict, path: str) -> Iterator[str]:
    """Yield what only one of the two knows, wherever the schema is closed."""
    for part in (schema, *schema.get("allOf", ())):
        if ref := part.get("$ref"):
            part = whole["definitions"][ref.rpartition("/")[2]]
        if not isinstance(value, dict) or part.get("additionalProperties") is not False:
            continue
        known = part["properties"]
        optional = {"initialDelaySeconds", "terminationGracePeriodSeconds", "successThreshold"}
        optional |= {"claims", "rollingUpdate", "scaleUp", "limits", "requests", "zoneRelay"}
        yield from (f"{path}.{name}" for name in known.keys() - value.keys() - optional)
        for name, inner in value.items():
            yield from _strays(inner, known[name], whole, f"{path}.{name}")


def test_without_optional_parts_there_is_only_what_is_needed() -> None:
    rendered = render(
        sets={
            "networkPolicy.enabled": False,
            "serviceAccount.create": False,
            "tests.enabled": False,
            "origin.service.enabled": False,
            "edge.service.enabled": False,
            "origin.podDisruptionBudget.enabled": False,
            "edge.podDisruptionBudget.enabled": False,
        }
    )
    kinds = sorted(each["kind"] for each in rendered.objects)
    assert kinds == ["ConfigMap"] * 2 + ["Deployment"] + ["Service"] * 3 + ["StatefulSet"]
