"""A cluster on one machine: for developers, the demo, tests and benches.

Reading order: `up` and `demo` (the commands), `cluster` of `node_process` and `redis_server`,
`staged`, `ending` and `guard` (how parts begin and end), `admin` (asking a node), `client`,
`player`, `probe`, `ffmpeg` and `tap` (those who publish and watch), `demo_figures` and
`demo_view`.
"""
