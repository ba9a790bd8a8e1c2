"""A client, and a server whose answers the test writes."""

import socket
from collections.abc import AsyncIterator

import pytest
from integration.client.scripted import ScriptedImaging, serving
from souk.client import ClientConfig, ImagingClient


@pytest.fixture
async def server() -> AsyncIterator[ScriptedImaging]:
    async with serving(ScriptedImaging()) as servicer:
        yield servicer


@pytest.fixture
async def client(server: ScriptedImaging) -> AsyncIterator[ImagingClient]:
    config = ClientConfig(target=server.target, initial_backoff=0.01, max_backoff=0.02, chunk_bytes=64 * 1024)
    async with ImagingClient(config=config) as client:
        yield client


@pytest.fixture
def nobody() -> str:
    """An address that nobody listens on."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{port.getsockname()[1]}"
