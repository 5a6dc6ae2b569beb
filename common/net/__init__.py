"""RTMP over asyncio: the shells round the sans-IO connection cores.

Reading order: `connection` (one accepted connection), `session` (what its client asks for),
`playback` (one play of a session), `server` (listeners and the limits over all connections).
"""
