"""Users by id, wallet and ENS name: one value, several names, and a name that moves never shows who had it before."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

ANNA = ["wallet:0xA1", "ens:anna.eth"]


async def by(cache: CacheServiceStub, alias: str, **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace="user", alias=alias, options=pb.ReadOptions(**options))
    return (await cache.Get(request, timeout=10)).result


async def by_id(cache: CacheServiceStub, key: str, **options: Any) -> pb.Result:
    return (await cache.Get(pb.GetRequest(namespace="user", key=key, options=pb.ReadOptions(**options)), timeout=10)).result


async def fill(cache: CacheServiceStub, lease: str, key: str, value: bytes, aliases: list[str], alias: str = "") -> str:
    request = pb.FillRequest(namespace="user", key=key, lease=lease, value=value, aliases=aliases, alias=alias)
    return pb.FillOutcome.Name((await cache.Fill(request, timeout=10)).outcome).removeprefix("FILL_OUTCOME_")


async def put(cache: CacheServiceStub, key: str, value: bytes, aliases: list[str]) -> None:
    request = pb.PutRequest(namespace="user", key=key, value=value, aliases=aliases)
    assert (await cache.Put(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED


async def invalidate(cache: CacheServiceStub, *, keys: tuple[str, ...] = (), aliases: tuple[str, ...] = ()) -> None:
    request = pb.InvalidateRequest(
        keys=[pb.NamespacedKey(namespace="user", key=key) for key in keys],
        aliases=[pb.NamespacedAlias(namespace="user", alias=alias) for alias in aliases],
    )
    await cache.Invalidate(request, timeout=10)


async def test_what_one_alias_loaded_is_found_by_all_names(cache: CacheServiceStub):
    lease = (await by(cache, "wallet:0xA1", lease=True)).lease.token
    assert (await by(cache, "wallet:0xA1", lease=True)).HasField("wait"), "one loader for an alias, too"
    assert await fill(cache, lease, "1", b"Anna", ANNA, alias="wallet:0xA1") == "STORED"
    for alias in (*ANNA, "wallet:0xa1", "ens:Anna.ETH"):
        hit = (await by(cache, alias)).hit
        assert (hit.value, hit.key) == (b"Anna", "1"), alias
    described = (await by_id(cache, "1", describe=True)).hit.description
    assert sorted(described.aliases) == ["ens:anna.eth", "wallet:0xa1"]


async def test_what_an_id_loaded_is_found_by_its_aliases(cache: CacheServiceStub):
    lease = (await by_id(cache, "1", lease=True)).lease.token
    assert await fill(cache, lease, "1", b"Anna", ANNA) == "STORED"
    assert (await by(cache, "ens:anna.eth")).hit.value == b"Anna"


async def test_an_alias_that_nothing_has_is_known_to_be_free_until_it_is_invalidated(cache: CacheServiceStub):
    lease = (await by(cache, "ens:free.eth", lease=True)).lease.token
    request = pb.FillRequest(namespace="user", alias="ens:free.eth", lease=lease, negative=pb.Negative())
    assert (await cache.Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED
    assert (await by(cache, "ens:free.eth", lease=True)).HasField("negative")
    await put(cache, "1", b"Anna", ["ens:free.eth"])
    assert (await by(cache, "ens:free.eth")).hit.value == b"Anna"


async def test_a_put_takes_an_alias_from_who_had_it(cache: CacheServiceStub):
    await put(cache, "1", b"Anna", ANNA)
    assert (await by(cache, "wallet:0xA1")).hit.value == b"Anna"
    await put(cache, "2", b"Ben", ["wallet:0xA1"])
    assert (await by(cache, "wallet:0xA1")).hit.value == b"Ben"
    assert (await by_id(cache, "1", lease=True)).HasField("lease"), "what says that Anna has it is not right any more"
    assert (await by(cache, "ens:anna.eth", lease=True)).HasField("lease")


async def test_an_invalidated_alias_shows_nobody_and_drops_who_had_it(cache: CacheServiceStub):
    await put(cache, "1", b"Anna", ANNA)
    await invalidate(cache, aliases=("wallet:0xA1",))
    assert (await by(cache, "wallet:0xA1")).HasField("miss")
    assert (await by_id(cache, "1")).HasField("miss")


async def test_writers_who_only_name_ids_are_enough(cache: CacheServiceStub):
    """Anna's wallet goes to Ben; both rows were written, and both ids are invalidated."""
    await put(cache, "1", b"Anna", ANNA)
    await put(cache, "2", b"Ben", [])
    await invalidate(cache, keys=("1", "2"))
    lease = (await by_id(cache, "1", lease=True)).lease.token
    assert await fill(cache, lease, "1", b"Anna", ["ens:anna.eth"]) == "STORED"
    answer = await by(cache, "wallet:0xA1", lease=True)
    assert answer.HasField("lease"), "Anna is there, and has it no more"
    assert await fill(cache, answer.lease.token, "2", b"Ben", ["wallet:0xA1"], alias="wallet:0xA1") == "STORED"
    assert (await by(cache, "wallet:0xA1")).hit.value == b"Ben"


async def test_what_was_loaded_before_the_alias_moved_is_not_kept(cache: CacheServiceStub):
    lease = (await by(cache, "wallet:0xA1", lease=True)).lease.token
    await invalidate(cache, aliases=("wallet:0xA1",))
    assert await fill(cache, lease, "1", b"Anna", ANNA, alias="wallet:0xA1") in ("LEASE_LOST", "INVALIDATED")
    assert (await by(cache, "wallet:0xA1")).HasField("miss")
    lease = (await by_id(cache, "1", lease=True)).lease.token
    await invalidate(cache, aliases=("ens:anna.eth",))
    assert await fill(cache, lease, "1", b"Anna", ANNA) == "INVALIDATED"


@pytest.mark.parametrize(
    ("request_", "reason", "fields"),
    [
        (pb.GetRequest(namespace="user", alias="phone:1"), "ALIAS_KIND_UNKNOWN", []),
        (pb.GetRequest(namespace="user", alias="wallet:"), "ALIAS_KIND_UNKNOWN", []),
        (pb.GetRequest(namespace="product", alias="wallet:0xA1"), "ALIAS_KIND_UNKNOWN", []),
        (pb.GetRequest(namespace="user", alias=""), "INVALID_FIELD", ["alias"]),
        (pb.GetRequest(namespace="user", alias="ens:" + "x" * 300), "INVALID_FIELD", ["alias"]),
        (pb.PutRequest(namespace="user", key="1", value=b"", aliases=["ens:a\n"]), "INVALID_FIELD", ["aliases"]),
        (
            pb.PutRequest(namespace="user", key="1", value=b"", aliases=[f"ens:{n}" for n in range(17)]),
            "INVALID_FIELD",
            ["aliases"],
        ),
        (pb.PutRequest(namespace="user", key="1", value=b"", aliases=["phone:1"]), "ALIAS_KIND_UNKNOWN", []),
        (pb.FillRequest(namespace="user", key="1", lease="x", value=b"", alias="ens:a"), "INVALID_FIELD", ["aliases"]),
        (pb.FillRequest(namespace="user", lease="x", value=b"", alias="ens:a", aliases=["ens:a"]), "INVALID_FIELD", ["key"]),
    ],
)
async def test_a_wrong_alias_is_named(cache: CacheServiceStub, request_: Any, reason: str, fields: list[str]):
    call = {pb.GetRequest: cache.Get, pb.PutRequest: cache.Put, pb.FillRequest: cache.Fill}[type(request_)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request_, timeout=10)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [violation.field for violation in bad.field_violations] == fields
