"""``python -m tests.bench``."""

from .cli import main

main()
