"""A near cache by itself: what it hands out, what goes first, and when it stops."""

from collections.abc import Sequence

import pytest
from souk.cache.v1 import cache_pb2 as pb
from souk.client._near import OVERHEAD_BYTES, NearCache

LEASE = 5


class Case:
    """A near cache that may serve, and its clock."""

    def __init__(self, max_entries: int = 10, max_bytes: int = 1 << 20) -> None:
        self.now = 100.0
        self.near = NearCache(["user", "product"], max_bytes=max_bytes, max_entries=max_entries, clock=lambda: self.now)
        self.near.interest()
        self.near.apply(pb.WatchResponse(discontinuity=pb.WatchDiscontinuity(position=_place(1))))
        self.lend()

    def lend(self) -> None:
        """Ping, and be answered at once."""
        heartbeat = pb.WatchHeartbeat(ping=self.near.ping().ping.id, positions=[_place(1)])
        heartbeat.lease.seconds = LEASE
        self.near.apply(pb.WatchResponse(heartbeat=heartbeat))

    def keep(
        self,
        key: str,
        value: bytes | None = b"value",
        *,
        namespace: str = "user",
        ttl: int = 60,
        aliases: Sequence[str] = (),
        found_by: str = "",
    ) -> None:
        """Read it at a node; None: negative."""
        description = pb.Description(position=_place(1), aliases=aliases)
        description.remaining.seconds = ttl
        result = pb.Result()
        if value is None:
            result.negative.MergeFrom(pb.NegativeHit(freshness=pb.FRESHNESS_FRESH, description=description))
        else:
            result.hit.MergeFrom(pb.Hit(value=value, freshness=pb.FRESHNESS_FRESH, description=description))
        self.near.remember(namespace, key, result, sent=self.now, alias=found_by)

    def has(self, key: str, namespace: str = "user") -> bool:
        return self.near.find(namespace, key) is not None


def _place(sequence: int) -> pb.Position:
    return pb.Position(epoch="e", sequence=sequence)


def test_what_was_read_of_late_outlives_what_was_not() -> None:
    case = Case(max_entries=3)
    for key in ("1", "2", "3"):
        case.keep(key)
    assert case.has("1")
    case.keep("4")
    assert [key for key in ("1", "2", "3", "4") if case.has(key)] == ["1", "3", "4"]
    assert len(case.near) == 3


def test_bytes_are_bounded() -> None:
    case = Case(max_bytes=2 * (OVERHEAD_BYTES + 101))
    for key in ("1", "2", "3"):
        case.keep(key, bytes(100))
        assert case.near.bytes <= 2 * (OVERHEAD_BYTES + 101)
    assert len(case.near) == 2
    case.keep("4", bytes(10_000))  # more than all that there is
    assert not case.has("4")
    assert len(case.near) == 2


def test_a_result_is_the_callers_own() -> None:
    case = Case()
    case.keep("1", b"right")
    case.keep("2", None)
    for _ in range(2):
        entry = case.near.find("user", "1")
        assert entry is not None
        result = entry.result()
        assert (result.hit.value, result.hit.freshness) == (b"right", pb.FRESHNESS_FRESH)
        result.hit.value, result.hit.freshness = b"wrong", pb.FRESHNESS_STALE
    negative = case.near.find("user", "2")
    assert negative is not None
    assert negative.result().WhichOneof("result") == "negative"


def test_namespaces_are_apart() -> None:
    case = Case()
    case.keep("1", b"a user")
    case.keep("1", b"a product", namespace="product")
    case.keep("1", b"not kept", namespace="search")
    case.near.invalidated(
        pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="user", key="1")]), pb.ConsistencyToken(positions=[_place(2)])
    )
    assert (case.has("1"), case.has("1", "product"), case.has("1", "search")) == (False, True, False)


@pytest.mark.parametrize("case_of_alias", ["0xA", "0xa"])
def test_an_alias_finds_only_the_value_that_lists_it(case_of_alias: str) -> None:
    case = Case()
    case.keep("1", b"value", aliases=["0xA"])
    assert (case.near.find("user", alias=case_of_alias) is not None) == (case_of_alias == "0xA")


def test_an_alias_finds_its_value_as_those_spelled_it_to_whom_the_service_gave_it() -> None:
    case = Case()
    for spelled in ("wallet:0xA1CE", "wallet:0xa1cE", ""):
        case.keep("1", b"value", aliases=["wallet:0xa1ce", "ens:anna.eth"], found_by=spelled)
    asked = ("wallet:0xa1ce", "wallet:0xA1CE", "wallet:0xa1cE", "wallet:0xA1ce", "ens:Anna.eth")
    assert [case.near.find("user", alias=alias) is not None for alias in asked] == [True, True, True, False, False]
    case.keep("1", b"value", aliases=["ens:anna.eth"])
    assert case.near.find("user", alias="wallet:0xA1CE") is None, "it has that wallet no more"


def test_nothing_is_served_past_its_ttl_or_the_lease() -> None:
    case = Case()
    case.keep("short", ttl=LEASE - 2)
    case.keep("long", ttl=10 * LEASE)
    case.now += LEASE - 2
    assert (case.has("short"), case.has("long")) == (False, True)
    case.now += 2
    assert not case.has("long")
    case.lend()
    assert case.has("long")
    case.near.apply(pb.WatchResponse(leaving=pb.WatchLeaving()))
    assert not case.has("long")
    assert case.near.hits == 2
