from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from common.config.loader import MAX_FILE_BYTES, Flag, load, load_settings, to_yaml
from common.config.model import PublisherPolicy, Settings
from common.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "docs" / "headwater.example.yaml"

WriteFile = Callable[[str], Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    def write(text: str) -> Path:
        path = tmp_path / "headwater.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: tuple[str, ...] = (),
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file, environ=environ or {}, overrides=overrides)
    return [problem.replace(f"{file}:", "FILE:") for problem in caught.value.problems]


def test_defaults_need_no_file() -> None:
    assert load_settings(file=None, environ={"PATH": "/bin"}) == Settings()


def test_the_example_file_is_accepted() -> None:
    settings = load_settings(file=EXAMPLE, environ={})
    assert settings.publish.app_policies == {
        "studio": PublisherPolicy.REJECT,
        "sports": PublisherPolicy.STANDBY,
    }
    assert settings.log.format == "json"


def test_later_sources_win_setting_by_setting(write_file: WriteFile) -> None:
    file = write_file(
        "node: {zone: file, workers: 1}\nrtmp: {backlog: 1, chunk_size: 1000}\nlog: {level: debug}"
    )
    environ = {"HEADWATER_RTMP__BACKLOG": "2", "HEADWATER_NODE__WORKERS": "2"}
    loaded = load(
        file=file,
        environ=environ,
        overrides=["rtmp.backlog=3", "rtmp.backlog=4"],
        flags=[Flag("--workers", "node.workers", "5")],
    )
    settings = loaded.settings
    assert settings.node.zone == "file"
    assert settings.node.workers == 5
    assert settings.rtmp.chunk_size == 1000
    assert settings.rtmp.backlog == 4
    assert loaded.sources == {
        "node.zone": f"{file}:1",
        "node.workers": "--workers",
        "rtmp.backlog": "--set",
        "rtmp.chunk_size": f"{file}:2",
        "log.level": f"{file}:3",
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "rtmp:\n  # listen: :1935\n", "---\n", "null"])
def test_a_file_that_sets_nothing_changes_nothing(write_file: WriteFile, text: str) -> None:
    assert load_settings(file=write_file(text), environ={}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("REDIS__PASSWORD", "yes", lambda s: s.redis.password.get_secret_value()),
        ("REDIS__PASSWORD", "#1: [x", lambda s: s.redis.password.get_secret_value()),
        ("NODE__ID", "123", lambda s: s.node.id),
        ("REDIS__MODE", "cluster", lambda s: s.redis.mode),
    ],
)
def test_text_from_the_environment_is_taken_as_written(
    name: str, text: str, read: Callable[[Settings], str]
) -> None:
    settings = load_settings(file=None, environ={f"HEADWATER_{name}": text})
    assert read(settings) == text


def test_lists_and_mappings_from_the_environment_are_yaml() -> None:
    environ = {
        "HEADWATER_VHOSTS": "[a.example, b.example]",
        "HEADWATER_PUBLISH__APP_POLICIES": "{studio: reject}",
        "HEADWATER_EDGE__HOLD_S": "1e1",
    }
    settings = load_settings(file=None, environ=environ)
    assert settings.vhosts == ["a.example", "b.example"]
    assert settings.publish.app_policies == {"studio": PublisherPolicy.REJECT}
    assert settings.edge.hold_s == 10


def test_an_empty_text_takes_an_optional_path_away(write_file: WriteFile) -> None:
    file = write_file("redis: {password_file: /run/secret}\nnode: {runtime_dir: ''}")
    settings = load_settings(file=file, environ={"HEADWATER_REDIS__PASSWORD_FILE": ""})
    assert settings.redis.password_file is None
    assert settings.node.runtime_dir is None


def test_variables_of_kubernetes_service_links_are_not_ours() -> None:
    links = {
        "HEADWATER_SERVICE_HOST": "10.0.0.1",
        "HEADWATER_SERVICE_PORT": "1935",
        "HEADWATER_SERVICE_PORT_RTMP": "1935",
        "HEADWATER_PORT": "tcp://10.0.0.1:1935",
        "HEADWATER_PORT_1935_TCP": "tcp://10.0.0.1:1935",
        "HEADWATER_PORT_1935_TCP_ADDR": "10.0.0.1",
        "HEADWATER_ORIGIN_SERVICE_HOST": "10.0.0.1",
        "HEADWATER_CONFIG": "/etc/headwater.yaml",
    }
    assert load_settings(file=None, environ=links) == Settings()


