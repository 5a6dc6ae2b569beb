import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import logs
from common.logs import FloodGate, LogFormat, clean, get_log, redact, setup_logging


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("headwater")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined] # levels are cached there


def set_up(form: LogFormat, level: str = "info") -> io.StringIO:
    # Pytest's own handlers would put the hostile lines of these tests, as they are, into reports.
    logging.getLogger().handlers.clear()
    output = io.StringIO()
    setup_logging(level, form, node="edge-1", worker=2, output=output)
    return output


def test_text_lines_carry_process_bound_and_own_fields() -> None:
    output = set_up("text")
    log = get_log("edge.play").bind(stream="live/a", peer="10.0.0.1:5")
    log.bind(session="s1").info("viewer left", reason="eof", lag_s=0.12345678, note="a b")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    edge\.play: viewer left node=edge-1 "
        r"worker=2 stream=live/a peer=10\.0\.0\.1:5 session=s1 reason=eof lag_s=0\.123457 "
        r'note="a b"\n',
        output.getvalue(),
    )


def test_json_lines_are_objects_with_flat_fields() -> None:
    output = set_up("json")
    get_log("origin.ingest").warning("publisher refused", reason="taken", size=3, level="fake")
    line = json.loads(output.getvalue())
    assert re.fullmatch(r"[\d-]{10}T[\d:.]{12}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "origin.ingest",
        "message": "publisher refused",
        "node": "edge-1",
        "worker": 2,
        "reason": "taken",
        "size": 3,
    }


def test_fields_that_are_none_are_left_out() -> None:
    output = set_up("json")
    get_log("x").info("m", stream=None)
    assert "stream" not in json.loads(output.getvalue())


def test_no_number_makes_json_that_others_cannot_read() -> None:
    output = set_up("json")
    get_log("x").info("m", a=float("nan"), b=float("inf"), c=True)
    line = json.loads(output.getvalue(), parse_constant=pytest.fail)
    assert (line["a"], line["b"], line["c"]) == ("nan", "inf", True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_peer_can_forge_a_line_or_send_terminal_codes(form: LogFormat) -> None:
    output = set_up(form)
    evil = "a\n2026 INFO forged\r\x1b[31m\u2028\u202e\x9b\ud800"
    get_log("x").info("m", encoder=evil)
    try:
        raise ValueError(evil)
    except ValueError as error:
        get_log("x").exception("failed", error)
    text = output.getvalue()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800]", text)
    starts = [line for line in text.splitlines() if not line.startswith("    ")]
    assert len(starts) == 2


def test_a_traceback_stands_on_indented_lines_without_secrets() -> None:
    output = set_up("text")
    try:
        raise ValueError("redis://u:hunter2@h/0")
    except ValueError as error:
        get_log("x").exception("failed", error, stream="a/b")
    first, *rest = output.getvalue().splitlines()
    assert first.endswith("ERROR   x: failed node=edge-1 worker=2 stream=a/b")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    ValueError: redis://u:***@h/0"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("live/cam?token=abc", "live/cam?***"),
        ("live?k=v/stream", "live?***"),
        ("rtmp://h/live?auth=1 and more", "rtmp://h/live?*** and more"),
        ("redis://user:p:w@h:6379/0", "redis://user:***@h:6379/0"),
        ("rediss://:pw@h", "rediss://:***@h"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("why? because", "why? because"),
        ("plain", "plain"),
    ],
)
def test_queries_and_passwords_are_struck_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize("name", ["password", "redis_password", "token", "client_secret"])
def test_fields_that_are_called_secret_are_struck_out(name: str) -> None:
    output = set_up("text")
    get_log("x").info("m", **{name: "hunter2"})
    assert f"{name}=***" in output.getvalue()


def test_long_values_are_cut() -> None:
    assert len(clean("x" * 100_000)) == logs.MAX_VALUE_CHARS + 1


@given(st.text())
def test_any_text_becomes_one_line(text: str) -> None:
    assert len(clean(text).splitlines()) <= 1
    clean(text).encode("utf-8")


def test_lines_below_the_level_are_not_written() -> None:
    output = set_up("text", level="warning")
    log = get_log("x")
    log.debug("m")
    log.info("m")
    assert output.getvalue() == ""


def test_other_libraries_are_heard_from_warning_up_in_our_format() -> None:
    output = set_up("json", level="debug")
    logging.getLogger("redis").info("chatter")
    logging.getLogger("redis").warning("lost %s", "redis://:pw@h")
    get_log("x").debug("detail")
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["logger"], first["message"]) == ("redis", "lost redis://:***@h")
    assert (second["logger"], second["level"]) == ("x", "debug")


def test_setting_up_twice_writes_once() -> None:
    first = set_up("text")
    second = set_up("text")
    get_log("x").info("m")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_a_flood_is_one_line_per_second_and_key_with_a_count() -> None:
    gate = FloodGate()
    assert gate.admit("a", 10.0) == 0
    assert [gate.admit("a", 10.0 + i / 10) for i in range(1, 10)] == [None] * 9
    assert gate.admit("b", 10.5) == 0
    assert gate.admit("a", 11.0) == 9
    assert gate.admit("a", 12.5) == 0


def test_the_flood_gate_forgets_the_oldest_key_beyond_its_bound() -> None:
    gate = FloodGate(max_keys=2)
    for key in ("a", "b", "a", "c"):
        gate.admit(key, 0.0)
    assert gate.admit("c", 0.1) is None
    assert gate.admit("b", 0.1) is None
    assert gate.admit("a", 0.1) == 0  # forgotten


def test_a_limited_log_tells_what_it_suppressed(monkeypatch: pytest.MonkeyPatch) -> None:
    output = set_up("text")
    log = get_log("test.limited")
    gate = FloodGate(interval_s=1e9)
    monkeypatch.setattr(logs, "_gate", gate)
    for _ in range(3):
        log.limited("k").warning("refused")
    monkeypatch.setattr(gate, "_interval_s", 0.0)
    log.limited("k").warning("refused")
    lines = output.getvalue().splitlines()
    assert len(lines) == 2
    assert "suppressed" not in lines[0]
    assert lines[1].endswith("suppressed=2")
