"""Live streams inside a worker, and their fan-out.

Reading order: `live` (a stream: caches and outputs), `output` (one serialisation and the viewers
that share it), `viewer` (one viewer), `flusher` (when and how blocks are written), `ingest` (from
messages to packets).
"""
