"""Whatever stands in the table decodes to a record or to `RecordError`, and encodes again."""

from contextlib import suppress

from common.cluster import codec
from common.errors import RecordError


def target(data: bytes) -> None:
    """Decode ``data`` as each kind of record."""
    with suppress(RecordError):
        claim = codec.decode_claim(data)
        assert codec.decode_claim(codec.encode_claim(claim)) == claim
    with suppress(RecordError):
        node = codec.decode_node(data)
        assert codec.decode_node(codec.encode_node(node)) == node
    with suppress(RecordError):
        load = codec.decode_load(data)
        assert codec.decode_load(codec.encode_load(load)) == load
    with suppress(RecordError):
        codec.decode_announcement(data)
