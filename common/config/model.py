"""Every setting of Headwater, with its default, its bounds and what it means.

This file is the one truth: the command line, the environment names and the reference page
(docs/settings.md) are all made from it. Units stand in the names.
"""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from common.config.forms import Address, HostName, Network, RedisUrl, Seconds, ServerUrl, Word
from common.rtmp.limits import MAX_STREAM_ID, RtmpLimits

_RTMP = RtmpLimits()


class PublisherPolicy(StrEnum):
    """Who wins when a second publisher comes for a stream that is live."""

    TAKEOVER = "takeover"
    REJECT = "reject"
    STANDBY = "standby"


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a value may be a secret
    )


class NodeSettings(Section):
    """Who this node is."""

    id: Word = ""
    """Unique name of the node in the cluster. Empty: role, host name and a random suffix."""
    zone: str = Field(default="", max_length=128)
    """Availability zone or region, shown in listings and metrics."""
    advertise_host: HostName = ""
    """Host under which other nodes reach this one. Empty: found out from the local address."""
    workers: int = Field(default=0, ge=0, le=256)
    """Worker processes. 0: one for each core."""
    runtime_dir: Path | None = None
    """Where sockets and metric files live while the node runs. Empty: a fresh temporary folder."""


class RtmpSettings(Section):
    """The RTMP port and the limits of each connection."""

    listen: Address = "0.0.0.0:1935"
    """Address that encoders (origin) or players (edge) connect to. Port 0: any free port."""
    chunk_size: int = Field(default=65_536, ge=128, le=0xFFFFFF)
    """Chunk size that we send with; large, so that most messages are one chunk."""
    max_connections: int = Field(default=0, ge=0)
    """Connections per worker; one more is refused. 0: as many as file descriptors allow."""
    max_per_address: int = Field(default=0, ge=0)
    """Clients per address (IPv6: per /64 network) and worker; one more is refused. 0: any number.

    Off by default, as whole towns share an address (carrier NAT), and so do all clients behind a
    load balancer that does not speak the PROXY protocol.
    """
    proxy_trusted: list[Network] = Field(default_factory=list)
    """Load balancers whose PROXY protocol header (version 1 or 2) tells the client's address.

    A header from any other address is refused. Empty: from all. Relays need none.
    """
    proxy_required: bool = True
    """Whether connections from `proxy_trusted` must have a header. Off only while a balancer is
    being switched over: without a header, what a client sends could pass for one."""
    keepalive_s: int = Field(default=60, ge=0, le=7200)
    """Seconds without traffic after which TCP probes a client, so that balancers do not forget it
    and dead ones are noticed. 0: never."""
    backlog: int = Field(default=4096, ge=1, le=65_535)
    """Connections that may wait to be accepted, per worker."""
    handshake_timeout_s: Seconds = _RTMP.handshake_timeout_s
    """From accept to the end of the handshake, altogether."""
    connect_timeout_s: Seconds = _RTMP.connect_timeout_s
    """From the handshake to `connect`."""
    request_timeout_s: Seconds = _RTMP.request_timeout_s
    """From `connect` to `publish` or `play`."""
    publish_silence_s: Seconds = _RTMP.publish_silence_s
    """A publisher that sends nothing for so long is gone."""
    ping_interval_s: Seconds = _RTMP.ping_interval_s
    """An idle player is pinged after so long …"""
    ping_timeout_s: Seconds = _RTMP.ping_timeout_s
    """… and dropped when it has not answered after so long."""
    max_message_bytes: int = Field(default=_RTMP.max_message_bytes, ge=65_536, le=0xFFFFFF + 1)
    """Largest audio or video message."""
    max_command_bytes: int = Field(default=_RTMP.max_command_bytes, ge=4096, le=1 << 20)
    """Largest command or data message."""
    max_partial_bytes: int = Field(default=_RTMP.max_partial_bytes, ge=65_536)
    """Unfinished messages of a connection, together."""
    max_chunk_streams: int = Field(default=_RTMP.max_chunk_streams, ge=4, le=65_536)
    """Chunk streams of a connection."""
    max_message_streams: int = Field(default=_RTMP.max_message_streams, ge=1, le=MAX_STREAM_ID)
    """Message streams (createStream) of a connection at a time."""
    commands_per_s: float = Field(default=_RTMP.commands_per_s, gt=0, le=10_000)
    """Commands a connection may send per second, in the long run."""
    command_burst: int = Field(default=_RTMP.command_burst, ge=10, le=100_000)
    """Commands a connection may send at once."""

    def limits(self) -> RtmpLimits:
        """Return the limits in the form that the protocol core takes."""
        names = RtmpLimits.__dataclass_fields__.keys() & type(self).model_fields.keys()
        return RtmpLimits(**{name: getattr(self, name) for name in names})


