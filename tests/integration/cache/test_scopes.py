"""Who may take leases, where auth is on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_status import rpc_status
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.client import CacheClient, ClientConfig, PermissionDeniedError
from souk_common.auth import new_token
from souk_common.testing import RunningServer

from services import Serve

LEASE = pb.ReadOptions(lease=True)
KEY = pb.GetRequest(namespace="product", key="1", options=LEASE)
ALIAS = pb.GetRequest(namespace="user", alias="ens:a.eth", options=LEASE)
READER, WRITER = new_token(), new_token()


@pytest.fixture
async def server(serve: Serve, tmp_path: Path) -> AsyncIterator[RunningServer]:
    path = tmp_path / "auth.yaml"
    principals = [
        {"name": "page", "scopes": ["cache.read"], "token_sha256": [READER[1]]},
        {"name": "shop", "scopes": ["cache.read", "cache.write"], "token_sha256": [WRITER[1]]},
    ]
    path.write_text(yaml.safe_dump({"principals": principals}))
    async with serve(auth_file=path) as running:
        yield running


@pytest.fixture
def cache(server: RunningServer) -> CacheServiceStub:
    return CacheServiceStub(server.channel())


def by(token: tuple[str, str]) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token[0]}"),), "timeout": 10}


async def denied(call: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    told = rpc_status.from_call(caught.value)
    assert told is not None
    assert b"SCOPE_MISSING" in told.details[0].value
    assert b"cache.write" in told.details[0].value


@pytest.mark.parametrize("read", [KEY, ALIAS], ids=["key", "alias"])
async def test_a_lease_needs_the_scope_of_who_writes(cache: CacheServiceStub, read: pb.GetRequest):
    await denied(cache.Get(read, **by(READER)))
    assert (await cache.Get(read, **by(WRITER))).result.HasField("lease"), "and nobody has it"


async def test_so_do_the_leases_of_a_batch(cache: CacheServiceStub):
    request = pb.BatchGetRequest(namespace="product", keys=["1", "2"], options=LEASE)
    await denied(cache.BatchGet(request, **by(READER)))
    assert all(result.HasField("lease") for result in (await cache.BatchGet(request, **by(WRITER))).results)


async def test_on_a_stream_it_is_told_in_the_place_of_the_read(cache: CacheServiceStub):
    plain = pb.GetRequest(namespace="product", key="1")
    reads = [pb.GetStreamRequest.Item(id=number, get=get) for number, get in enumerate((KEY, ALIAS, plain))]
    stream = cache.GetStream(**by(READER))
    await stream.write(pb.GetStreamRequest(items=reads))
    await stream.done_writing()
    items = {item.id: item async for answer in stream for item in answer.items}
    for number in (0, 1):
        error = items[number].error
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED.value[0], "SCOPE_MISSING")
        assert dict(error.metadata) == {"scope": "cache.write", "principal": "page"}
    assert items[2].result.HasField("miss")


async def test_who_may_not_take_leases_is_told_so_by_the_client(server: RunningServer):
    config = ClientConfig(target=server.addresses.grpc, token=READER[0], allow_plaintext=True)
    async with CacheClient(config=config) as client:
        products = client.namespace("product")

        async def load(_: object) -> bytes:
            raise AssertionError("nothing is loaded past the cache")

        async def load_many(_: object) -> dict[str, bytes]:
            raise AssertionError("nothing is loaded past the cache")

        with pytest.raises(PermissionDeniedError):
            await products.get_or_load("1", load)
        with pytest.raises(PermissionDeniedError):
            await products.get_or_load_many(["1"], load_many)
        assert await products.get("1") is None
