import asyncio
import os
import signal

import pytest

from common.local.ending import run_until_signal


async def test_the_exit_code_of_the_work_is_returned() -> None:
    async def work() -> int:
        return 7

    assert await run_until_signal(work()) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_work_which_may_take_its_time_to_clean_up(
    number: signal.Signals,
) -> None:
    cleaned = []

    async def work() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return 1

    assert await run_until_signal(work()) == 0
    assert cleaned == [True]


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> int:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        await run_until_signal(work())
