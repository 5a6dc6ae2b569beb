import pytest

from common.config.checks import relay_ports_problem
from common.config.loader import load_settings
from common.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["lease.renew_s=10"], "--set: lease.renew_s must be less than lease.ttl_s (10)"),
        (["lease.ttl_s=2"], "default: lease.renew_s must be less than lease.ttl_s (2)"),
        (["relay.backoff_min_s=3"], "relay.backoff_min_s must not be over relay.backoff_max_s"),
        (["supervisor.backoff_min_s=11"], "supervisor.backoff_min_s must not be over"),
        (["supervisor.heartbeat_s=10"], "supervisor.heartbeat_s must be less than"),
        (["fanout.min_interval_ms=101"], "fanout.min_interval_ms must not be over"),
        (["rtmp.max_partial_bytes=65536"], "rtmp.max_partial_bytes must be at least"),
        (["relay.port_base=65533"], "relay.port_base is too high: 1 workers"),
        (["relay.port_base=65529", "node.workers=2"], "relay.port_base is too high: 2 workers"),
        (["redis.mode=sentinel"], "redis.sentinels must name at least one sentinel"),
        (["redis.sentinels=[a:1]"], "redis.sentinels has no use when redis.mode is single"),
        (["redis.mode=cluster", "redis.url=redis://h/3"], "redis.url must not name a database"),
        (["redis.mode=cluster", "redis.url=unix:///r"], "redis.url must not be a Unix socket"),
        (["redis.password=a", "redis.password_file=/b"], "redis.password and redis.password_file"),
        (["redis.password=a", "redis.url=redis://:b@h"], "redis.password and the one in redis.url"),
        (["redis.url=rediss://h", "redis.tls_key_file=/k"], "redis.tls_cert_file and"),
        (["redis.tls_ca_file=/ca"], "redis.url must begin with rediss://"),
    ],
)
def test_contradictions_are_refused(overrides: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(file=None, environ={}, overrides=overrides)
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_relay_ports_are_enough_for_reloads_up_to_the_last_port() -> None:
    assert not relay_ports_problem(0, 256)
    assert not relay_ports_problem(65_535 - 4 * 8 + 1, 8)
    assert "the ports up to 65536" in relay_ports_problem(65_535 - 4 * 8 + 2, 8)
