"""A browser, and a node whose dashboard it looks at; one of each for the tests of a module."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from browsers import Browser, Page, browser
from monitor_serving import Monitor, serving
from postgres_servers import postgres_server
from souk_monitor.adapters import schema


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn() -> AsyncIterator[str]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        yield server.dsn(user="souk_monitor")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    async with serving(dsn) as monitor:
        yield monitor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(chromium: Browser) -> Page:
    return await chromium.page()


@pytest_asyncio.fixture(loop_scope="module")
async def page(tab: Page) -> AsyncIterator[Page]:
    """One of a person of its own; in the end nothing went wrong on it, and nothing came from elsewhere."""
    yield tab
    problems, hosts = tab.problems, {url.split("/")[2] for url in tab.requests if url.startswith("http")}
    await tab.forget()
    assert problems == []
    assert {host.split(":")[0] for host in hosts} <= {"127.0.0.1"}
