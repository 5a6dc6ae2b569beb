"""The routing table: who holds which stream, which nodes there are, and what changes."""
