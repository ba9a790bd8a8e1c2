"""What clients say of arguments that cannot be sent: before the call, and in Python's own errors."""

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from souk.client import CacheClient, ImagingClient, MonitorClient

Call = Callable[[Any], Awaitable[Any] | AsyncIterator[Any]]
NO_UNICODE = "\ud800"
LOCAL_TIME = datetime.datetime(2026, 3, 1)  # noqa: DTZ001 — it is to be refused

CALLS: list[tuple[type[CacheClient] | type[ImagingClient] | type[MonitorClient], Call, type[Exception]]] = [
    (CacheClient, lambda client: client.get("product", 5), TypeError),
    (CacheClient, lambda client: client.get("product", NO_UNICODE), ValueError),
    (CacheClient, lambda client: client.put("product", "5", "a text"), TypeError),
    (CacheClient, lambda client: client.put("product", "5", b"", version=2**70), ValueError),
    (ImagingClient, lambda client: client.get(5), TypeError),
    (ImagingClient, lambda client: client.get(NO_UNICODE), ValueError),
    (ImagingClient, lambda client: client.list(owner=5), TypeError),
    (ImagingClient, lambda client: client.list(page_size=2**40), ValueError),
    (ImagingClient, lambda client: client.upload(5), TypeError),
    (ImagingClient, lambda client: client.upload("no/such/photo.jpeg"), OSError),
    (MonitorClient, lambda client: client.get_issue(5), TypeError),
    (MonitorClient, lambda client: client.get_issue(NO_UNICODE), ValueError),
    (MonitorClient, lambda client: client.issues(search=5), TypeError),
    (MonitorClient, lambda client: client.issues(since=LOCAL_TIME), TypeError),
    (MonitorClient, lambda client: client.issues(page_size=2**40), ValueError),
]


async def made(call: Call, client: Any) -> Any:
    told = call(client)
    return await (anext(told) if isinstance(told, AsyncIterator) else told)


@pytest.mark.parametrize(("kind", "call", "error"), CALLS)
async def test_an_argument_that_cannot_be_sent_is_an_error_of_python(kind: Any, call: Call, error: type[Exception]) -> None:
    async with kind("127.0.0.1:1") as client:
        with pytest.raises(error):
            await made(call, client)
