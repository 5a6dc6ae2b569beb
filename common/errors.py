"""The errors that packages share, as one tree. Those that one package keeps to itself stand there.

    HeadwaterError
    ├── PeerError               the other side of a connection broke the protocol
    │   ├── ProxyHeaderError    … in what a load balancer says before the handshake
    │   ├── HandshakeError      … in the RTMP handshake
    │   ├── ChunkError          … in the chunk stream
    │   ├── AmfError            … in an AMF0 or AMF3 value
    │   └── MediaError          … in an audio, video or data body
    ├── UsageError              we called our own code wrongly: a bug
    ├── StreamNameError         a stream name that is not allowed
    ├── ConfigError             a setting that is unknown or has a bad value
    ├── ClusterError            no stream could be had, or no routing table
    │   ├── StreamNotFound      nobody publishes the stream
    │   ├── StreamTaken         another publisher holds the stream and keeps it
    │   ├── DirectoryUnavailable  the table (Redis) cannot be reached just now
    │   └── RecordError         a record in the table is broken or of a newer release
    └── RelayError              a pull from another node failed

Each holds its facts as attributes and makes its own sentence.
"""


class HeadwaterError(Exception):
    """Base of all errors raised by Headwater."""


class PeerError(HeadwaterError):
    """The peer sent something that the protocol or our limits do not allow.

    Connections never let it escape: they close with ``reason`` in the log.
    ``reason`` is a short stable word for metrics, ``detail`` a sentence for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ProxyHeaderError(PeerError):
    """A trusted proxy sent no PROXY protocol header, or a broken one."""


class HandshakeError(PeerError):
    """The RTMP handshake cannot go on."""


class ChunkError(PeerError):
    """The chunk stream is broken or over a limit."""


class AmfError(PeerError):
    """An AMF0 or AMF3 value is broken or over a limit."""


class MediaError(PeerError):
    """An audio, video or data body is broken."""


class UsageError(HeadwaterError):
    """Our own code was called in a way that its contract forbids."""


class StreamNameError(HeadwaterError):
    """A stream name that is not allowed; ``problem`` says what to change."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"stream name {name[:80]!r}: {problem}")
        self.name = name
        self.problem = problem


class ConfigError(HeadwaterError):
    """One or more settings are wrong; ``problems`` has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ClusterError(HeadwaterError):
    """A stream or the routing table could not be had."""


class StreamNotFound(ClusterError):
    """Nobody publishes ``stream``, and nobody came while we waited."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"{stream} is not being published")
        self.stream = stream


class StreamTaken(ClusterError):
    """Another publisher holds ``stream`` and the policy lets it keep it."""

    def __init__(self, stream: str, holder: str) -> None:
        super().__init__(f"{stream} is already published at {holder}")
        self.stream = stream
        self.holder = holder


class DirectoryUnavailable(ClusterError):
    """The routing table cannot be reached; what we know stays in force."""


class RecordError(ClusterError):
    """A record in the table is broken or was written by a newer release; it counts as absent."""


class RelayError(HeadwaterError):
    """A pull from another node failed; ``reason`` is a short stable word for metrics."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
