from common.local.admin import MetricsPage

PAGE = """\
# TYPE headwater_viewers gauge
headwater_viewers{kind="player"} 3.0
headwater_viewers{kind="relay"} 2.0
# TYPE headwater_messages_in counter
headwater_messages_in_total{type="video"} 7.0
"""


def test_samples_are_added_up_by_name_and_labels() -> None:
    page = MetricsPage(PAGE)
    assert page.value("headwater_viewers") == 5
    assert page.value("headwater_viewers", kind="relay") == 2
    assert page.value("headwater_messages_in_total", type="video") == 7
    assert page.value("headwater_viewers", kind="sibling") == 0
