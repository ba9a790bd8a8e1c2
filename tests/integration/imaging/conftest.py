"""A real imaging service in the test's loop, on free ports, with a folder of its own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from souk.client import ClientConfig, ImagingClient
from souk_common.testing import RunningServer, running_server
from souk_imaging.app import open_app
from souk_imaging.settings import ImagingSettings

from services import Serve


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Starts a service; settings by name."""

    @contextlib.asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[RunningServer]:
        chosen = {"port": 0, "http_port": 0, "state_dir": tmp_path / "state", "drain_grace": 5.0, "trace_ratio": 0.0, **settings}
        async with running_server(ImagingSettings(**chosen), "imaging", open_app) as running:
            yield running

    return start


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[RunningServer]:
    async with serve() as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[ImagingClient]:
    async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        yield client
