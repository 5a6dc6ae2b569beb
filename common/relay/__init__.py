"""Pulling a stream from another node, or from another worker of this one: `upstream`, `feed`."""
