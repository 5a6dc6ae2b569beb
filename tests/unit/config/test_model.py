from pathlib import Path

import pytest
from pydantic import SecretStr

from common.config.model import RedisSettings, RtmpSettings
from common.errors import ConfigError
from common.rtmp.limits import RtmpLimits


def test_limits_of_the_protocol_core_come_from_the_settings() -> None:
    assert RtmpSettings().limits() == RtmpLimits()
    assert RtmpSettings(max_chunk_streams=7).limits().max_chunk_streams == 7


def test_a_password_file_is_read_at_use(tmp_path: Path) -> None:
    file = tmp_path / "password"
    redis = RedisSettings(password_file=file)
    with pytest.raises(ConfigError, match=r"redis\.password_file: cannot read"):
        redis.read_password()
    file.write_text("first\n")
    assert redis.read_password() == "first"
    file.write_text("rotated")
    assert redis.read_password() == "rotated"


def test_without_a_password_file_the_setting_counts() -> None:
    assert RedisSettings(password=SecretStr("p")).read_password() == "p"
    assert RedisSettings().read_password() == ""


def test_secrets_do_not_show() -> None:
    settings = RedisSettings(password=SecretStr("hunter2"), url=SecretStr("redis://:hunter2@h"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
