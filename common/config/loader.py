"""Loads settings: defaults, then a YAML file, then the environment, then flags.

Later sources win, setting by setting. Everything is strict: a key that is unknown, given twice or
has a bad value is refused, and all problems are told at once, each with the place it came from.

In the environment and in flags a text is taken as written (a password "yes" or "#1" stays what it
is); numbers, lists and mappings are read as YAML.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from common.config.fields import (
    ENV_PREFIX,
    LEVEL_SEPARATOR,
    Setting,
    sections,
    settings_by_path,
)
from common.config.merge import Assignment, LoadedSettings, merge, unknown_setting
from common.config.model import Settings
from common.errors import ConfigError

MAX_FILE_BYTES: Final = 1024 * 1024

CONFIG_FILE_VARIABLE: Final = ENV_PREFIX + "CONFIG"
"""Names the file itself (the command line reads it), so it is no setting."""

_EXAMPLE: Final = "rtmp.listen=0.0.0.0:1935"

# Kubernetes puts such variables into every pod of a namespace for each Service there; a Service
# called "headwater" makes them look like ours (HEADWATER_PORT_1935_TCP_ADDR).
_SERVICE_LINK: Final = re.compile(
    r"HEADWATER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


@dataclass(frozen=True, slots=True)
class Flag:
    """A command-line flag that stands for a setting: ``Flag("--workers", "node.workers", "3")``."""

    name: str
    path: str
    text: str


def load_settings(
    *,
    file: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    flags: Sequence[Flag] = (),
) -> Settings:
    """Return the settings in force. ``overrides`` are "path=value" texts, as given to --set.

    Raises `ConfigError` with every problem there is.
    """
    return load(file=file, environ=environ, overrides=overrides, flags=flags).settings


def load(
    *,
    file: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    flags: Sequence[Flag] = (),
) -> LoadedSettings:
    """Return the settings in force and where they came from; see `load_settings`."""
    problems: list[str] = []
    assignments: list[Assignment] = []
    if file is not None:
        assignments += _from_file(file, problems)
    assignments += _from_environ(environ, problems)
    assignments += _from_overrides(overrides, problems)
    assignments += _from_flags(flags, problems)
    loaded, value_problems = merge(assignments)
    problems += value_problems
    if loaded is None or problems:
        raise ConfigError(problems)
    return loaded


def to_yaml(tree: Mapping[str, object]) -> str:
    """Return plain data as YAML text, in the order given."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)


def _from_file(file: Path, problems: list[str]) -> Iterator[Assignment]:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            problems.append(f"{file}: is larger than {MAX_FILE_BYTES} bytes")
            return
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8 text")
    except RecursionError:
        problems.append(f"{file}: is nested too deeply")
    except yaml.YAMLError as error:
        problems.append(_yaml_problem(str(file), error))
    else:
        if root is not None:
            yield from _section(str(file), root, "", problems)


def _section(file: str, node: yaml.Node, prefix: str, problems: list[str]) -> Iterator[Assignment]:
    """Yield the assignments of one mapping; ``prefix`` is "" or the section's name and a dot."""
    if not isinstance(node, yaml.MappingNode):
        # `rtmp:` with every line below commented out is a null, and harmless.
        if node.tag != "tag:yaml.org,2002:null":
            what = f"section {prefix[:-1]}" if prefix else "the file"
            problems.append(f"{_place(file, node)}: {what} must be a mapping of settings")
        return
    seen: set[str] = set()
    for key_node, value_node in node.value:
        place = _place(file, key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(f"{place}: the name of a setting must be plain text")
            continue
        path = prefix + key_node.value
        if path in seen:
            problems.append(f"{place}: {path} is given twice")
        seen.add(path)
        setting = settings_by_path().get(path)
        if setting is not None:
            yield from _leaf(file, setting, key_node, value_node, problems)
        elif path in sections():
            yield from _section(file, value_node, f"{path}.", problems)
        else:
            problems.append(unknown_setting(path, place))


def _leaf(
    file: str, setting: Setting, key_node: yaml.Node, node: yaml.Node, problems: list[str]
) -> Iterator[Assignment]:
    place = _place(file, key_node)
    for line, key in _duplicates(node):
        problems.append(f"{file}:{line}: {setting.path}.{key} is given twice")
    try:
        value = _construct(node)
    except (yaml.YAMLError, ValueError, RecursionError):
        # ValueError: a date such as 2001-99-99. The words of YAML may hold the value: not shown.
        problems.append(f"{place}: {setting.path}: must be {setting.allowed}")
    else:
        yield Assignment(setting=setting, value=value, source=place)


def _duplicates(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """Yield line and key of each key that comes twice; no setting nests deeper than one level."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                yield key_node.start_mark.line + 1, key
            seen.add(key)


def _construct(node: yaml.Node) -> object:
    loader = yaml.SafeLoader("")
    try:
        value: object = loader.construct_document(node)
        return value
    finally:
        loader.dispose()


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> Iterator[Assignment]:
    by_name = {setting.env_name: setting for setting in settings_by_path().values()}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name == CONFIG_FILE_VARIABLE:
            continue
        if setting := by_name.get(name):
            yield from _from_text(setting, environ[name], name, problems)
        elif LEVEL_SEPARATOR in name or not _SERVICE_LINK.fullmatch(name):
            path = name.removeprefix(ENV_PREFIX).lower().replace(LEVEL_SEPARATOR, ".")
            problems.append(unknown_setting(path, name, as_variable=True))


def _from_overrides(overrides: Sequence[str], problems: list[str]) -> Iterator[Assignment]:
    for override in overrides:
        path, equals, text = override.partition("=")
        setting = settings_by_path().get(path)
        if not equals:
            # Not shown: it may be a secret in the wrong place.
            problems.append(f"--set: needs the form path=value, as in {_EXAMPLE}")
        elif setting is None:
            problems.append(unknown_setting(path, "--set"))
        else:
            yield from _from_text(setting, text, "--set", problems)


def _from_flags(flags: Sequence[Flag], problems: list[str]) -> Iterator[Assignment]:
    for flag in flags:
        yield from _from_text(settings_by_path()[flag.path], flag.text, flag.name, problems)


def _from_text(
    setting: Setting, text: str, source: str, problems: list[str]
) -> Iterator[Assignment]:
    if setting.is_text:
        yield Assignment(setting=setting, value=text, source=source)
        return
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        problems.append(f"{source}: {setting.path}: must be {setting.allowed}")
        return
    if node is None:
        yield Assignment(setting=setting, value=None, source=source)
    else:
        for each in _leaf("", setting, node, node, problems):
            yield Assignment(setting=setting, value=each.value, source=source)


def _place(file: str, node: yaml.Node) -> str:
    return f"{file}:{node.start_mark.line + 1}"


def _yaml_problem(file: str, error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{file}:{error.problem_mark.line + 1}: is not YAML: {error.problem}"
    return f"{file}: is not YAML"
