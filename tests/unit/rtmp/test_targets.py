import pytest

from common.errors import ConfigError
from common.rtmp.targets import parse_rtmp_url

GOOD = [
    ("rtmp://h/live/a", "h", 1935, "live", "a", "rtmp://h/live"),
    ("RTMP://Host:1936/live/a", "host", 1936, "live", "a", "rtmp://Host:1936/live"),
    ("rtmp://h/live/a?token=x/y", "h", 1935, "live", "a?token=x/y", "rtmp://h/live"),
    ("rtmp://h/live?k=v/a", "h", 1935, "live?k=v", "a", "rtmp://h/live?k=v"),
    ("rtmp://h/live/?clientConfigId=1", "h", 1935, "live", "?clientConfigId=1", "rtmp://h/live"),
    ("rtmp://h/live/a/b/c", "h", 1935, "live/a/b", "c", "rtmp://h/live/a/b"),
    ("rtmp://h//live//a", "h", 1935, "live", "a", "rtmp://h/live"),
    ("rtmp://[::1]:99/live/a", "::1", 99, "live", "a", "rtmp://[::1]:99/live"),
    ("rtmp://[fe80::2]/live/a", "fe80::2", 1935, "live", "a", "rtmp://[fe80::2]/live"),
]


@pytest.mark.parametrize(("url", "host", "port", "app", "name", "tc_url"), GOOD)
def test_url_is_split_at_the_last_slash_of_its_path(
    url: str, host: str, port: int, app: str, name: str, tc_url: str
) -> None:
    target = parse_rtmp_url(url)
    assert (target.host, target.port, target.app) == (host, port, app)
    assert (target.stream_name, target.tc_url) == (name, tc_url)


BAD = [
    ("http://h/live/a", "must begin with rtmp://"),
    ("rtmfp://h/live/a", "must begin with rtmp://"),
    ("rtmp://h/live", "needs an app and a stream name"),
    ("rtmp://h/live/", "needs an app and a stream name"),
    ("rtmp://h", "needs an app and a stream name"),
    ("rtmp:///live/a", "needs a host"),
    ("rtmp://user:pw@h/live/a", "without user or password"),
    ("rtmp://h:99999/live/a", "Port out of range"),
    ("rtmp://[::1/live/a", "Invalid IPv6 URL"),
]


@pytest.mark.parametrize(("url", "problem"), BAD)
def test_bad_url_is_refused_with_the_reason(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_rtmp_url(url)


def test_the_query_is_not_shown_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rtmp_url("rtmp://h/live?token=secret")
    assert "secret" not in str(caught.value)
