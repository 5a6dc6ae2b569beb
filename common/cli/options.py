"""Options that commands share, and how they become settings."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from common.errors import ConfigError, HeadwaterError

if TYPE_CHECKING:
    from common.config.merge import LoadedSettings

RUNTIME_FAILURE: Final = 1
USAGE_ERROR: Final = 2


class Question(StrEnum):
    """What `headwater healthcheck` can ask a node."""

    LIVE = "live"
    READY = "ready"
    STARTED = "started"


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", envvar="HEADWATER_CONFIG", help="YAML file with settings."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="One setting; may be given many times."),
]
RedisOption = Annotated[
    str | None, typer.Option("--redis", metavar="URL", help="The routing table (redis.url).")
]


def load_for_command(
    config: Path | None, overrides: list[str] | None, flags: dict[tuple[str, str], object]
) -> "LoadedSettings":
    """Return the settings for a command.

    ``flags`` maps (flag, path of its setting) to the value given, None where it was not.
    Raises `ConfigError`.
    """
    # Imported here, as pydantic takes longer than all of `headwater --help`.
    from common.config.loader import Flag, load

    given = [
        Flag(name, path, str(value)) for (name, path), value in flags.items() if value is not None
    ]
    return load(file=config, environ=os.environ, overrides=overrides or (), flags=given)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn our errors into a message on stderr and the exit code that belongs to them."""
    try:
        yield
    except ConfigError as error:
        print("headwater: bad settings", *error.problems, sep="\n  ", file=sys.stderr)
        raise typer.Exit(USAGE_ERROR) from error
    except (HeadwaterError, OSError) as error:
        print(f"headwater: {error}", file=sys.stderr)
        raise typer.Exit(RUNTIME_FAILURE) from error
