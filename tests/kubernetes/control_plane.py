"""The control plane: etcd, API server, controllers, scheduler; for one user."""

import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.kubernetes.daemons import Daemons
from tests.kubernetes.network import NODE_ADDRESS, SERVICES
from tests.kubernetes.tools import run

URL: Final = f"https://{NODE_ADDRESS}:6443"
_ETCD: Final = "http://127.0.0.1:2379"


@dataclass(frozen=True)
class Access:
    """How to reach the API server."""

    kubeconfig: Path
    token: str


def start(daemons: Daemons, programs: Path, folder: Path) -> Access:
    """Start the control plane with its state below ``folder``; it answers when this returns."""
    access = _make_access(folder)
    daemons.start("etcd", _etcd(programs, folder), until=lambda: _answers(f"{_ETCD}/health"))
    daemons.start("kube-apiserver", _api_server(programs, folder), until=_is_ready(access))
    kubeconfig = f"--kubeconfig={access.kubeconfig}"
    controllers = [
        str(programs / "kube-controller-manager"),
        *(kubeconfig, "--leader-elect=false", f"--root-ca-file={folder / 'pki/apiserver.crt'}"),
        f"--service-account-private-key-file={folder / 'accounts.key'}",
    ]
    daemons.start("kube-controller-manager", controllers)
    scheduler = [str(programs / "kube-scheduler"), kubeconfig, "--leader-elect=false"]
    daemons.start("kube-scheduler", scheduler)
    return access


def _make_access(folder: Path) -> Access:
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},rig,rig,"system:masters"\n')
    accounts = str(folder / "accounts.key")
    run("openssl", "genrsa", "-out", accounts, "2048")
    run("openssl", "rsa", "-in", accounts, "-pubout", "-out", str(folder / "accounts.pub"))
    file = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": {"server": URL, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "rig", "user": {"token": token}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig"}}],
        "current-context": "rig",
    }
    file.write_text(yaml.safe_dump(config))
    return Access(file, token)


def _etcd(programs: Path, folder: Path) -> list[str]:
    return [
        str(programs / "etcd"),
        *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", _ETCD, "--advertise-client-urls", _ETCD),
    ]


def _api_server(programs: Path, folder: Path) -> list[str]:
    return [
        str(programs / "kube-apiserver"),
        *(f"--etcd-servers={_ETCD}", f"--cert-dir={folder / 'pki'}"),
        *(f"--service-cluster-ip-range={SERVICES}", f"--advertise-address={NODE_ADDRESS}"),
        *(f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC"),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _is_ready(access: Access) -> Callable[[], bool]:
    return lambda: _answers(f"{URL}/readyz", access.token)


def _answers(url: str, token: str = "") -> bool:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE  # it signs its certificate itself
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, context=trusting, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
