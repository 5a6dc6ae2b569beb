"""Makes settings of values from many sources, or says all that is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from common.config.checks import cross_checks
from common.config.fields import Setting, settings_by_path
from common.config.model import Settings

_SHOWN_CHARS: Final = 80
_SECRET_SHOWN: Final = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A value that a source gives to a known setting. ``source`` is shown to people."""

    setting: Setting
    value: object
    source: str  # "headwater.yaml:12", "HEADWATER_RTMP__LISTEN", "--set"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """Settings in force, and where each that is not a default came from."""

    settings: Settings
    sources: Mapping[str, str]  # by path


def merge(
    assignments: Iterable[Assignment],
) -> tuple[LoadedSettings | None, list[str]]:
    """Return the settings, later assignments winning, or None and a line for each problem."""
    in_force = {each.setting.path: each for each in assignments}
    # A truth value would pass for the integer 1, and 1 for a truth value.
    problems = [
        _bad_value(each)
        for each in in_force.values()
        if isinstance(each.value, bool) is not each.setting.is_switch
    ]
    try:
        settings = Settings.model_validate(_tree(in_force.values()))
    except ValidationError as error:
        problems += _explain(error, in_force)
        return None, list(dict.fromkeys(problems))
    for path, problem in cross_checks(settings):
        source = in_force[path].source if path in in_force else "default"
        problems.append(f"{source}: {path} {problem}")
    if problems:
        return None, problems
    sources = {path: each.source for path, each in in_force.items()}
    return LoadedSettings(settings=settings, sources=sources), []


def unknown_setting(path: str, source: str, *, as_variable: bool = False) -> str:
    """Return the problem line for a path that is no setting, with the likeliest ones meant.

    The value is not shown: it may be a secret under a misspelt name.
    """
    by_path = settings_by_path()
    path = path[:_SHOWN_CHARS]
    last = path.rpartition(".")[2]
    close = get_close_matches(path, by_path, n=2, cutoff=0.75)
    same_name = [known for known in by_path if known.rpartition(".")[2] == last]
    guesses = list(dict.fromkeys(close + same_name))[:3]
    if as_variable:
        guesses = [by_path[guess].env_name for guess in guesses]
    hint = f"; did you mean {' or '.join(guesses)}?" if guesses else ""
    return f"{source}: unknown setting {path}{hint}"


def _tree(assignments: Iterable[Assignment]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for each in assignments:
        *groups, name = each.setting.path.split(".")
        level = tree
        for group in groups:
            level = level.setdefault(group, {})
        nothing = each.setting.is_optional and each.value == ""
        level[name] = None if nothing else each.value
    return tree


def _explain(error: ValidationError, in_force: Mapping[str, Assignment]) -> list[str]:
    problems = []
    for details in error.errors(include_url=False, include_context=False):
        assignment, rest = _blame(details["loc"], in_force)
        problems.append(_bad_value(assignment, rest, _own_words(details)))
    return problems


def _blame(
    location: Sequence[str | int], in_force: Mapping[str, Assignment]
) -> tuple[Assignment, Sequence[str | int]]:
    """Return the assignment that a validation error is about, and the place inside its value."""
    for length in (1, 2):
        path = ".".join(str(part) for part in location[:length])
        if path in in_force:
            return in_force[path], location[length:]
    raise KeyError(location)  # only assigned values are validated; defaults are sound


def _own_words(details: ErrorDetails) -> str:
    """Return what a validator of ours says; empty for pydantic's words, which ours replace."""
    if details["type"] != "value_error":
        return ""
    return details["msg"].removeprefix("Value error, ")


def _bad_value(each: Assignment, rest: Sequence[str | int] = (), own_words: str = "") -> str:
    value = each.value
    path, allowed = each.setting.path, each.setting.allowed
    if isinstance(value, dict | list) and rest:
        # An item of a list or mapping: name it, and speak of it alone.
        path = f"{path}.{rest[0]}"
        value = _item(value, rest[0])
        allowed = allowed.partition(", each ")[2].removeprefix("value ")
    shown = _SECRET_SHOWN if each.setting.is_secret else _shorten(value)
    return f"{each.source}: {path} = {shown}: {own_words or f'must be {allowed}'}"


def _item(value: dict[Any, Any] | list[Any], key: str | int) -> object:
    try:
        return value[key]  # type: ignore[index] # the error's own location inside this value
    except (KeyError, TypeError):
        return value  # the error is about the key itself


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
