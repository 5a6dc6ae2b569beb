import pytest
from pydantic import SecretStr, ValidationError

from common.config.model import RedisSettings, RtmpSettings
from common.rtmp.limits import RtmpLimits


def test_limits_of_the_protocol_core_come_from_the_settings() -> None:
    assert RtmpSettings().limits() == RtmpLimits()
    assert RtmpSettings(max_chunk_streams=7).limits().max_chunk_streams == 7


def test_secrets_do_not_show() -> None:
    settings = RedisSettings(password=SecretStr("hunter2"), url=SecretStr("redis://:hunter2@h"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize(
    "url", ["redis://u:p#w@h:1", "redis://:hunter2/x@h", "redis://[::1", "redis://h:port"]
)
def test_a_redis_url_that_cannot_be_split_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError, match="must be a URL") as caught:
        RedisSettings(url=SecretStr(url))
    assert "hunter2" not in str(caught.value)