class PublishSettings(Section):
    """What publishers may do."""

    policy: PublisherPolicy = PublisherPolicy.TAKEOVER
    """A second publisher of a live stream: `takeover` lets it win, `reject` refuses it, `standby`
    keeps it ready to take over when the first one is gone."""
    app_policies: dict[str, PublisherPolicy] = Field(default_factory=dict)
    """Policy by app (the first part of the stream key), where it differs."""
    unwatched_read_ms: float = Field(default=250.0, ge=0, le=1000)
    """A publisher that nobody watches is read in bites of so much time, which costs less than half
    of reading each burst as it comes. The first viewer ends that at once. 0: never."""
    grace_s: Seconds = 15.0
    """How long a stream that lost its publisher keeps its clock, for one that comes back here."""


class RedisSettings(Section):
    """The routing table."""

    url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")
    """redis://, rediss:// (TLS) or unix:// with user, password and database."""
    mode: Literal["single", "sentinel", "cluster"] = "single"
    """`sentinel` asks `sentinels` for the master; `cluster` takes `url` as a start node."""
    sentinels: list[Address] = Field(default_factory=list)
    """Sentinel addresses, host:port."""
    sentinel_master: str = "mymaster"
    """Name of the master that the sentinels watch."""
    sentinel_password: SecretStr = SecretStr("")
    """Password of the sentinels themselves, where they ask for one."""
    username: str = ""
    """ACL user, where it is not in the URL."""
    password: SecretStr = SecretStr("")
    """Password, where it is not in the URL."""
    password_file: Path | None = None
    """File that holds the password. Read whenever a process starts to use Redis, not kept."""
    tls_ca_file: Path | None = None
    """CA certificates to trust for rediss://. Empty: the system's."""
    tls_cert_file: Path | None = None
    """Client certificate for rediss://."""
    tls_key_file: Path | None = None
    """Key of the client certificate."""
    key_prefix: str = Field(default="hw", pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    """First part of every key, so that clusters can share a database."""
    timeout_s: Seconds = 2.0
    """A command that takes longer counts as Redis being away."""
    connect_timeout_s: Seconds = 2.0
    """For a new connection to Redis."""
    max_connections: int = Field(default=8, ge=1, le=1000)
    """Connections to Redis per worker."""


class LeaseSettings(Section):
    """How long the table believes in a route or a node without hearing from it."""

    ttl_s: Seconds = 10.0
    """A route or node that is not renewed for so long is gone."""
    renew_s: Seconds = 3.0
    """Time between renewals; at most a third of `ttl_s` is sound."""


class RelaySettings(Section):
    """Pulls from another node."""

    listen_host: HostName = ""
    """Address that workers serve relays on: an origin's, and an edge's with `edge.zone_relay`.

    Empty: the one of `rtmp.listen`.
    """
    port_base: int = Field(default=0, ge=0, le=65_535)
    """Worker n serves relays on port_base + n. 0: any free port.

    As long as a former worker holds that port after a reload: on the next one in steps of
    `node.workers`, up to three.
    """
    connect_timeout_s: Seconds = 2.0
    """For the TCP connection to an origin."""
    first_byte_timeout_s: Seconds = 3.0
    """From there to the first media of a stream that the table says is live."""
    silence_s: Seconds = 3.0
    """A relay that brings nothing for so long is lost."""
    backoff_min_s: Seconds = 0.05
    """Pause before the first new look-up after a loss; doubles …"""
    backoff_max_s: Seconds = 2.0
    """… up to this; an announcement ends the pause at once."""
    hop_limit: int = Field(default=4, ge=1, le=32)
    """Nodes that a stream may pass through."""


class EdgeSettings(Section):
    """How an edge treats viewers and the streams they ask for."""

    hold_s: Seconds = 3.0
    """A viewer of a stream that does not exist waits so long for it to appear."""
    negative_cache_s: Seconds = 1.0
    """A stream that was not found is not looked up again for so long."""
    linger_s: Seconds = 10.0
    """A pull goes on for so long after its last viewer left."""
    grace_s: Seconds = 15.0
    """Viewers stay connected for so long after their stream was lost upstream."""
    recheck_s: Seconds = 30.0
    """A running pull's route is looked up again within this time: an announcement may be missed.

    Each pull has its own moment, after three quarters of it or later. With `zone_relay`, a pull
    also changes to the edge that its zone agrees on now, and one that has failed is not asked again
    for so long, or for twice as long each time that it fails again.
    """
    max_streams: int = Field(default=10_000, ge=1)
    """Streams per worker, names being waited for included; one more is refused."""
    zone_relay: bool = False
    """Whether edges of one zone (`node.zone`) share one pull of each stream from another zone.

    It saves traffic between zones: one copy of a stream instead of one per edge. It costs one more
    hop for the viewers of all edges but one, and a port for relays (`relay.port_base`).
    """


class FanoutSettings(Section):
    """How a stream is written to its viewers."""

    min_interval_ms: float = Field(default=0.0, ge=0, le=1000)
    """Time between two flushes of a stream, whatever they cost. 0: a message is written at once."""
    max_interval_ms: float = Field(default=100.0, ge=0, le=5000)
    """Longest time that a message waits for its flush, whatever flushes cost."""
    cpu_share: float = Field(default=0.15, gt=0, le=1)
    """Share of a core that flushes may take before the interval is stretched."""
    slice_viewers: int = Field(default=512, ge=16, le=100_000)
    """Viewers written to before other work gets a turn."""
    lag_limit_ms: float = Field(default=3000.0, ge=100, le=60_000)
    """A viewer that is behind by more is skipped to the next keyframe …"""
    lag_limit_bytes: int = Field(default=8 * 1024 * 1024, ge=65_536)
    """… and likewise by bytes."""
    kick_after_s: Seconds = 10.0
    """A viewer that cannot catch up for so long is disconnected."""
    unsent_bytes: int = Field(default=64 * 1024, ge=16_384)
    """What the kernel may hold unsent per viewer (TCP_NOTSENT_LOWAT); the rest is shared."""


class GopSettings(Section):
    """The cache that lets a viewer start at once."""

    max_seconds: Seconds = 10.0
    """Longest GOP that is kept."""
    max_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Largest GOP that is kept. 0: no cache."""
    max_packets: int = Field(default=4096, ge=0)
    """Most packets that are kept."""


class AdminSettings(Section):
    """Health, metrics and status over HTTP."""

    listen: Address = "127.0.0.1:8080"
    """Address of the admin port. Port 0: any free port."""


class SupervisorSettings(Section):
    """How the worker processes are kept alive."""

    heartbeat_s: Seconds = 1.0
    """Time between a worker's heartbeats."""
    heartbeat_timeout_s: Seconds = 10.0
    """A worker that is silent for so long is killed and replaced."""
    start_timeout_s: Seconds = 30.0
    """A new worker must be ready after so long."""
    backoff_min_s: Seconds = 0.2
    """Pause before a dead worker is replaced; doubles …"""
    backoff_max_s: Seconds = 10.0
    """… up to this while it keeps dying."""
    healthy_s: Seconds = 60.0
    """A worker that was ready for so long was well: pauses, and failures in a row, begin anew."""
    give_up_after: int = Field(default=10, ge=1)
    """When every worker has failed so often in a row, the node ends with an error."""
    drain_s: Seconds = 30.0
    """From SIGTERM to the end of the last connection, at most. A second signal: now."""
    retire_s: Seconds = 3600.0
    """After a reload the former workers keep their connections for so long, then they drain."""


class DrainSettings(Section):
    """How the clients of a node that leaves are sent elsewhere."""

    reconnect_url: ServerUrl = ""
    """Where clients that can are asked to reconnect; their app is added. Empty: where they were."""
    publishers_after_s: float = Field(default=1.0, ge=0, le=86_400)
    """So long after SIGTERM the first publisher is closed at a keyframe, the others one by one …"""
    asked_s: float = Field(default=5.0, ge=0, le=86_400)
    """… those that were asked to reconnect and are still here only after so long."""
    keyframe_wait_s: Seconds = 5.0
    """A publisher whose next keyframe does not come for so long is closed without one."""
    viewers_last_s: Seconds = 3.0
    """Viewers that are still here are closed one by one, so long before the deadline."""
    per_second: float = Field(default=50.0, gt=0, le=100_000)
    """Clients that a worker asks or closes in a second; more where the time would not suffice."""


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for machines: one object per line."""


class Settings(Section):
    """All settings of a node."""

    node: NodeSettings = NodeSettings()
    """Who this node is."""
    rtmp: RtmpSettings = RtmpSettings()
    """The RTMP port and its limits."""
    vhosts: list[HostName] = Field(default_factory=list)
    """Host names in tcUrl that are vhosts of their own; all others share the default vhost."""
    publish: PublishSettings = PublishSettings()
    """What publishers may do."""
    redis: RedisSettings = RedisSettings()
    """The routing table."""
    lease: LeaseSettings = LeaseSettings()
    """How long routes and nodes are believed."""
    relay: RelaySettings = RelaySettings()
    """Pulls between nodes."""
    edge: EdgeSettings = EdgeSettings()
    """Viewers and the streams they ask for."""
    fanout: FanoutSettings = FanoutSettings()
    """Writing a stream to its viewers."""
    gop: GopSettings = GopSettings()
    """The start-up cache."""
    admin: AdminSettings = AdminSettings()
    """Health and metrics."""
    supervisor: SupervisorSettings = SupervisorSettings()
    """Worker processes."""
    drain: DrainSettings = DrainSettings()
    """Sending clients elsewhere when the node leaves."""
    log: LogSettings = LogSettings()
    """Logging."""
