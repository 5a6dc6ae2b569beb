"""Live streams inside a worker, and their fan-out.

Reading order: `live` (a stream: caches and outputs), `source` (where it comes from), `output` (one
serialisation and the viewers that share it), `beginnings` (what these begin with), `blocks` (its
bytes), `viewer` (one viewer), `flushable` and `flusher` (when and how blocks are written), `pace`
(how far apart), `lag` (who is behind), `ingest` (from messages to packets).
"""
