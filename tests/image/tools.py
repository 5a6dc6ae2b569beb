"""Running the tools that images are made with."""

import subprocess


class BuildError(Exception):
    """An image could not be built; the text ends with what the tool said."""


def run_tool(*command: str) -> str:
    """Run a tool and return what it printed. Raises `BuildError`."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise BuildError("\n".join([f"{' '.join(command[:4])} … failed:", *said]))
    return done.stdout
