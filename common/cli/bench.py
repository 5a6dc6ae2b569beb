"""Finding the bench, which is not part of the product: it lies with the tests."""

import sys
from collections.abc import Sequence
from importlib import import_module, util
from typing import Final

from common.errors import HeadwaterError

_PACKAGES: Final = ("headwater_bench", "tests.bench")
"""As wheels have it, and as a checkout does."""


def run_bench(arguments: Sequence[str]) -> None:
    """Run the bench's own command line. Raises HeadwaterError where it is not installed."""
    if not util.find_spec("matplotlib"):
        raise HeadwaterError("the bench needs more: pip install 'headwater[bench]'")
    for name in _PACKAGES:
        if _is_there(name):
            sys.argv = ["headwater bench", *arguments]
            import_module(f"{name}.cli").main()
            return
    raise HeadwaterError("the bench is not here: pip install 'headwater[bench]'")


def _is_there(name: str) -> bool:
    try:
        return util.find_spec(f"{name}.cli") is not None
    except ModuleNotFoundError:  # of a package above it
        return False
