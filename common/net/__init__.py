"""RTMP over asyncio: the shells round the sans-IO connection cores.

Reading order: `connection` (one accepted connection) on its `transport`, `session` (what its client
asks for) through its `link`, `playback` (one play of a session), `roles` (what origin and edge
answer), `hello` (how nodes know each other), `services`, `registry` and `deadlines` (what all
connections of a worker share), `server` (listeners), `door` and `proxy_protocol` (who comes in),
`drain`, `last_gop` and `parting` (how clients leave), `meters` (figures).
"""
