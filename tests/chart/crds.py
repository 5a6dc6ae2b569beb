"""Schemas of the custom resources that the chart makes: what it uses of them, and nothing else.

kubernetes-validate knows the built-in kinds only, and no package carries these schemas with unknown
fields refused. Each is written after the reference of its project.
"""

from typing import Any, Final

import jsonschema

_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}
_DURATION: Final = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
_LABELS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def _strict(required: tuple[str, ...] = (), **properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _list(items: object) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_ENDPOINT: Final = _strict(
    ("port", "path"),
    port={"const": "admin"},
    path={"const": "/metrics"},
    interval=_DURATION,
    scrapeTimeout=_DURATION,
    relabelings={"type": "array"},
    metricRelabelings={"type": "array"},
)
_SELECTOR: Final = _strict(("matchLabels",), matchLabels=_LABELS)
_NAMESPACES: Final = _strict(("matchNames",), matchNames=_list(_TEXT))
_RULE: Final = {
    **_strict(
        ("expr",),
        alert=_TEXT,
        record=_TEXT,
        expr=_TEXT,
        labels=_LABELS,
        annotations=_LABELS,
        **{"for": _DURATION},
    ),
    "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
}
_TRIGGER: Final = _strict(
    ("type", "metadata"),
    type={"enum": ["prometheus", "cpu"]},
    metricType={"enum": ["AverageValue", "Utilization"]},
    metadata=_LABELS,  # all of its values are text, numbers too
    authenticationRef=_strict(("name",), name=_TEXT),
)

_FALLBACK: Final = _strict(
    ("failureThreshold", "replicas"),
    failureThreshold=_COUNT,
    replicas=_COUNT,
    behavior={  # since KEDA 2.17
        "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
    },
)
_BACKEND: Final = _strict(("name", "port"), name=_TEXT, port=_COUNT)

SPECS: Final = {
    "monitoring.coreos.com/v1/PodMonitor": _strict(
        ("selector", "podMetricsEndpoints"),
        selector=_SELECTOR,
        namespaceSelector=_NAMESPACES,
        podMetricsEndpoints=_list(_ENDPOINT),
    ),
    "monitoring.coreos.com/v1/ServiceMonitor": _strict(
        ("selector", "endpoints"),
        selector=_SELECTOR,
        namespaceSelector=_NAMESPACES,
        endpoints=_list(_ENDPOINT),
    ),
    "monitoring.coreos.com/v1/PrometheusRule": _strict(
        ("groups",), groups=_list(_strict(("name", "rules"), name=_TEXT, rules=_list(_RULE)))
    ),
    "keda.sh/v1alpha1/ScaledObject": _strict(
        ("scaleTargetRef", "triggers"),
        scaleTargetRef=_strict(("name", "kind"), apiVersion=_TEXT, kind=_TEXT, name=_TEXT),
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        pollingInterval=_COUNT,
        fallback=_FALLBACK,
        advanced=_strict(
            horizontalPodAutoscalerConfig=_strict(
                behavior=_strict(scaleUp={"type": "object"}, scaleDown={"type": "object"})
            )
        ),
        triggers=_list(_TRIGGER),
    ),
}
_PARENTS: Final = _list(
    _strict(
        ("name",),
        group={"type": "string"},
        kind=_TEXT,
        name=_TEXT,
        namespace=_TEXT,
        sectionName=_TEXT,
        port=_COUNT,
    )
)
_ROUTE: Final = _strict(
    ("parentRefs", "rules"),
    parentRefs=_PARENTS,
    rules=_list(_strict(("backendRefs",), backendRefs=_list(_BACKEND))),
)
_MATCH: Final = _strict(
    ("path",),
    path=_strict(
        ("type", "value"), type={"const": "Exact"}, value={"type": "string", "pattern": "^/"}
    ),
)
SPECS["gateway.networking.k8s.io/v1/HTTPRoute"] = _strict(
    ("parentRefs", "hostnames", "rules"),
    parentRefs=_PARENTS,
    hostnames=_list({"type": "string", "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}),
    rules=_list(
        _strict(("matches", "backendRefs"), matches=_list(_MATCH), backendRefs=_list(_BACKEND))
    ),
)
for _version in ("v1", "v1alpha2"):
    SPECS[f"gateway.networking.k8s.io/{_version}/TCPRoute"] = _ROUTE


def validate(resource: dict[str, Any]) -> None:
    """Check a custom resource. Raises jsonschema.ValidationError, KeyError for a strange kind."""
    spec = SPECS[f"{resource['apiVersion']}/{resource['kind']}"]
    whole = _strict(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=_TEXT,
        kind=_TEXT,
        metadata={"type": "object"},
        spec=spec,
    )
    jsonschema.validate(resource, whole)
