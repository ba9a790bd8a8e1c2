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


def serving(folder: Path) -> Serve:
    """Starts services whose state is under `folder`; settings by name."""

    @contextlib.asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[RunningServer]:
        chosen = {"port": 0, "http_port": 0, "state_dir": folder / "state", "drain_grace": 5.0, "trace_ratio": 0.0, **settings}
        async with running_server(ImagingSettings(**chosen), "imaging", open_app) as running:
            yield running

    return start


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """As `serving`, for one test."""
    return serving(tmp_path)


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """As `serving`, for the tests of a module that leave the service as they find it; they and what is served share one loop."""
    return serving(tmp_path_factory.mktemp("module"))


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[RunningServer]:
    async with serve() as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[ImagingClient]:
    async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        yield client
