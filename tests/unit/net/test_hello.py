"""What a relay says of itself in `connect`, and what is made of it, whoever says it."""

from typing import Any

import pytest

from common.ids import NodeId
from common.media.recent import ResumePoint
from common.net.hello import PROPERTY, RelayHello, parse_hello
from common.rtmp import amf0
from common.rtmp.limits import RtmpLimits

POINT = ResumePoint(session=(1 << 53) - 1, type_id=9, track=-1, time_ms=(1 << 32) - 1)


@pytest.mark.parametrize(
    "since",
    [
        None,
        POINT,
        ResumePoint(session=1, type_id=8, track=255, time_ms=0, whole_gop=True),
    ],
)
def test_hello_comes_over_the_wire_as_it_was_said(since: ResumePoint | None) -> None:
    hello = RelayHello(node=NodeId("edge-1"), hops=(NodeId("edge-1"),), since=since)
    (heard,) = amf0.decode_all(amf0.encode(hello.to_properties()), RtmpLimits())
    assert isinstance(heard, dict)
    assert parse_hello(heard) == hello


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session", 0.0),
        ("session", float("nan")),
        ("session", "1"),
        ("type", 18.0),
        ("type", 8.5),
        ("track", -2.0),
        ("track", 256.0),
        ("time", -1.0),
        ("time", float(1 << 32)),
        ("time", None),
    ],
)
def test_place_that_makes_no_sense_is_none_and_the_relay_is_served(name: str, value: Any) -> None:
    said = RelayHello(node=NodeId("edge-1"), since=POINT).to_properties()[PROPERTY]
    numbers = {key: float(number) for key, number in said["since"].items()}
    hello = parse_hello({PROPERTY: said | {"since": numbers | {name: value}}})
    assert hello == RelayHello(node=NodeId("edge-1"))


@pytest.mark.parametrize("since", ["text", 1.0, [], {}])
def test_rubbish_in_place_of_the_place_is_none(since: Any) -> None:
    hello = parse_hello({PROPERTY: {"node": "edge-1", "hops": [], "since": since}})
    assert hello == RelayHello(node=NodeId("edge-1"))
