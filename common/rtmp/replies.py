"""The payloads of our answers and notices, exactly as clients want them [RTMP 1.0 §7.2].

What the real clients depend on, learned the hard way by other servers:

- a transaction id is echoed; GStreamer, ffmpeg and librtmp ignore any other and hang;
- an error has a description; ffmpeg waits for ever on one without;
- slot 3 of the createStream result is null; with undefined ffmpeg publishes on stream 0;
- OBS knows few error codes: for publish only BadName, Denied and Rejected.
"""

from typing import Any, Final

from common.rtmp.amf_values import UNDEFINED
from common.rtmp.command import encode_command

FMS_VERSION: Final = "FMS/3,5,7,7009"
"""What most servers send: a Flash Media Server that every client knows."""

FMS_CAPABILITIES: Final = 31

CLIENT_ID: Final = "headwater"
"""Flash Media Server names each client here; the value means nothing to anybody."""

RECONNECT: Final = 1
"""The bit of E-RTMP's capsEx that allows a ReconnectRequest."""

E_RTMP: Final[dict[str, Any]] = {
    # Reconnect, Multitrack, ModEx, TimestampNanoOffset: all are passed on untouched.
    "capsEx": 15,
    # Every codec can be forwarded (4) [E-RTMP v2, "Enhancing NetConnection connect command"].
    "videoFourCcInfoMap": {"*": 4},
    "audioFourCcInfoMap": {"*": 4},
}

SAMPLE_ACCESS: Final = b"\x02\x00\x11|RtmpSampleAccess\x01\x01\x01\x01"
"""A data message: Flash may read pixels and samples; without it scripts get security errors."""


def connect_result(transaction_id: float, object_encoding: float) -> bytes:
    """Return the answer to an accepted `connect`.

    The client's objectEncoding is echoed, as nginx-rtmp and SRS do: Flash wants its own back and
    accepts AMF0 answers all the same.
    """
    return encode_command(
        "_result",
        transaction_id,
        {"fmsVer": FMS_VERSION, "capabilities": FMS_CAPABILITIES, **E_RTMP},
        {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "Connection succeeded.",
            "objectEncoding": object_encoding,
            **E_RTMP,
        },
    )


def result(transaction_id: float, value: Any = UNDEFINED) -> bytes:
    """Return the answer to a call that worked; the command object slot is null."""
    return encode_command("_result", transaction_id, None, value)


def error(transaction_id: float, code: str, description: str) -> bytes:
    """Return the answer to a call that failed. The connection must be closed after it."""
    return encode_command("_error", transaction_id, None, _info("error", code, description))


def status(code: str, description: str, **extra: Any) -> bytes:
    """Return an onStatus notice of level "status"; ``extra`` goes into its info object."""
    return encode_command("onStatus", 0, None, _info("status", code, description) | extra)


def error_status(code: str, description: str) -> bytes:
    """Return an onStatus notice of level "error". The connection must be closed after it.

    ffmpeg ends on any; rtmpdump, and OBS for codes it does not know, wait for the close.
    """
    return encode_command("onStatus", 0, None, _info("error", code, description))


def publish_start(name: str) -> bytes:
    """Return the notice that every encoder waits for before it sends media."""
    return status("NetStream.Publish.Start", "Publishing.", details=name, clientid=CLIENT_ID)


def on_fc_publish(transaction_id: float) -> bytes:
    """Return the notice that FMLE and some appliances wait for before they publish."""
    info = _info("status", "NetStream.Publish.Start", "FCPublish.")
    return encode_command("onFCPublish", transaction_id, None, info)


def on_fc_unpublish() -> bytes:
    """Return the notice that follows FCUnpublish."""
    info = _info("status", "NetStream.Unpublish.Success", "FCUnpublish.")
    return encode_command("onFCUnpublish", 0, None, info)


def on_fc_subscribe() -> bytes:
    """Return the notice that ffmpeg's and librtmp's live mode asks for with FCSubscribe."""
    info = _info("status", "NetStream.Play.Start", "FCSubscribe.")
    return encode_command("onFCSubscribe", 0, None, info)


def reconnect_request(tc_url: str | None, description: str) -> bytes:
    """Return E-RTMP's ReconnectRequest; without ``tc_url`` the client comes back to us."""
    target = {} if tc_url is None else {"tcUrl": tc_url}
    return status("NetConnection.Connect.ReconnectRequest", description, **target)


def _info(level: str, code: str, description: str) -> dict[str, Any]:
    return {"level": level, "code": code, "description": description or code}
