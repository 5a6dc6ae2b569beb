"""What the model says about each setting, read from its JSON schema.

The loader's messages, the environment names and the reference page all come from here, so that
none of them can differ from what is enforced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from pydantic import BaseModel, SecretStr

from common.config.model import Settings

ENV_PREFIX: Final = "HEADWATER_"
LEVEL_SEPARATOR: Final = "__"

_Schema = Mapping[str, Any]  # JSON schema is a tree of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: where it is, what it may be, what it is by default and what it means."""

    path: str  # "rtmp.listen"
    default: object
    meaning: str
    allowed: str  # in words: "an integer from 1 to 65535"
    is_text: bool  # its value is taken as written, never read as YAML
    is_switch: bool  # true or false
    is_optional: bool  # may be null; empty text means null
    is_secret: bool

    @property
    def env_name(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.path.upper().replace(".", LEVEL_SEPARATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionInfo:
    """A group of settings and what it is about."""

    name: str
    meaning: str


@cache
def sections() -> dict[str, SectionInfo]:
    """Return the groups of settings by name, in the order of the model."""
    schema = Settings.model_json_schema()
    groups = {}
    for name, part in schema["properties"].items():
        definition = _resolve(part, schema["$defs"])
        if "properties" in definition:
            groups[name] = SectionInfo(name=name, meaning=definition["description"])
    return groups


@cache
def settings_by_path() -> dict[str, Setting]:
    """Return all settings by their dotted path, in the order of the model."""
    schema = Settings.model_json_schema()
    return {
        setting.path: setting
        for setting in _walk("", schema, Settings(), cast("_Schema", schema["$defs"]))
    }


def _walk(prefix: str, schema: _Schema, defaults: BaseModel, definitions: _Schema) -> list[Setting]:
    found: list[Setting] = []
    for name, part in schema["properties"].items():
        definition = _resolve(part, definitions)
        default = getattr(defaults, name)
        path = f"{prefix}{name}"
        if isinstance(default, BaseModel):
            found += _walk(f"{path}.", definition, default, definitions)
        else:
            found.append(_setting(path, part, definition, default, definitions))
    return found


def _setting(
    path: str, part: _Schema, definition: _Schema, default: object, definitions: _Schema
) -> Setting:
    choices = definition.get("anyOf", [definition])
    solid = _resolve(next(each for each in choices if each.get("type") != "null"), definitions)
    optional = len(choices) > 1
    allowed = _allowed(solid, definitions)
    return Setting(
        path=path,
        default=default,
        meaning=" ".join(part["description"].split()),
        allowed=f"{allowed}, or nothing" if optional else allowed,
        is_text=solid["type"] == "string",
        is_switch=solid["type"] == "boolean",
        is_optional=optional,
        is_secret=isinstance(default, SecretStr),
    )


def _resolve(part: _Schema, definitions: _Schema) -> _Schema:
    reference = part.get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else part


def _allowed(schema: _Schema, definitions: _Schema) -> str:
    """Return in words what a value must be."""
    schema = _resolve(schema, definitions)
    match schema["type"]:
        case "integer":
            return "an integer" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "boolean":
            return "true or false"
        case "array":
            return f"a list, each {_allowed(schema['items'], definitions)}"
        case "object":
            return f"a mapping, each value {_allowed(schema['additionalProperties'], definitions)}"
        case _:
            return _allowed_text(schema)


def _allowed_text(schema: _Schema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "examples" in schema:  # the model's own words for texts with a form
        return cast("str", schema["examples"][0])
    if schema.get("format") == "path":
        return "a path"
    if "pattern" in schema:
        return f"text that matches {schema['pattern']}"
    if "maxLength" in schema:
        return f"text of at most {schema['maxLength']} characters"
    return "text"


def _bounds(schema: _Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high = schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words = [
        f" {word} {bound}"
        for word, bound in (("of at least", low), ("above", above), ("at most", high))
        if bound is not None
    ]
    return ",".join(words)
