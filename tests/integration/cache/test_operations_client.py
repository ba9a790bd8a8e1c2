"""Operations by the client: followed over two nodes and over connections that end, cancelled, failed, and who may do what."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from loaders import Catalogue, loader_server
from processes import until
from souk.client import (
    CacheClient,
    CancelledError,
    ClientConfig,
    DeadlineExceededError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
    WarmProgress,
)
from souk.common.v1 import operations_pb2 as pb
from souk_cache.app import SCOPES
from souk_common.auth import new_token
from souk_common.operation_service import SERVICE

from services import Serve

METHODS = "method: souk.cache.v1.LoaderService/Load, list_method: souk.cache.v1.LoaderService/ListKeys"
FILE = """
namespaces:
  loaded: {{ttl: 1m, loader: {{target: "{target}", {methods}, hard_timeout: 10s}}}}
"""
KEYS = [f"k{i:02}" for i in range(20)]


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue(dict.fromkeys(KEYS, b"value"))
    async with loader_server(made):
        yield made


@pytest.fixture
def file(tmp_path: Path, catalogue: Catalogue) -> Path:
    path = tmp_path / "loaded.yaml"
    path.write_text(FILE.format(target=catalogue.target, methods=METHODS))
    return path


def client_of(*addresses: str, **config: Any) -> CacheClient:
    return CacheClient(config=ClientConfig(target=f"ipv4:{','.join(addresses)}", max_backoff=0.2, **config))


async def test_an_operation_is_followed_cancelled_and_found_again_at_its_node(serve: Serve, file: Path, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with (
        serve(namespaces_file=file, node="one") as one,
        serve(namespaces_file=file, node="two") as two,
        client_of(one.addresses.grpc, two.addresses.grpc) as cache,
    ):
        warmings = [await cache.warm("loaded", keys=KEYS) for _ in range(4)]
        assert {each.operation_id.partition("/")[0] for each in warmings} == {"one", "two"}
        for _ in range(3):
            for each in warmings:
                found = await cache.operations.get(each.operation_id)
                assert (found.operation_id, found.target) == (each.operation_id, "loaded")
        assert await warmings[0].cancel() == WarmProgress(total=20, fetched=0, loaded=0, skipped=0, failed=0)
        assert warmings[0].over
        with pytest.raises(CancelledError) as caught:
            await warmings[0].result()
        assert caught.value.reason == "OPERATION_CANCELLED"
        catalogue.release.set()
        for each in warmings[1:]:
            assert (await each.result(timeout=10)).done == 20
        async with client_of(one.addresses.grpc) as alone:
            listed = [each async for each in alone.operations.list(page_size=1)]
            assert len(listed) == sum(each.operation_id.startswith("one/") for each in warmings)
            away = next(each for each in warmings if each.operation_id.startswith("two/"))
            with pytest.raises(NotFoundError) as elsewhere:
                await alone.operations.get(away.operation_id)
            assert (elsewhere.value.reason, elsewhere.value.metadata["node"]) == ("OPERATION_ELSEWHERE", "two")


async def test_progress_is_followed_over_connections_that_end(serve: Serve, file: Path, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    ending = {"max_connection_age": 0.2, "max_connection_age_grace": 0.1}
    async with serve(namespaces_file=file, **ending) as server, client_of(server.addresses.grpc) as cache:
        warming = await cache.warm("loaded", keys=KEYS)
        told = []

        async def follow() -> None:
            told.extend([each async for each in warming])

        following = asyncio.create_task(follow())

        def streams() -> int:
            lines = [line for line in server.log.lines if line.get("method") == f"/{SERVICE}/WatchOperation"]
            return len(lines)

        await until(lambda: streams() >= 2)
        catalogue.release.set()
        await following
        assert told[-1] == WarmProgress(total=20, fetched=0, loaded=20, skipped=0, failed=0)
        assert len(told) == len(set(told)), "nothing is told twice"


async def test_what_an_operation_ends_with_is_raised_typed(serve: Serve, file: Path, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with serve(namespaces_file=file, max_operations=1) as server, client_of(server.addresses.grpc) as cache:
        warming = await cache.warm("loaded", keys=KEYS, time_limit=30)
        with pytest.raises(ResourceExhaustedError) as busy:
            await cache.warm("loaded", keys=KEYS)
        assert (busy.value.reason, busy.value.retry_delay) == ("TOO_MANY_OPERATIONS", 5.0)
        with pytest.raises(DeadlineExceededError):
            await warming.result(timeout=0.05)
        assert not warming.over, "who waited is gone, and it goes on"
        await warming.cancel()
        with pytest.raises(DeadlineExceededError):
            await (await cache.warm("loaded", keys=KEYS, time_limit=0.05)).result()
        catalogue.code = grpc.StatusCode.INTERNAL
        with pytest.raises(UnavailableError) as failed:
            await (await cache.warm("loaded", query="")).result()
        assert failed.value.reason == "LOADER_FAILED"


async def test_a_node_that_stops_is_what_an_operation_fails_with(serve: Serve, file: Path, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        async with serve(namespaces_file=file) as server:
            cache = await stack.enter_async_context(client_of(server.addresses.grpc))
            warming = await cache.warm("loaded", keys=KEYS)
            await anext(aiter(warming))
            following = asyncio.create_task(warming.result())
            await until(lambda: warming.progress.total == 20)
        with pytest.raises(UnavailableError) as stopped:
            await following
        assert stopped.value.reason in ("SHUTTING_DOWN", ""), "the node said so, or was gone when it was asked again"


async def test_the_scopes_of_the_service_are_asked_for_and_the_caller_is_named(serve: Serve, file: Path, tmp_path: Path):
    assert {name for name in SCOPES if SERVICE in name} == {
        f"/{SERVICE}/{method.name}" for method in pb.DESCRIPTOR.services_by_name["OperationService"].methods
    }
    (writer, written), (reader, read) = new_token(), new_token()
    path = tmp_path / "auth.yaml"
    principals = [
        {"name": "shop", "scopes": ["cache.read", "cache.write"], "token_sha256": [written]},
        {"name": "ops", "scopes": ["cache.read"], "token_sha256": [read]},
    ]
    path.write_text(yaml.safe_dump({"principals": principals}))
    async with (
        serve(namespaces_file=file, auth_file=path) as server,
        client_of(server.addresses.grpc, token=writer, allow_plaintext=True) as shop,
        client_of(server.addresses.grpc, token=reader, allow_plaintext=True) as ops,
    ):
        warming = await shop.warm("loaded", keys=KEYS, request_id="mine")
        await warming.result()
        assert [each.principal async for each in ops.operations.list()] == ["shop"]
        assert [each.progress.done async for each in ops.operations.watch(warming.operation_id)] == [20]
        with pytest.raises(PermissionDeniedError) as denied:
            await ops.operations.cancel(warming.operation_id)
        assert denied.value.metadata["scope"] == "cache.write"
        line = await server.log.wait_for(lambda line: line["event"] == "operation")
        assert (line["operation"], line["state"], line["principal"], line["loaded"]) == (
            warming.operation_id,
            "SUCCEEDED",
            "shop",
            20,
        )


async def test_the_service_is_found_by_reflection_and_by_health(serve: Serve, file: Path):
    async with serve(namespaces_file=file) as server:
        health = await health_pb2_grpc.HealthStub(server.channel()).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING

        def services() -> list[str]:
            with grpc.insecure_channel(server.addresses.grpc) as channel:
                return list(ProtoReflectionDescriptorDatabase(channel).get_services())

        assert SERVICE in await asyncio.to_thread(services)
