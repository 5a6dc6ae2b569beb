"""Fixtures that every test may use."""

pytest_plugins = ["tests.support.redis"]

# They need other tools: `make chart-test`, `make image-test`, `make cluster-test`.
collect_ignore = ["chart", "image", "kubernetes"]
