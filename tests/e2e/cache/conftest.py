"""One cluster of four processes, for all tests that leave it as they found it."""

import os
import random
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from faults.cluster import Cluster, cluster
from faults.lagging import Database
from souk.cache.v1 import loader_pb2_grpc

SEED = int(os.environ.get("SOUK_SEED") or random.SystemRandom().randrange(2**31))
FILE = """
namespaces:
  brief: {{ttl: 1m, load_lease: 4s}}
  row: {{ttl: 1m, loader: {{target: "{target}", method: souk.cache.v1.LoaderService/Load, hard_timeout: 10s}}}}
"""


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Database]]:
    database = Database(random.Random(SEED))
    server = grpc.aio.server()
    loader_pb2_grpc.add_LoaderServiceServicer_to_server(database, server)
    folder = tmp_path_factory.mktemp("nodes")
    (file := folder / "namespaces.yaml").write_text(FILE.format(target=f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"))
    await server.start()
    try:
        async with cluster(folder, namespaces_file=file) as made:
            yield made, database
    finally:
        await server.stop(None)


@pytest_asyncio.fixture(loop_scope="session")
async def nodes(shared: tuple[Cluster, Database]) -> Cluster:
    await shared[0].coherent()
    return shared[0]


@pytest.fixture
def database(shared: tuple[Cluster, Database]) -> Database:
    """That of the namespace `row`."""
    return shared[1]
