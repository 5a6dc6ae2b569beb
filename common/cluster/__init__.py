"""The routing table: who holds which stream, which nodes there are, and what changes.

Reading order: `records` (what it holds), `directory` (what can be asked of it), `announcements` and
`reach` (how a worker lives with it); then the two that there are: `redis_directory` with
`redis_scripts`, `redis_events`, `redis_recovery`, `redis_connect`, `keys`, `codec` and `fields`;
and `memory`.
"""
