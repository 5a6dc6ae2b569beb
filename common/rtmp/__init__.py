"""RTMP without input and output: bytes and time go in; events, messages and bytes come out.

Reading order: `message` and `limits` (the words), `handshake` and `digest` (the first 3073 bytes
each way), `chunk_reader` and `chunk_writer` (bytes to messages and back), `control`, `amf_values`,
`amf0`, `amf3`, `command` and `aggregate` (what is inside messages), `events`, then the two
connection cores, `server` and `client`.
"""
