"""Any app, name and tcUrl are refused or make a key that is safe and resolves to itself."""

import string

from common.errors import StreamNameError
from common.streamkey import MAX_KEY_BYTES, resolve, to_request

_ALLOWED = frozenset(string.ascii_letters + string.digits + "_-~+./@")


def target(data: bytes) -> None:
    """Take the lines of ``data`` as app, name and tcUrl."""
    text = data.decode("utf-8", "surrogateescape")
    app, name, tc_url = (*text.split("\n", 2), "", "")[:3]
    try:
        stream = resolve(app, name, tc_url, vhosts=["a.example"])
    except StreamNameError as error:
        str(error).encode()
        return
    assert set(stream.key) <= _ALLOWED
    assert len(stream.key) <= MAX_KEY_BYTES
    assert ".." not in stream.key.split("/")
    assert resolve(*to_request(stream.key)).key == stream.key
