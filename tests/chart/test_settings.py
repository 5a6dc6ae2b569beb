"""The settings that pods get, read by Headwater itself."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.chart import CI_VALUES, PRODUCT, ROLES, Object, Rendered, container_of, render

every_values = pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)


def roles_of(rendered: Rendered) -> list[tuple[str, Object]]:
    kinds = {"origin": "StatefulSet", "edge": "Deployment"}
    return [
        (role, workload)
        for role in ROLES
        for workload in rendered.of_kind(kinds[role])
        if workload["metadata"]["name"].endswith(f"-{role}")
    ]


def in_force(rendered: Rendered, role: str, workload: Object, tmp_path: Path) -> Object:
    """Return the settings as the pod would print them with `headwater config`."""
    file = tmp_path / f"{role}.yaml"
    file.write_text(yaml.safe_dump(rendered.settings(role)))
    container = container_of(workload, role)
    variables = {each["name"]: each.get("value", "") for each in container["env"]}
    fields = {"HEADWATER_CONFIG": str(file), "HEADWATER_NODE__ADVERTISE_HOST": "10.1.2.3"}
    if "HEADWATER_REDIS__URL" in variables:
        fields["HEADWATER_REDIS__URL"] = "rediss://user:secret@redis.example:6379/0"
    arguments = [each for each in container["args"] if each != role]
    done = subprocess.run(
        [str(PRODUCT), "-m", "common.cli", "config", *arguments],
        env={"PATH": os.environ["PATH"], **variables, **fields},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settings: Object = yaml.safe_load(done.stdout)
    return settings


@every_values
def test_headwater_accepts_them_and_they_fit_the_pod(values: Path, tmp_path: Path) -> None:
    rendered = render(values)
    for role, workload in roles_of(rendered):
        settings = in_force(rendered, role, workload, tmp_path)
        container = container_of(workload, role)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert settings["rtmp"]["listen"].endswith(f":{ports['rtmp']}")
        assert settings["admin"]["listen"].endswith(f":{ports['admin']}")
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert settings["node"]["runtime_dir"] in mounts
        for file in ("password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"):
            if path := settings["redis"][file]:
                assert path.rpartition("/")[0] in mounts
        if role == "origin" or settings["edge"]["zone_relay"]:
            relays = [port for name, port in ports.items() if name.startswith("relay-")]
            base = settings["relay"]["port_base"]
            assert relays == [base + slot for slot in range(settings["node"]["workers"])]


@every_values
def test_arguments_are_a_command_of_headwater(values: Path) -> None:
    for role, workload in roles_of(render(values)):
        assert container_of(workload, role)["args"][0] == role
        done = subprocess.run(
            [str(PRODUCT), "-m", "common.cli", role, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0


def test_the_test_calls_a_command_of_headwater() -> None:
    (pod,) = render().of_kind("Pod")
    command = pod["spec"]["containers"][0]["args"][0]
    done = subprocess.run(
        [str(PRODUCT), "-m", "common.cli", command, "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0


def test_a_roles_own_settings_win_and_others_are_kept() -> None:
    rendered = render(
        sets={
            "config": {"gop": {"max_seconds": 5, "max_packets": 100}, "vhosts": ["a.example"]},
            "edge.config": {"gop": {"max_seconds": 7}},
        }
    )
    assert rendered.settings("edge")["gop"] == {"max_seconds": 7, "max_packets": 100}
    assert rendered.settings("origin")["gop"] == {"max_seconds": 5, "max_packets": 100}
    assert rendered.settings("edge")["vhosts"] == ["a.example"]


def test_secrets_are_files_or_references() -> None:
    rendered = render(
        sets={
            "redis.url": "rediss://redis.example:6380/0",
            "redis.username": "headwater",
            "redis.passwordSecret": {"name": "credentials", "key": "pw"},
            "redis.tls": {"secretName": "certificates", "certKey": "tls.crt", "keyKey": "tls.key"},
        }
    )
    redis = rendered.settings("edge")["redis"]
    assert redis["password_file"] == "/etc/headwater/redis/password"
    assert redis["tls_cert_file"] == "/etc/headwater/redis-tls/tls.crt"
    volumes = {
        each["name"]: each
        for each in rendered.one("Deployment", "-edge")["spec"]["template"]["spec"]["volumes"]
    }
    assert volumes["redis-password"]["secret"]["items"] == [{"key": "pw", "path": "password"}]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/metrics"])
def test_the_paths_that_are_asked_exist(path: str) -> None:
    program = (
        "from common.admin.server import AdminServer as A\n"
        "a = A('', 0, health=None, metrics=None, status=None)\n"
        f"assert {path!r} in a._routes"
    )
    done = subprocess.run([str(PRODUCT), "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
