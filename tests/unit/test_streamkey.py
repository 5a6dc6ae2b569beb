import pytest

from common.errors import StreamNameError
from common.ids import StreamKey
from common.streamkey import MAX_PARAMETERS, resolve, to_request


# conformance 60
@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("live/a", "b/c"),  # ffmpeg
        ("live/a/b", "c"),  # librtmp, GStreamer
        ("live", "a/b/c"),
        ("live/a/b/c", ""),  # gortmplib, whole path in the app
        ("", "live/a/b/c"),
        ("/live//a/", "/b//c/"),
        ("live/_definst_", "a/b/c"),
        ("live/_definst_/a", "b/c/_definst_"),
        ("live", "mp4:a/b/c.mp4"),
        ("live/a/b", "mp4:c"),
        ("live/a/b", "flv:c.flv"),
        ("live/a/b", "c.flv"),
        ("live/a/b/c.flv", "?k=v"),
        (" live/a ", "b/c\n"),
    ],
)
def test_c60_every_split_of_a_url_is_one_stream(app: str, name: str) -> None:
    stream = resolve(app, name)
    assert stream.key == "live/a/b/c"
    assert stream.app == "live"


# conformance 61
@pytest.mark.parametrize(
    ("app", "name", "tc_url"),
    [
        ("live", "cam?token=x/y+z%3D", ""),
        ("live?token=x/y+z%3D", "cam", ""),
        ("live/cam?token=x/y+z%3D", "", ""),
        ("live/cam", "?token=x/y+z%3D", ""),
        ("live", "cam", "rtmp://host/live?token=x/y+z%3D"),
    ],
)
def test_c61_a_token_is_found_wherever_it_stands(app: str, name: str, tc_url: str) -> None:
    stream = resolve(app, name, tc_url)
    assert stream.key == "live/cam"
    assert stream.query == {"token": "x/y+z="}
    assert stream.raw_query == "token=x/y+z%3D"


def test_c61_a_name_may_stand_behind_the_apps_query() -> None:
    stream = resolve("live?token=x/cam", "")
    assert stream.key == "live/cam"
    assert stream.query == {"token": "x"}


def test_c61_the_name_wins_over_the_app_and_the_app_over_tc_url() -> None:
    stream = resolve("live?b=app&c=app", "cam?c=name&c=again&d", "rtmp://h/live?a=tc&b=tc&c=tc")
    assert stream.query == {"a": "tc", "b": "app", "c": "name", "d": ""}
    assert stream.raw_query == "c=name&d&b=app&a=tc"


def test_parameters_without_end_are_refused_before_they_are_decoded() -> None:
    many = "&".join(f"k{at}" for at in range(MAX_PARAMETERS - 2))  # the two other queries count
    assert len(resolve("live", f"cam?{many}").query) == MAX_PARAMETERS - 2
    with pytest.raises(StreamNameError, match="parameters") as caught:
        resolve("live?secret=1", f"cam?{many}&more")
    assert "secret" not in str(caught.value)


# conformance 62
@pytest.mark.parametrize(
    ("app", "name", "tc_url", "key"),
    [
        ("live", "cam", "rtmp://a.example/live", "live/cam@a.example"),
        ("live", "cam", "rtmp://A.Example:1935/live", "live/cam@a.example"),
        ("live", "cam", "rtmp://user:pass@a.example/live/", "live/cam@a.example"),
        ("live", "cam", "'rtmp://a.example/live'", "live/cam@a.example"),  # Neko
        ("live", "cam", "rtmp://a.example.", "live/cam@a.example"),
        ("live", "cam", "rtmp://b.example/live", "live/cam"),
        ("live", "cam", "rtmp://[::1]:1935/live/", "live/cam"),
        ("live", "cam", "", "live/cam"),
        ("live", "cam", "nonsense", "live/cam"),
        ("live", "cam?vhost=B.example", "rtmp://a.example/live", "live/cam@b.example"),
        ("live?vhost=b.example:1935", "cam", "", "live/cam@b.example"),
        ("live", "cam?domain=b.example", "rtmp://a.example/live", "live/cam@b.example"),
        ("live", "cam?domain=c.example&vhost=b.example", "", "live/cam@b.example"),
        ("live...vhost...b.example", "cam", "rtmp://a.example/live", "live/cam@b.example"),
        ("live...vhost...b.example/room", "cam", "", "live/room/cam@b.example"),
        ("live", "cam?vhost=__defaultVhost__", "rtmp://a.example/live", "live/cam"),
        ("live", "cam?vhost=", "rtmp://a.example/live", "live/cam@a.example"),
    ],
)
def test_c62_vhosts(app: str, name: str, tc_url: str, key: str) -> None:
    assert resolve(app, name, tc_url, vhosts=["A.example", "::1"]).key == key


@pytest.mark.parametrize("vhost", ["a b", "-x", "a..b", "[::1]", "a/b", "ä.example", "x" * 64])
def test_a_vhost_that_is_no_host_name_is_refused(vhost: str) -> None:
    with pytest.raises(StreamNameError, match="host name"):
        resolve("live", f"cam?vhost={vhost}")


@pytest.mark.parametrize(
    ("app", "name", "problem"),
    [
        ("", "", "app and a name"),
        ("live", "", "app and a name"),
        ("", "cam", "app and a name"),
        ("live", "?token=x", "app and a name"),
        ("live", "_definst_", "app and a name"),
        ("live", "mp4:", "app and a name"),
        ("live", "..", "only letters"),
        ("live", "../../etc/passwd", "only letters"),
        ("live/..", "cam", "only letters"),
        ("live", "./cam", "only letters"),
        ("live", ".hidden", "only letters"),
        ("live", "a b", "only letters"),
        ("live", "a\x00b", "only letters"),
        ("live", "a\nb", "only letters"),
        ("live", "a\\b", "only letters"),
        ("live", "a:b", "only letters"),
        ("live", "a%2e", "only letters"),
        ("live", "a@b", "only letters"),
        ("", "live...vhost...b.example/cam", "after the app only"),
        ("live...vhost...b.example/x...vhost...b.example", "cam", "after the app only"),
        ("live", "ä", "only letters"),
        ("live", "\udcff", "only letters"),
        ("live", "x" * 251, "256 bytes; 255 are allowed"),
        ("live", "x" * 241 + "?vhost=a.example", "255 are allowed"),
        ("a/" * 200, "cam", "255 are allowed"),
    ],
)
def test_names_that_are_not_allowed(app: str, name: str, problem: str) -> None:
    with pytest.raises(StreamNameError, match=problem):
        resolve(app, name)


def test_an_error_does_not_show_tokens() -> None:
    with pytest.raises(StreamNameError) as caught:
        resolve("live?token=secret", "a b?key=secret", "rtmp://h/live?tc=secret")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(resolve("live?token=secret", "cam"))


def test_the_longest_name_is_allowed() -> None:
    assert len(resolve("live", "x" * 250).key) == 255
    assert resolve("live", "A-z_0.9~+").key == "live/A-z_0.9~+"


@pytest.mark.parametrize("key", ["live/cam", "live/a/b", "live/cam@a.example", "a.flv/b@x"])
def test_a_request_for_a_key_resolves_to_it(key: str) -> None:
    assert resolve(*to_request(StreamKey(key)), "rtmp://10.0.0.1/live").key == key
