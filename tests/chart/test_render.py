"""Every file of values, for every Kubernetes: what comes out is valid."""

import shutil
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.chart import crds
from tests.chart.chart import CHART, CI_VALUES, KUBERNETES, NEWEST, Object, helm, render

_CUSTOM_GROUPS = ("monitoring.coreos.com/", "keda.sh/", "gateway.networking.k8s.io/")


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_object_is_valid_for_every_kubernetes(values: Path, kubernetes: str) -> None:
    for each in render(values, kubernetes=kubernetes).objects:
        _validate(each, kubernetes)


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_names_are_unique_labels_are_ours_and_all_is_in_one_namespace(values: Path) -> None:
    objects = render(values).objects
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    ours = [each for each in objects if "labels" in each["metadata"]]
    assert len({each["metadata"]["namespace"] for each in ours}) == 1
    for each in ours:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "headwater", each["kind"]
        assert labels["app.kubernetes.io/instance"] == "rel"
        assert len(each["metadata"]["name"]) <= 63


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_lint_finds_nothing(values: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--values", str(values))


def test_the_longest_release_name_fits() -> None:
    out = helm(
        *("template", "r" * 53, str(CHART), "--set", "valkey.enabled=true"),
        *("--set", "nameOverride=headwater-with-a-very-long-name", "--kube-version", "1.36.0"),
    )
    names = [line.split()[-1] for line in out.splitlines() if line.startswith("  name: ")]
    assert names
    assert max(map(len, names)) <= 63


@pytest.mark.parametrize(
    ("release", "override"),
    [
        ("r" * 53, {}),
        ("headwater-" + "r" * 43, {}),
        ("r", {"nameOverride": "n" * 63}),
        ("r", {"fullnameOverride": "f" * 63}),
    ],
)
def test_names_of_stateful_sets_leave_room_for_a_hash(
    release: str, override: dict[str, str]
) -> None:
    sets = {"valkey.enabled": "true", **override}
    out = helm(
        *("template", release, str(CHART), "--kube-version", f"{NEWEST}.0"),
        *("--set", ",".join(f"{name}={value}" for name, value in sets.items())),
    )
    objects = [each for each in yaml.safe_load_all(out) if each]
    (origins,) = [each["metadata"]["name"] for each in objects if each["kind"] == "StatefulSet"]
    # Its controller-revision-hash label holds the name, a dash and ten letters: 63 at most.
    assert len(origins) == 52


NOTES_AS_OBJECT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: |
    {{- tpl (.Files.Get "NOTES.txt") . | nindent 4 }}
"""


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ("trial", ["port-forward service/rel-headwater-origin", "single Valkey pod", "one origin"]),
        ("external-redis", ["kubectl get service rel-headwater-edge -n live", "helm test rel"]),
        (
            "edges-only",
            [
                *("There are edges only", "deployment/rel-headwater-edge"),
                *("networkPolicy.redis.ports", "runbookUrlPrefix is no http(s):// URL"),
            ],
        ),
        ("hatches", ["origin.lifecycle is in place of", "may take 900 s"]),
        ("readiness", ["Do origins take", "  eu-ingest.example\n", "  eu.play.example\n"]),
    ],
)
def test_notes_tell_the_urls_and_what_is_risky(
    values: str, wanted: list[str], tmp_path: Path
) -> None:
    notes = _notes(values, tmp_path)
    for words in wanted:
        assert words in notes


def test_notes_warn_of_nothing_that_is_given(tmp_path: Path) -> None:
    notes = _notes("production", tmp_path)
    assert "networkPolicy.redis.ports" not in notes
    assert "runbookUrlPrefix" not in notes


def _notes(values: str, tmp_path: Path) -> str:
    # `helm template` does not show the notes: as text in an object, it does.
    copy = shutil.copytree(CHART, tmp_path / "headwater")
    (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
    (copy / "templates" / "notes.yaml").write_text(NOTES_AS_OBJECT)
    return helm(
        *("template", "rel", str(copy), "--namespace", "live", "--show-only"),
        *("templates/notes.yaml", "--values", str(CHART / "ci" / f"{values}-values.yaml")),
        *("--kube-version", f"{NEWEST}.0"),
    )


def test_tcproutes_are_v1_where_the_cluster_has_it() -> None:
    sets = {"gateway.edge.enabled": True, "gateway.edge.parentRefs": [{"name": "public"}]}
    old = render(sets=sets).one("TCPRoute", "-edge")
    new = render(sets=sets, apis=["gateway.networking.k8s.io/v1/TCPRoute"]).one("TCPRoute", "-edge")
    assert old["apiVersion"] == "gateway.networking.k8s.io/v1alpha2"
    assert new["apiVersion"] == "gateway.networking.k8s.io/v1"


def _validate(each: Object, kubernetes: str) -> None:
    where = f"{each['kind']}/{each['metadata']['name']}"
    try:
        if each["apiVersion"].startswith(_CUSTOM_GROUPS):
            crds.validate(each)
        else:
            kubernetes_validate.validate(each, kubernetes, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        pytest.fail(f"{where} for {kubernetes}: {error}")


def test_the_validation_refuses_what_is_wrong() -> None:
    """The checks above are worth something: each kind of fault is found."""
    edge = render().one("Deployment", "-edge")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**edge, "spec": {**edge["spec"], "replica": 2}}, NEWEST, strict=True
        )
    monitor = render(sets={"metrics.podMonitor.enabled": True}).one("PodMonitor", "-edge")
    with pytest.raises(jsonschema.ValidationError):
        crds.validate({**monitor, "spec": {**monitor["spec"], "selectors": {}}})