def test_all_problems_are_told_at_once_each_with_its_place(write_file: WriteFile) -> None:
    file = write_file(
        """\
node:
  workers: true
rtmp:
  lisen: :1935
  chunk_size: 5
publish:
  app_policies: {live: newest}
redis: 3
frobnicate: 1
"""
    )
    environ = {"HEADWATER_RTMP_LISTEN": ":1", "HEADWATER_EDGE__HOLD_S": "soon"}
    overrides = ("rtmp.backlog=[1", "listen=:1935", "nonsense")
    assert problems(file, environ, overrides) == [
        "FILE:4: unknown setting rtmp.lisen; did you mean rtmp.listen?",
        "FILE:8: section redis must be a mapping of settings",
        "FILE:9: unknown setting frobnicate",
        "HEADWATER_RTMP_LISTEN: unknown setting rtmp_listen; did you mean HEADWATER_RTMP__LISTEN?",
        "--set: rtmp.backlog: must be an integer from 1 to 65535",
        "--set: unknown setting listen; did you mean rtmp.listen or admin.listen?",
        "--set: needs the form path=value, as in rtmp.listen=0.0.0.0:1935",
        "FILE:2: node.workers = True: must be an integer from 0 to 256",
        "FILE:5: rtmp.chunk_size = 5: must be an integer from 128 to 16777215",
        "FILE:7: publish.app_policies.live = 'newest': must be one of takeover, reject, standby",
        "HEADWATER_EDGE__HOLD_S: edge.hold_s = 'soon': must be a number above 0, at most 86400",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rtmp:\n  backlog: 1\n  backlog: 2", "FILE:3: rtmp.backlog is given twice"),
        ("rtmp: {}\nnode: {}\nrtmp: {}", "FILE:3: rtmp is given twice"),
        (
            "publish:\n  app_policies:\n    a: reject\n    a: reject",
            "FILE:4: publish.app_policies.a is given twice",
        ),
        ("- a\n- b", "FILE:1: the file must be a mapping of settings"),
        ("node: {zone: [}", "FILE:1: is not YAML: "),
        ("a: 1\n---\nb: 2", "FILE:2: is not YAML: "),
        ("node: {zone: !!python/name:os.system }", "FILE:1: node.zone: must be text of at most"),
        ("node: {id: 12}", "FILE:1: node.id = 12: must be at most 128 letters"),
        ("vhosts: [a b]", "FILE:1: vhosts.0 = 'a b': must be a host name or IP address"),
        ("lease: {ttl_s: .nan}", "FILE:1: lease.ttl_s = nan: must be a number above 0"),
        ("lease: {ttl_s: .inf}", "FILE:1: lease.ttl_s = inf: must be a number above 0"),
        ("rtmp: {listen: ':99999'}", "FILE:1: rtmp.listen = ':99999': must end with a port"),
        ("rtmp: {backlog: 1" + "0" * 5000 + "}", "FILE:1: rtmp.backlog: must be an integer"),
        ("<<: {rtmp: {}}", "FILE:1: unknown setting <<"),
        ("? [a, b]\n: 1", "FILE:1: the name of a setting must be plain text"),
        ("publish: {app_policies: {1: reject}}", "FILE:1: publish.app_policies.1"),
        ("[" * 5000, "FILE: is nested too deeply"),
    ],
)
def test_a_bad_file_is_refused(write_file: WriteFile, text: str, problem: str) -> None:
    found = problems(write_file(text))
    assert any(problem in each for each in found), found


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"node: {zone: \xff}")
    (tmp_path / "huge").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert "No such file" in problems(tmp_path / "missing")[0]
    assert "is not UTF-8 text" in problems(tmp_path / "latin")[0]
    assert "is larger than" in problems(tmp_path / "huge")[0]


def test_problems_never_show_secrets(write_file: WriteFile) -> None:
    file = write_file(
        "redis:\n  url: http://u:hunter2@h\n  password: {a: hunter2}\n  pasword: hunter2"
    )
    environ = {"HEADWATER_REDIS__PASSWORT": "hunter2"}
    found = problems(file, environ, ("redis.passwort=hunter2", "hunter2"))
    assert len(found) == 6
    assert "hunter2" not in "\n".join(found)
    assert "FILE:2: redis.url = ***: must begin with redis://, rediss:// or unix://" in found


def test_yaml_comes_out_in_the_order_given() -> None:
    assert to_yaml({"b": [1], "a": None}) == "b:\n- 1\na: null\n"


@pytest.mark.parametrize(("text", "value"), [("false", False), ("yes", True)])
def test_a_switch_is_on_or_off(text: str, value: bool) -> None:
    settings = load_settings(file=None, environ={"HEADWATER_RTMP__PROXY_REQUIRED": text})
    assert settings.rtmp.proxy_required is value


@pytest.mark.parametrize("text", ["1", "maybe", "", "[true]"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be true or false"):
        load_settings(file=None, environ={"HEADWATER_RTMP__PROXY_REQUIRED": text})


def test_networks_may_be_of_ipv6_and_must_be_networks() -> None:
    text = "[fd00::/8, 10.0.0.0/8, '::1']"
    settings = load_settings(file=None, environ={"HEADWATER_RTMP__PROXY_TRUSTED": text})
    assert settings.rtmp.proxy_trusted == ["fd00::/8", "10.0.0.0/8", "::1"]
    for bad in ("[10.0.0.1/8]", "[here]", "[10.0.0.0/33]"):
        with pytest.raises(ConfigError, match="must be an IP address or a network"):
            load_settings(file=None, environ={"HEADWATER_RTMP__PROXY_TRUSTED": bad})
