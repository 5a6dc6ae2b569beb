"""Fixtures that every test may use."""

pytest_plugins = ["tests.support.redis"]

# They need other tools, in another environment: `make chart-test`, `make image-test`.
collect_ignore = ["chart", "image"]
