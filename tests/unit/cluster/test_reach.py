"""Whether the table is within reach: told once for each change."""

import logging

import pytest

from common.cluster.reach import Reach
from common.logs import get_log


def test_a_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reach = Reach(get_log("cluster.reach"), "known routes serve on")
    reach.back()
    assert reach.ok
    assert not caplog.records
    reach.lost("timed out")
    reach.lost("announcements are missed")
    assert not reach.ok
    reach.back()
    reach.back()
    assert reach.ok
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "known routes serve on" in caplog.records[0].getMessage()
