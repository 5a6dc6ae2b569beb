"""Kubernetes itself: built from its own module, once, and kept."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from tests.kubernetes.say import told_time
from tests.kubernetes.tools import CACHE, run

KUBERNETES: Final = "1.35.4"
"""As in go/go.mod. 1.36 no longer runs on the containerd that Debian 12 has."""
COREDNS: Final = "1.14.7"
_MODULE: Final = Path(__file__).parent / "go"
_OF_KUBERNETES: Final = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy"),
)
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_VERSION_OF: Final = "k8s.io/component-base/version"
_STAMP: Final = " ".join(
    f"-X {_VERSION_OF}.{name}={value}"
    for name, value in {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": _MAJOR,
        "gitMinor": _MINOR,
    }.items()
)


def programs() -> Path:
    """Return the folder with all programs; builds them where they are not in the cache."""
    key = hashlib.sha256()
    for part in ("go.mod", "go.sum"):
        key.update((_MODULE / part).read_bytes())
    folder = CACHE / f"kubernetes-{KUBERNETES}-coredns-{COREDNS}-{key.hexdigest()[:8]}"
    if not folder.exists():
        with told_time("Kubernetes, etcd and CoreDNS were built"):
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    """Build into a folder beside ``folder``, which then gets its name: all or nothing."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    work = CACHE / "go"
    environment = {
        "GOPATH": str(work),
        "GOCACHE": str(work / "cache"),
        "GOBIN": str(unfinished),
        "GOFLAGS": "-trimpath -modcacherw",
        "CGO_ENABLED": "0",
        "GOMAXPROCS": os.environ.get("GOMAXPROCS", "1"),
    }
    jobs = ("-p", environment["GOMAXPROCS"])
    sources = [f"k8s.io/kubernetes/cmd/{each}" for each in _OF_KUBERNETES]
    stamped = ("build", *jobs, f"-ldflags=-s -w {_STAMP}", "-o", f"{unfinished}/", *sources)
    etcd = ("build", *jobs, "-o", str(unfinished / "etcd"), "go.etcd.io/etcd/server/v3")
    coredns = ("install", *jobs, f"github.com/coredns/coredns@v{COREDNS}")
    for command in (stamped, etcd, coredns):
        run("go", "-C", str(_MODULE), *command, environment=environment)
    unfinished.rename(folder)
    shutil.rmtree(work)
