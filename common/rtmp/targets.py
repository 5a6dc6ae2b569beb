"""RTMP URLs as ffmpeg and OBS understand them, for the client core."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from common.errors import ConfigError

DEFAULT_PORT = 1935
_SCHEME = "rtmp://"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtmpTarget:
    """Where to connect, and what to say there.

    ``host`` is without brackets; ``app`` and ``stream_name`` keep their query strings;
    ``tc_url`` is the URL up to and including the app, with host and port as they were typed.
    """

    host: str
    port: int
    app: str
    stream_name: str
    tc_url: str


def parse_rtmp_url(url: str) -> RtmpTarget:
    """Split ``rtmp://host[:port]/app/name[?query]`` at the last slash of its path.

    With two path components, which every client splits alike, the result is what they all send.
    Raises ConfigError with a sentence that says what is wrong.
    """
    if url[: len(_SCHEME)].lower() != _SCHEME:
        raise ConfigError([f"{_shown(url)}: must begin with {_SCHEME}"])
    authority, _, path = url[len(_SCHEME) :].partition("/")
    host, port = _split_authority(url, authority)
    app, name = _split_path(path)
    if not app or not name:
        raise ConfigError([f"{_shown(url)}: needs an app and a stream name: rtmp://host/app/name"])
    return RtmpTarget(
        host=host, port=port, app=app, stream_name=name, tc_url=f"{_SCHEME}{authority}/{app}"
    )


def _split_authority(url: str, authority: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{authority}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError([f"{_shown(url)}: {error}"]) from error
    if not host or "@" in authority:
        raise ConfigError(["an rtmp:// URL needs a host, without user or password"])
    return host, DEFAULT_PORT if port is None else port


def _split_path(path: str) -> tuple[str, str]:
    path = path.lstrip("/")
    head, mark, query = path.partition("?")
    if "/" in head:
        app, _, name = head.rpartition("/")
        return app.rstrip("/"), name + mark + query
    # OBS style, the token with the app: rtmp://host/live?key=v/name
    app, _, name = path.rpartition("/")
    return app, name


def _shown(url: str) -> str:
    """Return the URL for a message: without the query, where secrets live."""
    return repr(url.partition("?")[0][:200])
