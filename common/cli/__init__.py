"""The command line.

Reading order: `main` (the commands), `options` (how they become settings), `config_view`, `streams`
and its `stream_rows`, `healthcheck`, `bench` (each the body of one command).
"""
