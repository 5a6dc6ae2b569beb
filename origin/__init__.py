"""The node that accepts encoders and holds their streams.

Reading order: `app` (a worker put together), `role` (what clients are answered), `ingest` (a
publish session), `hub` (the streams), `claims`, `lease` and `ownership` (the right to serve one)
with `race`, `releases` and `sleep_watch`, `standby` and `warm` (who takes over), `probe` (a
second opinion on a suspicion), `reading` (publishers whom nobody watches).
"""
