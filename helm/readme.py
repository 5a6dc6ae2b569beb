"""Writes the tables of the chart's README from the comments in its values.yaml.

``python helm/readme.py`` writes them, ``--check`` fails when they are not current. A comment above
a key says what it is for; ``## @section`` begins a table. A mapping whose members have no comments
of their own is one row.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

CHART: Final = Path(__file__).parent / "headwater"
BEGIN: Final = "<!-- Made from values.yaml by `make chart-docs`: begin. -->"
END: Final = "<!-- Made from values.yaml by `make chart-docs`: end. -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value, or what is said of a group of them (which has no default)."""

    path: str
    default: str | None
    meaning: str


class Values:
    """values.yaml with its comments."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._root = yaml.compose(text, Loader=yaml.SafeLoader)

    def sections(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield each section's title and its rows."""
        title, rows = "", []
        line = 0
        for key, value in self._root.value:
            for text in self._lines[line : key.start_mark.line]:
                if text.startswith("## @section "):
                    if rows:
                        yield title, rows
                    title, rows = text.removeprefix("## @section "), []
            line = key.start_mark.line
            rows += self._rows(key, value, "")
        yield title, rows

    def _rows(self, key: yaml.Node, value: yaml.Node, prefix: str) -> Iterator[Row]:
        path = prefix + key.value
        if isinstance(value, yaml.MappingNode) and any(self._comment(k) for k, _ in value.value):
            if meaning := self._comment(key):
                yield Row(path=path, default=None, meaning=meaning)
            for member, member_value in value.value:
                yield from self._rows(member, member_value, f"{path}.")
        else:
            yield Row(path=path, default=_compact(value), meaning=self._comment(key))

    def _comment(self, key: yaml.Node) -> str:
        words: list[str] = []
        for text in reversed(self._lines[: key.start_mark.line]):
            stripped = text.strip()
            if not stripped.startswith("# "):
                break
            words.insert(0, stripped[2:])
        return " ".join(words)


def _compact(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def tables(text: str) -> str:
    """Return all tables as Markdown; of edges only what differs from origins."""
    shown: list[str] = []
    origin: dict[str, Row] = {}
    for title, rows in Values(text).sections():
        shown.append(f"### {title}\n")
        if rows[0].path.startswith("origin."):
            origin = {row.path.removeprefix("origin."): row for row in rows}
        elif rows[0].path.startswith("edge."):
            rows = [row for row in rows if _differs(row, origin)]
            shown.append("As for origins, with `edge.` in front, and these differences:\n")
        shown.append("| Value | Default | Meaning |\n|---|---|---|")
        shown += [f"| `{row.path}` | {_cell(row.default)} | {row.meaning} |" for row in rows]
        shown.append("")
    return "\n".join(shown)


def _differs(row: Row, origin: dict[str, Row]) -> bool:
    same = origin.get(row.path.removeprefix("edge."))
    return same is None or same.default != row.default


def _cell(default: str | None) -> str:
    if default is None:
        return ""
    return f"`{default}`" if default else "empty"


def main() -> int:
    """Write the README, or say whether it is current; return the exit code."""
    readme = CHART / "README.md"
    before = readme.read_text()
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = tables((CHART / "values.yaml").read_text())
    after = f"{head}{BEGIN}\n\n{made}\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        if before != after:
            sys.stderr.write(f"{readme} is not current: make chart-docs\n")
        return int(before != after)
    readme.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
