"""Writes docs/settings.md from the model: ``python -m common.config.reference``."""

import json
from pathlib import Path

from pydantic import SecretStr

from common.config.fields import Setting, sections, settings_by_path

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """\
# Settings

<!-- Generated from common/config/model.py by `python -m common.config.reference`. -->

Every setting has a default; no file is needed. Later sources win, setting by setting:

1. the defaults below,
2. a YAML file: `--config FILE` or `HEADWATER_CONFIG`
   (example: [headwater.example.yaml](headwater.example.yaml)),
3. the environment: `HEADWATER_`, the path in capitals, two underscores between levels,
4. flags: `--set rtmp.listen=0.0.0.0:1935`, and short ones such as `--workers 4`.

In the environment and in flags, text is taken as written; numbers, lists and mappings are read as
YAML (`HEADWATER_VHOSTS='[a.example, b.example]'`). Unknown settings and bad values are refused, all
at once. `headwater config` prints what is in force, `headwater config --sources` also says where
each value came from. Secrets are never printed.
"""

_TABLE_HEAD = """\
| Setting | Allowed | Default | Environment variable | Meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the reference page."""
    by_path = settings_by_path()
    parts = [_HEAD]
    top = [setting for path, setting in by_path.items() if "." not in path]
    if top:
        parts.append(_table("Top level", "Settings that belong to no section.", top))
    for section in sections().values():
        own = [each for path, each in by_path.items() if path.startswith(f"{section.name}.")]
        parts.append(_table(f"`{section.name}`", section.meaning, own))
    return "\n".join(parts)


def _table(title: str, meaning: str, settings: list[Setting]) -> str:
    rows = "".join(_row(setting) for setting in settings)
    return f"## {title}\n\n{meaning}\n\n{_TABLE_HEAD}{rows}"


def _row(setting: Setting) -> str:
    cells = [
        f"`{setting.path}`",
        _allowed(setting),
        _default(setting.default),
        f"`{setting.env_name}`",
        setting.meaning,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _allowed(setting: Setting) -> str:
    words, matches, pattern = setting.allowed.partition("matches ")
    return f"{words}{matches}`{pattern}`" if matches else words


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # a default is no secret
    if value in ("", None):
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
