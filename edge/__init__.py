"""The node that pulls streams from origins and fans them out to viewers.

Reading order: `app` (a worker put together), `role` (what clients are answered), `streams` (a pull
each), `pull` (finds a source, relays, finds the next one), `relay` (one of its relays), `patience`
(how long it goes on), `target` (from where) with `locate` (the routing table as a worker knows it),
`rendezvous` and `zone` (who pulls for all).
"""
