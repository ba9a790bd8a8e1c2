"""A real cache service in the test's loop: alone, and on a real Redis."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis_servers import RedisServer, redis_server
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_cache.app import open_app
from souk_cache.settings import CacheSettings
from souk_common.testing import RunningServer, running_server

from services import Serve

NAMESPACES = """
namespaces:
  brief: {ttl: 20ms, jitter: 0, stale_for: 1h}
  fleeting: {ttl: 20ms, jitter: 0, stale_for: 1h, consistency: available}
  patient: {ttl: 1m, load_lease: 1m}
  small: {ttl: 1m, max_value_bytes: 100}
"""


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Starts a service; settings by name."""
    file = tmp_path / "namespaces.yaml"
    file.write_text(NAMESPACES)

    @contextlib.asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[RunningServer]:
        chosen = {"port": 0, "drain_grace": 5.0, "trace_ratio": 0.0, "read_lease": 0.5, "namespaces_file": file, **settings}
        async with running_server(CacheSettings(**chosen), "cache", open_app) as running:
            yield running

    return start


@pytest.fixture(params=["alone", "redis"])
async def server(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with contextlib.AsyncExitStack() as stack:
        settings = {}
        if request.param == "redis":
            settings["redis_url"] = (await stack.enter_async_context(redis_server(tmp_path))).url
        yield await stack.enter_async_context(serve(**settings))


@pytest.fixture
def cache(server: RunningServer) -> CacheServiceStub:
    return CacheServiceStub(server.channel())
