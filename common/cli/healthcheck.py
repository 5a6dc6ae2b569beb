"""`headwater healthcheck`: asks the node on this machine how it is, where there is no curl."""

from http.client import HTTPConnection, HTTPException
from typing import Final

from common.cli.options import Question
from common.config.address import join_address, split_address
from common.errors import HeadwaterError

_HERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_OK: Final = 200


_PATHS: Final = {
    Question.LIVE: "/livez",
    Question.READY: "/readyz",
    Question.STARTED: "/startupz",
}


class NotWell(HeadwaterError):
    """The node says no, or says nothing."""


def ask(question: Question, listen: str, timeout_s: float) -> str:
    """Return the answer of the node whose admin port listens on ``listen``.

    Raises `NotWell`.
    """
    host, port = split_address(listen)
    host = _HERE.get(host, host)
    if not port:
        raise NotWell("admin.listen has port 0: which one the node has found cannot be known")
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", _PATHS[question])
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        address = join_address(host, port)
        raise NotWell(f"no answer from {address}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise NotWell(text)
    return text
