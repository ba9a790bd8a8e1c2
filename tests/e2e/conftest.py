"""Services as processes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import processes
import pytest

Start = Callable[..., Awaitable[processes.ServiceProcess]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts imaging as a process; `name`, and settings by name."""
    running: list[processes.ServiceProcess] = []

    async def start_one(name: str = "imaging", **settings: Any) -> processes.ServiceProcess:
        service = await processes.start_imaging(tmp_path, name, **settings)
        running.append(service)
        return service

    yield start_one
    for service in running:
        await processes.stop(service)
