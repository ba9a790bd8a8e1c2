"""A metered coroutine does what it does, and only its own steps are counted."""

import asyncio
import time

import pytest
from souk_cache.metering import Metered


def work(seconds: float) -> None:
    """Use so much CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_only_its_own_steps_are_counted():
    spent: list[float] = []

    async def metered() -> str:
        for _ in range(3):
            work(0.01)
            await asyncio.sleep(0)
        return "done"

    async def other() -> None:
        for _ in range(3):
            work(0.02)
            await asyncio.sleep(0)

    result, _ = await asyncio.gather(Metered(metered(), spent.append), other())
    assert result == "done"
    assert 0.03 <= sum(spent) < 0.06


async def test_errors_and_cancelling_go_through():
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Metered(fails(), lambda _: None)

    cleaned: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def metered() -> None:
        await Metered(waits(), lambda _: None)

    task = asyncio.create_task(metered())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["up"]


async def test_timeouts_inside_it_work():
    async def slow() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return ""

    assert await Metered(slow(), lambda _: None) == "late"
