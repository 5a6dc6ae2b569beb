"""helm, run for real against the API server."""

import asyncio
from pathlib import Path
from typing import Final

from tests.kubernetes.tools import HELM, ROOT

CHART: Final = ROOT / "helm" / "headwater"
VALUES: Final = Path(__file__).parent / "values.yaml"
RELEASE: Final = "live"
NAMESPACE: Final = "media"
_TIMEOUT: Final = ("--timeout", "5m")


class Helm:
    """The release of the test."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self._environment = {"HOME": str(folder), "KUBECONFIG": kubeconfig}

    async def install(self) -> None:
        """Install, and wait until all is ready."""
        await self._run("install", RELEASE, str(CHART), "--values", str(VALUES), "--wait")

    async def test(self) -> str:
        """Run the chart's own test; return what helm said."""
        return await self._run("test", RELEASE)

    async def upgrade(self, *sets: str) -> None:
        """Upgrade with some values changed, and wait until all is ready."""
        flags = [f"--set={each}" for each in sets]
        chart = ("upgrade", RELEASE, str(CHART), "--values", str(VALUES))
        await self._run(*chart, *flags, "--wait")

    async def rollback(self) -> None:
        """Go back to the revision before, and wait until all is ready."""
        await self._run("rollback", RELEASE, "--wait")

    async def uninstall(self) -> None:
        """Remove the release, and wait until it is gone."""
        await self._run("uninstall", RELEASE, "--wait")

    async def _run(self, verb: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(str(HELM), verb, *arguments, "--namespace", NAMESPACE, *_TIMEOUT),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"helm {verb}: {said.decode()}"
        return said.decode()
