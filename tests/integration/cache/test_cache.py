"""What callers are promised, by a node that is alone and by one on a real Redis."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_cache.rpc.reads import MAX_WAITS

from services import Serve

LEASE = pb.ReadOptions(lease=True)


async def get(cache: CacheServiceStub, key: str, namespace: str = "product", **options: Any) -> pb.Result:
    answer = await cache.Get(pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(**options)), timeout=10)
    return answer.result


async def load(cache: CacheServiceStub, key: str, value: bytes, namespace: str = "product", **more: Any) -> str:
    """Read, get the lease, fill; the name of the outcome."""
    result = await get(cache, key, namespace, lease=True)
    assert result.WhichOneof("result") == "lease", result
    return await fill(cache, key, result.lease.token, namespace, value=value, **more)


async def fill(cache: CacheServiceStub, key: str, lease: str, namespace: str = "product", **content: Any) -> str:
    answer = await cache.Fill(pb.FillRequest(namespace=namespace, key=key, lease=lease, **content), timeout=10)
    return pb.FillOutcome.Name(answer.outcome).removeprefix("FILL_OUTCOME_")


async def invalidate(cache: CacheServiceStub, **names: Any) -> pb.ConsistencyToken:
    return (await cache.Invalidate(pb.InvalidateRequest(**names), timeout=10)).token


def product(key: str) -> pb.NamespacedKey:
    return pb.NamespacedKey(namespace="product", key=key)


async def refused(call: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told: status_pb2.Status = rpc_status.from_call(caught.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in told.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return caught.value.code(), info, [violation.field for violation in bad.field_violations]


async def test_a_miss_gives_one_lease_and_what_it_fills_is_a_hit(cache: CacheServiceStub):
    assert (await get(cache, "1")).HasField("miss")
    first, second = await get(cache, "1", lease=True), await get(cache, "1", lease=True)
    assert first.HasField("lease")
    assert second.HasField("wait")
    assert 0 < second.wait.lease_remaining.ToMilliseconds() <= 5000
    assert await fill(cache, "1", first.lease.token, value=b"shoe", version=7) == "STORED"
    hit = (await get(cache, "1", lease=True)).hit
    assert (hit.value, hit.freshness, hit.level, hit.version) == (b"shoe", pb.FRESHNESS_FRESH, pb.LEVEL_MEMORY, 7)
    assert await fill(cache, "1", first.lease.token, value=b"again") == "LEASE_LOST"


async def test_that_there_is_nothing_is_known_too(cache: CacheServiceStub):
    lease = (await get(cache, "none", lease=True)).lease.token
    assert await fill(cache, "none", lease, negative=pb.Negative()) == "STORED"
    assert (await get(cache, "none", lease=True)).negative.freshness == pb.FRESHNESS_FRESH


async def test_a_lease_that_is_abandoned_goes_to_the_next(cache: CacheServiceStub):
    lease = (await get(cache, "1", lease=True)).lease.token
    assert await fill(cache, "1", lease, abandon=pb.Abandon()) == "RELEASED"
    assert await fill(cache, "1", lease, abandon=pb.Abandon()) == "LEASE_LOST"
    assert (await get(cache, "1", lease=True)).HasField("lease")


async def test_a_reader_who_waits_gets_what_another_loads(cache: CacheServiceStub):
    lease = (await get(cache, "1", lease=True)).lease.token
    readers = [asyncio.create_task(get(cache, "1", lease=True, wait=Duration(seconds=5))) for _ in range(50)]
    await get(cache, "other")  # the readers before it on this connection have come
    assert await fill(cache, "1", lease, value=b"shoe") == "STORED"
    assert {result.hit.value for result in await asyncio.gather(*readers)} == {b"shoe"}


async def test_a_reader_who_does_not_wait_is_not_held_up_by_one_who_does(cache: CacheServiceStub):
    lease = (await get(cache, "1", lease=True)).lease.token
    waiting = asyncio.create_task(get(cache, "1", lease=True, wait=Duration(seconds=30)))
    await get(cache, "other")  # the reader before it on this connection has come
    assert (await get(cache, "1", lease=True)).HasField("wait")
    assert not waiting.done()
    assert await fill(cache, "1", lease, value=b"shoe") == "STORED"
    assert (await waiting).hit.value == b"shoe"


@pytest.mark.parametrize(
    "names",
    [{"keys": [product("1")]}, {"tags": ["seller:7"]}, {"namespaces": ["product"]}, {"keys": [product("x")], "tags": ["seller:7"]}],
    ids=["key", "tag", "namespace", "several"],
)
async def test_what_is_invalidated_is_gone_and_what_was_being_loaded_is_not_stored(cache: CacheServiceStub, names: dict[str, Any]):
    assert await load(cache, "1", b"old", tags=["seller:7"]) == "STORED"
    assert await load(cache, "2", b"other", "seller_stats", tags=["seller:8"]) == "STORED"
    await invalidate(cache, **names)
    lease = (await get(cache, "1", lease=True)).lease.token
    assert lease
    await invalidate(cache, **names)
    assert await fill(cache, "1", lease, value=b"old", tags=["seller:7"]) in ("INVALIDATED", "LEASE_LOST")
    assert not (await get(cache, "1")).HasField("hit")
    assert await load(cache, "1", b"new", tags=["seller:7"]) == "STORED"
    assert (await get(cache, "1")).hit.value == b"new"
    assert (await get(cache, "2", "seller_stats")).hit.value == b"other"


async def test_a_put_is_seen_and_a_smaller_version_changes_nothing(cache: CacheServiceStub):
    async def put(value: bytes, version: int) -> pb.PutResponse:
        return await cache.Put(pb.PutRequest(namespace="product", key="1", value=value, version=version), timeout=10)

    first = await put(b"two", 2)
    assert first.outcome == pb.FILL_OUTCOME_STORED
    assert (await get(cache, "1", after=first.token)).hit.value == b"two"
    older = await put(b"one", 1)
    assert older.outcome == pb.FILL_OUTCOME_OLDER
    assert (await get(cache, "1")).hit.value == b"two"
    second = await put(b"ten", 10)
    assert second.outcome == pb.FILL_OUTCOME_STORED
    assert second.token.positions[0].sequence > first.token.positions[0].sequence
    assert (await get(cache, "1")).hit.value == b"ten"


async def test_a_put_ends_a_load_that_began_before(cache: CacheServiceStub):
    lease = (await get(cache, "1", lease=True)).lease.token
    await cache.Put(pb.PutRequest(namespace="product", key="1", value=b"new"), timeout=10)
    assert await fill(cache, "1", lease, value=b"old") in ("INVALIDATED", "LEASE_LOST")
    assert (await get(cache, "1")).hit.value == b"new"


async def test_a_batch_has_a_result_for_each_key_in_order(cache: CacheServiceStub):
    for key in "ace":
        assert await load(cache, key, key.encode()) == "STORED"
    answer = await cache.BatchGet(pb.BatchGetRequest(namespace="product", keys=list("abcdea")), timeout=10)
    assert [result.hit.value for result in answer.results] == [b"a", b"", b"c", b"", b"e", b"a"]
    assert [result.WhichOneof("result") for result in answer.results] == ["hit", "miss", "hit", "miss", "hit", "hit"]
    leased = await cache.BatchGet(pb.BatchGetRequest(namespace="product", keys=["b", "b", "x"], options=LEASE), timeout=10)
    assert sum(result.HasField("lease") for result in leased.results) >= 2
    keys = ["views@2026-11-25T10:00Z/PT1H", "views"]
    miss, unreadable = (await cache.BatchGet(pb.BatchGetRequest(namespace="analytics", keys=keys), timeout=10)).results
    assert (miss.WhichOneof("result"), unreadable.error.reason) == ("miss", "TIME_BUCKET_UNREADABLE")


async def test_the_source_token_of_an_invalidation_goes_to_the_next_loader(cache: CacheServiceStub):
    await invalidate(cache, keys=[product("1")], source_token=70)
    await invalidate(cache, keys=[product("2")], source_token=9)
    assert (await get(cache, "1", lease=True)).lease.source_token == 70
    assert not (await get(cache, "1", "order", lease=True)).lease.HasField("source_token")
    await invalidate(cache, tags=["seller:1"], source_token=71)
    assert (await get(cache, "2", "order", lease=True)).lease.source_token == 71


async def test_bad_input_is_named_and_changes_nothing(cache: CacheServiceStub):
    code, info, fields = await refused(
        cache.Get(pb.GetRequest(namespace="product", key="k" * 513, options=pb.ReadOptions(wait=Duration(seconds=31))))
    )
    assert (code, info.reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["key", "options.wait"])
    many = [f"tag{i}" for i in range(10_000)]
    _, _, fields = await refused(
        cache.Fill(pb.FillRequest(namespace="product", key="a\n", lease="", tags=many, ttl=Duration(seconds=-1), version=-1))
    )
    assert set(fields) == {"key", "tags", "ttl", "version", "lease", "content"}
    _, _, fields = await refused(cache.Put(pb.PutRequest(namespace="product", key="")))
    assert fields == ["key", "content"]
    _, _, fields = await refused(cache.Invalidate(pb.InvalidateRequest(tags=many)))
    assert fields == ["keys"]
    _, _, fields = await refused(cache.BatchGet(pb.BatchGetRequest(namespace="product", keys=["a", ""])))
    assert fields == ["keys[1]"]
    code, info, _ = await refused(cache.Get(pb.GetRequest(namespace="nowhere", key="a")))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "NAMESPACE_UNKNOWN")
    assert "product" in info.metadata["known"]
    lease = (await get(cache, "a", "small", lease=True)).lease.token
    code, info, _ = await refused(cache.Fill(pb.FillRequest(namespace="small", key="a", lease=lease, value=b"x" * 101)))
    assert (code, info.reason, info.metadata["limit_bytes"]) == (grpc.StatusCode.INVALID_ARGUMENT, "VALUE_TOO_LARGE", "100")
    assert await fill(cache, "a", "forged", "small", value=b"x") == "LEASE_LOST"
    assert await fill(cache, "a", lease, "small", value=b"x") == "STORED"
    token = pb.ConsistencyToken(positions=[pb.Position(epoch="of another", sequence=5)])
    assert (await get(cache, "a", "small", lease=True, after=token)).WhichOneof("result") in ("hit", "lease")


async def test_counts_and_policies_are_told(cache: CacheServiceStub):
    assert await load(cache, "1", b"shoe") == "STORED"
    await get(cache, "1")
    await invalidate(cache, keys=[product("1")])
    told = await cache.GetStats(pb.GetStatsRequest(), timeout=10)
    counts = {each.namespace: each for each in told.namespaces}["product"]
    assert (counts.hits_memory, counts.leases, counts.fills, counts.invalidations) == (1, 1, 1, 1)
    assert (told.memory_entries, told.coherent) == (0, True)
    listed = {each.name: each for each in (await cache.ListNamespaces(pb.ListNamespacesRequest(), timeout=10)).namespaces}
    assert {
        "product",
        "seller_stats",
        "image_set",
        "user",
        "order",
        "search",
        "analytics",
        "brief",
        "fleeting",
        "patient",
        "small",
    } == set(listed)
    assert listed["product"].ttl.ToSeconds() == 6 * 3600
    assert listed["order"].consistency == pb.CONSISTENCY_STRICT
    buckets, order = listed["analytics"], listed["order"]
    assert (buckets.time_buckets, buckets.bucket_grace.ToSeconds(), order.time_buckets) == (True, 60, False)
    assert (buckets.unverified_ttl.ToSeconds(), order.HasField("unverified_ttl")) == (60, False)
    assert (listed["search"].jitter, listed["search"].refresh_beta, order.refresh_beta) == (0.2, 2.0, 0.0)
    assert (order.load_lease.ToSeconds(), order.compress, order.warm_hottest) == (5, True, 0)


LARGE = 700_000
MIB = 1024 * 1024


async def streamed(cache: CacheServiceStub, *gets: pb.GetRequest) -> list[pb.GetStreamResponse]:
    """The answers to reads that are sent in one message, by id from 1 on."""
    stream = cache.GetStream(timeout=20)
    await stream.write(pb.GetStreamRequest(items=[pb.GetStreamRequest.Item(id=i, get=get) for i, get in enumerate(gets, 1)]))
    await stream.done_writing()
    return [answer async for answer in stream]


async def put_large(cache: CacheServiceStub, *keys: str) -> None:
    for key in keys:
        value = key.encode() * (LARGE // len(key))
        await cache.Put(pb.PutRequest(namespace="product", key=key, value=value), timeout=10)


@pytest.mark.parametrize("describe", [False, True])
async def test_a_batch_is_one_message_and_names_the_keys_that_find_no_room_in_it(cache: CacheServiceStub, describe: bool):
    await put_large(cache, *"abcdefgh")
    request = pb.BatchGetRequest(namespace="product", keys=list("zabcdefgh"), options=pb.ReadOptions(lease=True, describe=describe))
    for _ in range(2):  # from Redis, where there is one, and from memory
        answer = await cache.BatchGet(request, timeout=10)
        assert answer.ByteSize() <= 4 * MIB
        missing, *found = answer.results
        assert missing.WhichOneof("result") in ("lease", "wait")
        hits = {key: result.hit.value for key, result in zip("abcdefgh", found, strict=True) if result.HasField("hit")}
        assert len(hits) == 5, "as many as find room"
        assert all(set(value) == {ord(key)} and len(value) == LARGE for key, value in hits.items())
        refused = [result.error for result in found if not result.HasField("hit")]
        assert {(each.reason, each.domain, each.metadata["limit_bytes"]) for each in refused} == {
            ("BATCH_TOO_LARGE", "souk.cache.v1", str(4 * MIB))
        }


@pytest.mark.parametrize("describe", [False, True])
async def test_a_key_that_is_named_often_takes_no_more_than_one_message(cache: CacheServiceStub, describe: bool):
    await put_large(cache, "a")
    options = pb.ReadOptions(describe=describe)
    for _ in range(2):
        answer = await cache.BatchGet(pb.BatchGetRequest(namespace="product", keys=["a"] * 500, options=options), timeout=10)
        assert answer.ByteSize() <= 4 * MIB
        assert {result.error.reason for result in answer.results if not result.HasField("hit")} == {"BATCH_TOO_LARGE"}
        assert len(answer.results) == 500


async def test_a_stream_answers_large_values_in_messages_of_a_mebibyte(cache: CacheServiceStub):
    await put_large(cache, *"abcdefgh")
    gets = [pb.GetRequest(namespace="product", key=key) for key in "abcdefgh" * 3]
    for _ in range(2):
        answers = await streamed(cache, *gets)
        assert max(answer.ByteSize() for answer in answers) <= MIB
        items = {item.id: item.result.hit.value for answer in answers for item in answer.items}
        assert [items[number][:1].decode() for number in range(1, 25)] == list("abcdefgh" * 3)
        assert {len(value) for value in items.values()} == {LARGE}


async def test_small_answers_of_a_stream_share_messages(cache: CacheServiceStub):
    await load(cache, "1", b"shoe")
    await get(cache, "1")
    answers = await streamed(cache, *[pb.GetRequest(namespace="product", key="1")] * 500)
    assert sum(len(answer.items) for answer in answers) == 500
    assert len(answers) == 1


async def test_reads_that_wait_stop_no_others_of_their_stream(serve: Serve):
    """Those that are one too many do not wait."""
    async with serve() as server:
        cache = CacheServiceStub(server.channel())
        await load(cache, "hot", b"shoe")
        await get(cache, "hot")
        lease = (await get(cache, "cold", "patient", lease=True)).lease.token
        options = pb.ReadOptions(lease=True, wait=Duration(seconds=30))
        reads = [pb.GetRequest(namespace="patient", key="cold", options=options)] * 2500
        reads += [pb.GetRequest(namespace="product", key="hot")]
        items = [pb.GetStreamRequest.Item(id=number, get=read) for number, read in enumerate(reads)]
        stream = cache.GetStream(timeout=25)
        for start in range(0, len(items), 1000):
            await stream.write(pb.GetStreamRequest(items=items[start : start + 1000]))
        await stream.done_writing()
        answers: dict[int, pb.Result] = {}
        while len(answers) < len(items) - MAX_WAITS:
            answers |= {item.id: item.result for item in (await stream.read()).items}
        assert answers.pop(len(items) - 1).hit.value == b"shoe"
        assert {result.WhichOneof("result") for result in answers.values()} == {"wait"}
        assert await fill(cache, "cold", lease, "patient", value=b"boot") == "STORED"
        loaded: list[bytes] = []
        while isinstance(answer := await stream.read(), pb.GetStreamResponse):
            loaded += [item.result.hit.value for item in answer.items]
        assert len(loaded) == MAX_WAITS
        assert b"boot" in loaded
