"""What was logged, as a text to search: messages with their fields."""

import pytest

from common.logs import TextFormatter


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return the lines as an operator sees them."""
    formatter = TextFormatter({})
    return "\n".join(formatter.format(record) for record in caplog.records)
