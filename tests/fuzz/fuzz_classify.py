"""Audio and video bodies are classified or refused; tables and parsers agree."""

from common.errors import MediaError
from common.media import flv
from common.media.flv import SEVERAL_TRACKS, Classified
from common.media.gop import HeaderCache
from common.media.packet import HEADER_ROLES, Packet

_PARSERS = {8: flv._classify_audio, 9: flv._classify_video}


def _classify(type_id: int, body: bytes) -> Classified | None:
    try:
        return flv.classify(type_id, body)
    except MediaError:
        return None


def target(data: bytes) -> None:
    """Take ``data`` as a body of each type; cache it where it is a header."""
    for type_id, parse in _PARSERS.items():
        found = _classify(type_id, data)
        if found is None:
            continue
        assert parse(data) == found
        assert SEVERAL_TRACKS <= found.track <= 255
        if found.role in HEADER_ROLES:
            packet = Packet(type_id, 0, data, found.role, found.codec, found.track)
            cache = HeaderCache()
            assert cache.put(packet)
            assert not cache.put(packet)
    try:
        flv.composition_time_ms(data)
    except MediaError:
        return
