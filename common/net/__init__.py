"""RTMP over asyncio: the shells round the sans-IO connection cores.

Reading order: `connection` (one accepted connection), `session` (what its client asks for),
`playback` (one play of a session), `roles` (what origin and edge answer), `services` and `registry`
(what all connections of a worker share), `server` (listeners).
"""
