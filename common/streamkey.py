"""A stream's canonical key, made from whatever split of its URL a client sends.

Of ``/live/a/b/c`` ffmpeg makes the app ``live/a`` and the name ``b/c``, librtmp and GStreamer
``live/a/b`` and ``c``, OBS whatever stands in its two fields; names get suffixes and prefixes;
tokens stand in four places. All of that is undone here and nowhere else, so that a stream has one
name in Redis, logs, metrics and URLs: ``app/name``, or ``app/name@vhost`` off the default vhost.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from common.errors import StreamNameError
from common.ids import StreamKey

MAX_KEY_BYTES: Final = 255
"""Longest key; longer names have overflowed other servers' buffers and file systems."""

MAX_PARAMETERS: Final = 64
"""Of all queries together; a URL has a handful."""

_COMPONENT: Final = re.compile(r"[A-Za-z0-9_\-~+][A-Za-z0-9_\-~+.]*", re.ASCII)
_ALLOWED: Final = "letters, digits and _ - . ~ +, no dot first"
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*", re.ASCII)
_INSTANCE: Final = "_definst_"  # FMS's name for an app's default instance; clients add it
_PREFIXES: Final = ("mp4:", "flv:", "mp3:", "f4v:")  # ffmpeg and librtmp add them …
_SUFFIXES: Final = (".flv", ".mp4", ".f4v", ".mp3")  # … and strip these, in their own ways
_VHOST_IN_APP: Final = "...vhost..."  # an old notation of SRS
_DEFAULT_VHOSTS: Final = frozenset({"__defaultvhost__", "_defaultvhost_"})  # SRS, FMS


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamName:
    """A stream as a client named it.

    ``app`` is the first component of the key, ``query`` the decoded parameters (where tokens
    are), ``raw_query`` the same as they were sent, to be passed on.
    """

    key: StreamKey
    app: str
    query: dict[str, str] = field(default_factory=dict, repr=False)
    raw_query: str = field(default="", repr=False)


def resolve(app: str, name: str, tc_url: str = "", vhosts: Collection[str] = ()) -> StreamName:
    """Return the stream that a client means by the app, name and tcUrl that it sent.

    ``vhosts`` are the host names that are vhosts when they stand in tcUrl; any other host there
    is one of the cluster's many names. A vhost asked for by ``?vhost=`` or ``?domain=`` counts in
    any case. Where a parameter is given twice, the name's query wins over the app's, that over
    tcUrl's. Raises StreamNameError with a problem that says what is allowed.
    """
    app_path, _, app_query = app.strip().partition("?")
    name_path, _, name_query = name.strip().partition("?")
    app_path, app_vhost = _split_vhost(app_path)
    host, tc_query = _split_tc_url(tc_url)
    parts = _components(app_path, name_path)
    if len(parts) < 2 and "/" in app_query:
        # "app?key=value/name": the client did not see that the query ends before the name. With
        # a name at hand, a slash in the query belongs to a token (base64) instead.
        app_query, _, rest = app_query.partition("/")
        parts = _components(app_path, rest)
    queries = "&".join((name_query, app_query, tc_query))
    if queries.count("&") >= MAX_PARAMETERS:
        raise StreamNameError("/".join(parts), f"over {MAX_PARAMETERS} parameters follow it")
    query, raw_query = _merge(queries)
    vhost = _vhost(query, app_vhost, host, vhosts)
    key = _checked_key(parts, vhost)
    return StreamName(key=key, app=parts[0], query=query, raw_query=raw_query)


def to_request(key: StreamKey) -> tuple[str, str]:
    """Return an app and a name that `resolve` to ``key`` on any node: what a relay asks for."""
    path, _, vhost = key.partition("@")
    app, _, name = path.partition("/")
    return app, f"{name}?vhost={vhost}" if vhost else name


def _components(app_path: str, name_path: str) -> list[str]:
    """Return the parts of the joined path, without what clients add."""
    name_path = _bare(name_path.lstrip("/"))  # "mp4:a/b": the prefix is the whole name's
    parts = [part for part in f"{app_path}/{name_path}".split("/") if part not in ("", _INSTANCE)]
    while parts:
        last = _bare(parts[-1])
        if last not in ("", _INSTANCE):
            parts[-1] = last
            break
        parts.pop()
    return parts


def _bare(name: str) -> str:
    """Strip prefixes and suffixes until none is left, so that a key resolves to itself."""
    while True:
        before = name
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        if name == before:
            return name


def _split_vhost(app_path: str) -> tuple[str, str]:
    head, mark, tail = app_path.partition(_VHOST_IN_APP)
    if not mark:
        return app_path, ""
    vhost, slash, rest = tail.partition("/")
    return head + slash + rest, vhost


def _split_tc_url(tc_url: str) -> tuple[str, str]:
    """Return the host, in lower case and without port, and the query of a tcUrl."""
    url = tc_url.strip().strip("'\"")  # Neko quotes it
    url, _, query = url.partition("?")
    _, _, rest = url.partition("://")
    authority = rest.partition("/")[0].rpartition("@")[2]
    if authority.startswith("["):  # an IPv6 address
        return authority[1:].partition("]")[0].lower(), query
    return _host_name(authority), query


def _host_name(authority: str) -> str:
    return authority.partition(":")[0].lower().rstrip(".")


def _merge(queries: str) -> tuple[dict[str, str], str]:
    """Merge queries, the strongest first; return them decoded and as they were."""
    query: dict[str, str] = {}
    raw: list[str] = []
    for pair in queries.split("&"):
        key, _, value = pair.partition("=")
        key = unquote(key)
        if key and key not in query:
            # Senders mostly do not encode values; a "+" is a plus, as in base64.
            query[key] = unquote(value)
            raw.append(pair)
    return query, "&".join(raw)


def _vhost(query: dict[str, str], app_vhost: str, host: str, vhosts: Collection[str]) -> str:
    """Return the vhost that is meant, "" for the default one."""
    for asked in (query.get("vhost"), query.get("domain"), app_vhost):
        if asked:
            vhost = _host_name(asked)
            if vhost in _DEFAULT_VHOSTS:
                return ""
            if not _HOST.fullmatch(vhost):
                raise StreamNameError(asked, "the vhost is not a host name")
            return vhost
    listed = _HOST.fullmatch(host) and host in {vhost.lower() for vhost in vhosts}
    return host if listed else ""


def _checked_key(parts: list[str], vhost: str) -> StreamKey:
    path = "/".join(parts)
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            raise StreamNameError(path, f"{part[:40]!r} is not allowed: only {_ALLOWED}")
        if _VHOST_IN_APP in part:  # such a key would not resolve to itself
            raise StreamNameError(path, f"{_VHOST_IN_APP} stands after the app only, and once")
    if len(parts) < 2:
        raise StreamNameError(path, "it needs an app and a name, as in live/camera1")
    key = f"{path}@{vhost}" if vhost else path
    if len(key) > MAX_KEY_BYTES:  # all ASCII by now
        raise StreamNameError(path, f"it has {len(key)} bytes; {MAX_KEY_BYTES} are allowed")
    return StreamKey(key)
