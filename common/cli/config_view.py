"""The settings in force, for people: YAML without secrets, where wanted with their sources."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from pydantic import SecretStr

from common.config.fields import settings_by_path
from common.config.loader import to_yaml
from common.config.merge import LoadedSettings
from common.config.model import Settings
from common.logs import REDACTED, redact


def settings_as_yaml(loaded: LoadedSettings, *, with_sources: bool) -> str:
    """Return all settings as YAML; ``with_sources`` adds a comment to each."""
    lines: list[str] = []
    section = ""
    # Settings outside of sections come first: below one they would read as part of it.
    for path in sorted(settings_by_path(), key=lambda path: "." in path):
        group, _, name = path.rpartition(".")
        if group != section:
            lines.append(f"{group}:")
        section = group
        source = loaded.sources.get(path, "default") if with_sources else ""
        lines += _leaf_lines(name, _value(loaded.settings, path), source, bool(group))
    return "\n".join(lines) + "\n"


def _leaf_lines(name: str, value: object, source: str, is_nested: bool) -> list[str]:
    first, *rest = to_yaml({name: value}).splitlines()
    if source:
        first = f"{first}  # {source}"
    indent = "  " if is_nested else ""
    return [indent + line for line in (first, *rest)]


def _value(settings: Settings, path: str) -> object:
    value: object = settings
    for part in path.split("."):
        value = getattr(value, part)
    return _plain(value)


def _plain(value: object) -> object:
    """Return ``value`` as YAML knows it, secrets struck out."""
    match value:
        case SecretStr():
            text = value.get_secret_value()
            # A URL without its password still says which Redis it is.
            return redact(text) if "://" in text or not text else REDACTED
        case Enum():
            return value.value
        case Path():
            return str(value)
        case list():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
