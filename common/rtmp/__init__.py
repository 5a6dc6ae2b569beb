"""RTMP without input and output: bytes and time go in; events, messages and bytes come out.

Reading order: `message` and `limits` (the words), `handshake` and `digest` (the first 3073 bytes
each way), `chunk_reader` with `chunk_stream`, and `chunk_writer` (bytes to messages and back),
`control`, `amf_values`, `amf_cursor`, `amf0`, `amf3`, `command` and `aggregate` (what is inside
messages), `flow` (what keeps traffic in bounds), `events`, then `connection` (what both ends do
alike) and the two cores: `server` on `server_core` with `server_commands` and `replies`; and
`client` with `targets`.
"""
