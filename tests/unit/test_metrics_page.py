import pytest

from common.metrics_page import PAGE, page


@pytest.mark.interpreted  # the page is in the checkout
def test_the_committed_page_is_up_to_date() -> None:
    hint = "docs/metrics.md is stale: run `python -m common.metrics_page`"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


@pytest.mark.parametrize(
    "row",
    [
        "| `headwater_ready` | gauge |  |",
        "| `headwater_worker_restarts_total` | counter | `reason` |",
        "| `headwater_disconnects_total` | counter | `kind`, `reason` |",
        "| `headwater_relays` | gauge | `state`, `source` |",
        "| `headwater_first_frame_seconds` | histogram | `source` |",
    ],
)
def test_every_kind_of_metric_has_a_row(row: str) -> None:
    assert row in page()
