"""The one machine of the cluster: containerd, kubelet, kube-proxy, and CoreDNS beside them."""

import json
import subprocess
from pathlib import Path
from typing import Final

import yaml

from tests.kubernetes.control_plane import Access
from tests.kubernetes.daemons import Daemons
from tests.kubernetes.images import PAUSE_IMAGE
from tests.kubernetes.network import NODE_ADDRESS, PODS
from tests.kubernetes.say import told_time
from tests.kubernetes.tools import NETWORK_PLUGINS, run

NAME: Final = "machine-1"
ZONE: Final = "zone-a"
_DOMAIN: Final = "cluster.local"


def start(
    daemons: Daemons, programs: Path, folder: Path, access: Access, images: Path, group: str
) -> None:
    """Start all that runs on the machine; containers are in the control group ``group``."""
    socket = folder / "containerd.sock"
    _containerd(daemons, folder, socket)
    with told_time("images were loaded"):
        for_kubelet = ("ctr", "--address", str(socket), "--namespace", "k8s.io")
        run(*for_kubelet, "images", "import", "--snapshotter", "overlayfs", str(images))
    _coredns(daemons, programs, folder, access)
    _kube_proxy(daemons, programs, folder, access)
    _kubelet(daemons, programs, folder, access, socket, group)


def _containerd(daemons: Daemons, folder: Path, socket: Path) -> None:
    plugins = folder / "network"
    plugins.mkdir()
    # ptp, not bridge: its pods reach each other by routes, so that what Services rewrite is
    # written back without a bridge that shows its packets to the firewall.
    network = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "subnet": PODS,
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    (plugins / "10-pods.conflist").write_text(json.dumps(network))
    config = folder / "containerd.toml"
    config.write_text(
        f"""version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Negative values are not for everybody, even for root.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{NETWORK_PLUGINS}"
    conf_dir = "{plugins}"
"""
    )
    ask = ["ctr", "--address", str(socket), "version"]
    daemons.start(
        "containerd",
        ["containerd", "--config", str(config)],
        until=lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0,
    )


def _coredns(daemons: Daemons, programs: Path, folder: Path, access: Access) -> None:
    config = folder / "Corefile"
    config.write_text(
        f""".:53 {{
    bind {NODE_ADDRESS}
    errors
    kubernetes {_DOMAIN} {{
        kubeconfig {access.kubeconfig}
        ttl 5
    }}
}}
"""
    )
    daemons.start("coredns", [str(programs / "coredns"), "-conf", str(config)])


def _kube_proxy(daemons: Daemons, programs: Path, folder: Path, access: Access) -> None:
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": str(access.kubeconfig)},
        # Those of the machine stay as they are.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    file = folder / "kube-proxy.yaml"
    file.write_text(yaml.safe_dump(config))
    daemons.start("kube-proxy", [str(programs / "kube-proxy"), f"--config={file}"])


def _kubelet(
    daemons: Daemons, programs: Path, folder: Path, access: Access, socket: Path, group: str
) -> None:
    resolv = folder / "resolv.conf"
    resolv.write_text("")
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": str(resolv),
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": _DOMAIN,
        # Nobody else is in this network.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        # A full disk of the machine is not the rig's business.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }
    file = folder / "kubelet.yaml"
    file.write_text(yaml.safe_dump(config))
    daemons.start(
        "kubelet",
        [
            str(programs / "kubelet"),
            *(f"--config={file}", f"--kubeconfig={access.kubeconfig}"),
            *(f"--root-dir={folder / 'kubelet'}", f"--node-ip={NODE_ADDRESS}"),
            *(f"--hostname-override={NAME}", f"--node-labels=topology.kubernetes.io/zone={ZONE}"),
        ],
    )
