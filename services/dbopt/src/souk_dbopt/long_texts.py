"""Texts that take long to read are read beside the event loop, which goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
SHORT = 4_000
"""Characters that are read at once: some milliseconds."""


async def read(reader: Callable[[str], Result], text: str) -> Result:
    """What `reader` makes of a text; in a thread where the text is long."""
    return reader(text) if len(text) <= SHORT else await asyncio.to_thread(reader, text)
