"""Reading the settings anew while the node runs."""

import asyncio
from collections.abc import Callable
from typing import Final

from common.config.model import Settings
from common.errors import ConfigError
from common.logs import get_log

FIXED: Final = (
    ("rtmp", "listen"),
    ("admin", "listen"),
    ("node", "id"),
    ("node", "runtime_dir"),
)
"""Section and name of the settings that a running node cannot change: others know it by them."""

_log = get_log("supervisor")


class Reloader:
    """Loads settings when asked to, and hands good ones to ``apply``.

    ``load`` raises `ConfigError` for bad ones, ``apply`` for those that do not fit this machine;
    they are told in the log, and what is in force stays.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        in_force: Callable[[], Settings],
        apply: Callable[[Settings], None],
    ) -> None:
        self._load = load
        self._in_force = in_force
        self._apply = apply
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Ask for a reload; those asked for while one is being read become one. For signals."""
        self._wanted.set()

    async def run(self) -> None:
        """Reload whenever that is wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                # In a thread: the file may lie on a disk that has gone to sleep, or hangs.
                loaded = await asyncio.to_thread(self._load)
                self._apply(keep_fixed(self._in_force(), loaded))
            except ConfigError as error:
                for problem in error.problems:
                    _log.error("reload refused, the settings in force stay", reason=problem)


def keep_fixed(in_force: Settings, loaded: Settings) -> Settings:
    """Return ``loaded`` with those settings in force that only a restart can change; tell which."""
    changes: dict[str, dict[str, object]] = {}
    for section, name in FIXED:
        kept = getattr(getattr(in_force, section), name)
        if getattr(getattr(loaded, section), name) != kept:
            changes.setdefault(section, {})[name] = kept
            _log.warning("not changed by a reload: restart the node", setting=f"{section}.{name}")
    return loaded.model_copy(
        update={
            section: getattr(loaded, section).model_copy(update=kept)
            for section, kept in changes.items()
        }
    )
