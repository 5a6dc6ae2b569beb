"""Structured logging: a constant sentence plus fields, as text for people or JSON for machines.

    log = get_log("rtmp").bind(stream=key, peer=peer)
    log.info("publisher accepted", encoder=encoder)
    log.limited("oversize").warning("message refused", size=size)

Field names in use everywhere: stream, peer, connection (its number in this worker), session (a
publisher's, the same at every node), node, worker, reason.

Messages are constants: what varies goes into fields, and only fields and exception texts may hold
what a peer sent. All of it is made safe in one place, the formatters: control characters are
escaped (nobody forges a line), query strings and passwords in URLs are struck out (a stream key
with its token never reaches a log), and long values are cut.
"""

import json
import logging
import math
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Literal, TextIO

LogFormat = Literal["text", "json"]

MAX_VALUE_CHARS: Final = 1024
"""Longer values are cut: one log line must not cost what a message may cost."""

REDACTED: Final = "***"

_PREFIX: Final = "headwater."
_SECRET_FIELD: Final = re.compile(r"password|passwd|secret|token|credential|authorization", re.I)
_URL_PASSWORD: Final = re.compile(r"(://[^/\s:@]*):[^/\s]*@")
_QUERY: Final = re.compile(r"\?[^\s\"']+")
# C0, DEL, C1, line and paragraph separators, bidirectional overrides, lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def redact(text: str) -> str:
    """Return ``text`` without passwords in URLs and without query strings."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
    if "?" in text:
        text = _QUERY.sub(f"?{REDACTED}", text)
    return text


def clean(text: str) -> str:
    """Return ``text`` fit for one log line: redacted, cut, control characters escaped."""
    text = redact(text)
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "…"
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Log:
    """A logger with fields bound to it. Cheap when the level is off: one cached check."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object]) -> None:
        self._logger = logger
        self._fields = fields

    def bind(self, **fields: object) -> "Log":
        """Return a logger that adds ``fields`` to every line."""
        return Log(self._logger, {**self._fields, **fields})

    def limited(self, key: str) -> "Log":
        """Return a logger that writes at most one line per second and ``key``, else none.

        A line that follows suppressed ones says how many: ``suppressed=41``. The key should be
        one of a few words, not something that a peer chose.
        """
        suppressed = _gate.admit(f"{self._logger.name}:{key}", time.monotonic())
        if suppressed is None:
            return _SILENT
        return self.bind(suppressed=suppressed) if suppressed else self

    def debug(self, message: str, /, **fields: object) -> None:
        """Write what only helps to find a bug."""
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Write what happens in good order: a publisher came, a relay began."""
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Write what went wrong outside of this process and is being dealt with."""
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Write what an operator has to look at."""
        self._write(logging.ERROR, message, fields)

    def exception(self, message: str, error: BaseException, /, **fields: object) -> None:
        """Write an error with the traceback of ``error``: a bug of ours."""
        self._write(logging.ERROR, message, fields, error)

    def _write(
        self,
        level: int,
        message: str,
        fields: Mapping[str, object],
        error: BaseException | None = None,
    ) -> None:
        if self._logger.isEnabledFor(level):
            extra = {"fields": {**self._fields, **fields}}
            self._logger.log(level, message, extra=extra, exc_info=error)


class FloodGate:
    """Lets one event per interval and key through and counts the others.

    At most ``max_keys`` keys are remembered; the one let through longest ago is forgotten first.
    """

    def __init__(self, interval_s: float = 1.0, max_keys: int = 1024) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._keys: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def admit(self, key: str, now: float) -> int | None:
        """Return how many were suppressed since the last one let through; None: suppress this."""
        last, suppressed = self._keys.get(key, (-math.inf, 0))
        if now - last < self._interval_s:
            self._keys[key] = (last, suppressed + 1)
            return None
        self._keys[key] = (now, 0)
        self._keys.move_to_end(key)
        if len(self._keys) > self._max_keys:
            self._keys.popitem(last=False)
        return suppressed


def get_log(name: str) -> Log:
    """Return the logger for ``name``, a dotted path such as "origin.ownership"."""
    return Log(logging.getLogger(_PREFIX + name), {})


def setup_logging(
    level: str,
    format: LogFormat,
    *,
    node: str = "",
    worker: int | None = None,
    output: TextIO | None = None,
) -> None:
    """Configure the logging of this process; call again to change it.

    ``node`` and ``worker`` (the slot) are added to every line. ``output`` is stderr by default.
    Other libraries are heard from "warning" up, whatever our own level is.
    """
    process_fields: dict[str, object] = {}
    if node:
        process_fields["node"] = node
    if worker is not None:
        process_fields["worker"] = worker
    handler = _Handler(output or sys.stderr)
    formatter = JsonFormatter if format == "json" else TextFormatter
    handler.setFormatter(formatter(process_fields))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(_PREFIX.rstrip(".")).setLevel(level.upper())


class _Handler(logging.StreamHandler[TextIO]):
    """Our handler, as a type of its own so that a second set-up finds the first."""


class _Formatter(logging.Formatter):
    """What both formats share: time, name and fields, all made safe."""

    def __init__(self, process_fields: Mapping[str, object]) -> None:
        super().__init__()
        self._process_fields = process_fields

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """Return all fields of a line: numbers and truth values as they are, the rest as text."""
        own: Mapping[str, object] = getattr(record, "fields", {})
        return {
            name: _field_value(name, value)
            for name, value in {**self._process_fields, **own}.items()
            if value is not None
        }

    @staticmethod
    def timestamp(record: logging.LogRecord) -> str:
        """Return the time of a line in UTC, RFC 3339 with milliseconds."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"

    def trace(self, record: logging.LogRecord) -> list[str]:
        """Return the lines of the record's traceback, each made safe."""
        if not record.exc_info or record.exc_info[0] is None:
            return []
        return [clean(line) for line in self.formatException(record.exc_info).split("\n")]


class TextFormatter(_Formatter):
    """One line per record: ``time LEVEL name: message key=value ...``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on indented lines."""
        name = record.name.removeprefix(_PREFIX)
        parts = [self.timestamp(record), f"{record.levelname:<7}", f"{name}:"]
        parts.append(clean(record.getMessage()))
        parts += [f"{name}={_quoted(value)}" for name, value in self.fields(record).items()]
        # Indented, so that no text inside a traceback can pass for a line of its own.
        return "\n    ".join([" ".join(parts), *self.trace(record)])


class JsonFormatter(_Formatter):
    """One JSON object per line; time, level, logger and message come first."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as one line."""
        own: dict[str, object] = {
            "time": self.timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix(_PREFIX),
            "message": clean(record.getMessage()),
        }
        if trace := self.trace(record):
            own["exception"] = "\n".join(trace)
        # `own` twice: first for the order, last so that no field takes the place of the level.
        return json.dumps(own | self.fields(record) | own, ensure_ascii=False)


def _field_value(name: str, value: object) -> object:
    if _SECRET_FIELD.search(name):
        return REDACTED
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):  # JSON knows no NaN
        return round(value, 6)
    return clean(str(value))


def _quoted(value: object) -> str:
    text = str(value)
    if text and not any(char in text for char in ' "='):
        return text
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


_gate = FloodGate()
_silent_logger = logging.Logger("silent", level=logging.CRITICAL + 1)
_SILENT = Log(_silent_logger, {})
