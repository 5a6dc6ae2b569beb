"""Stream names: a key is safe, resolves to itself, and does not depend on where a URL is cut."""

import string
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import StreamNameError
from common.streamkey import resolve, to_request

TRICKY = st.sampled_from(
    [
        "mp4:",
        ".flv",
        "_definst_",
        "/",
        "..",
        "?",
        "&",
        "vhost=",
        "...vhost...",
        "a",
        "@",
        "%2e",
        "b.c",
    ]
)
TEXTS = st.lists(TRICKY | st.text(max_size=3), max_size=8).map("".join)
SAFE = "abcABC019_-~+."
ALLOWED = frozenset(string.ascii_letters + string.digits + "_-~+.")


@given(TEXTS, TEXTS, TEXTS)
@example("live", "a.flv/mp4:_definst_.mp4", "")
def test_a_key_is_safe_and_resolves_to_itself(app: str, name: str, tc_url: str) -> None:
    with suppress(StreamNameError):
        stream = resolve(app, name, tc_url, vhosts=["a"])
        path, _, vhost = stream.key.partition("@")
        parts = path.split("/")
        assert len(parts) >= 2
        assert len(stream.key.encode()) <= 255
        assert stream.app == parts[0]
        for part in [*parts, vhost or "default"]:
            assert not part.startswith(".")
            assert set(part) <= ALLOWED
        assert resolve(*to_request(stream.key)).key == stream.key


PARTS = st.lists(st.text(SAFE, min_size=1, max_size=6), min_size=2, max_size=5)


@given(PARTS, st.data())
def test_c60_a_key_does_not_depend_on_the_cut(parts: list[str], data: st.DataObject) -> None:
    keys = set()
    for cut in range(len(parts) + 1):
        noise = data.draw(st.sampled_from(["", "/", "/_definst_"]))
        try:
            keys.add(str(resolve("/".join(parts[:cut]) + noise, "/".join(parts[cut:])).key))
        except StreamNameError:
            keys.add("refused")
    assert len(keys) == 1
