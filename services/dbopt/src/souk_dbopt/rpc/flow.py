"""Streams that their callers take in time: one who takes nothing holds a connection to the database."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from souk_common.call import annotate

T = TypeVar("T")


async def taken_in_time(items: AsyncIterator[T], seconds: float) -> AsyncGenerator[T, None]:
    """The items, each of which is to be taken within so many seconds; else the task that takes them is cancelled, and the call with
    it."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def give_up() -> None:
        if task is not None:
            annotate(stalled_seconds=seconds)
            task.cancel()

    async for item in items:
        alarm = loop.call_later(seconds, give_up)
        try:
            yield item
        finally:
            alarm.cancel()
