"""What the test tells while it runs."""

import sys


def say(words: str) -> None:
    """Write a line for people, at once."""
    sys.stdout.write(f"image-test: {words}\n")
    sys.stdout.flush()
