"""The forms of single settings: what a text must look like, and the words for it.

Each is checked where it is read, so that a bad value is refused with its path and what is allowed.
"""

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema

from common.config.address import split_address


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_redis_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    try:
        _ = urlsplit(text).port  # raises for a host or port that is none
    except ValueError:
        # Its own words would show the piece that did not fit, often part of a password.
        raise ValueError(
            "must be a URL; special characters of a password must be percent-encoded"
        ) from None
    return url


def _checked_server_url(url: str) -> str:
    parts = urlsplit(url)
    beyond = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("rtmp", "rtmps") or not parts.hostname or beyond:
        raise ValueError("must be rtmp://host:port or rtmps://host:port, without a path")
    _ = parts.port  # raises for one that is none
    return url.rstrip("/")


def _checked_network(network: str) -> str:
    try:
        ip_network(network)
    except ValueError as error:
        raise ValueError(
            f"must be an IP address or a network such as 10.0.0.0/8: {error}"
        ) from None
    return network


def _text_schema(form: str) -> WithJsonSchema:
    # `examples` carries the words that messages and the reference page use for this form.
    return WithJsonSchema({"type": "string", "examples": [form]})


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Word = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]{0,128}$"),
    _text_schema("at most 128 letters, digits, dots, dashes and underscores"),
]
Address = Annotated[str, AfterValidator(_checked_address), _text_schema("host:port")]
HostName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._:-]{0,253}$"), _text_schema("a host name or IP address")
]
Network = Annotated[
    str, AfterValidator(_checked_network), _text_schema("an IP address or network (10.0.0.0/8)")
]
ServerUrl = Annotated[
    str,
    AfterValidator(lambda url: _checked_server_url(url) if url else url),
    _text_schema("rtmp://host:port or rtmps://host:port"),
]
RedisUrl = Annotated[
    SecretStr,
    AfterValidator(_checked_redis_url),
    _text_schema("a redis://, rediss:// or unix:// URL"),
]
