import pytest

from common.config.fields import settings_by_path
from common.config.reference import PAGE, page


@pytest.mark.interpreted  # the page is in the checkout
def test_the_committed_page_is_up_to_date() -> None:
    hint = "docs/settings.md is stale: run `python -m common.config.reference`"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


def test_every_setting_has_a_row_and_a_meaning() -> None:
    text = page()
    for setting in settings_by_path().values():
        assert f"| `{setting.path}` |" in text
        assert setting.meaning
