"""The node's own memory, beside a plain model of it: bounds, accounting, expiry, what is served and what is not."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_cache.cells import Cells
from souk_cache.change import GIVEN
from souk_cache.counts import Counts, CountsByNamespace
from souk_cache.expiry import SLOT_SECONDS
from souk_cache.memory import OVERHEAD_BYTES, RELEASED, TAG_BYTES, Entry, Memory
from souk_cache.values import Value, encode

FOREVER = 1e9


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Case:
    """A memory whose values carry the length of their bytes in their key, so that a test can tell what they weigh."""

    max_bytes: int = 1 << 30
    max_entries: int = 1000
    stale_for: float = 0.0
    refresh_share: float = 1.0
    clock: Clock = field(default_factory=Clock)
    counts: CountsByNamespace = field(default_factory=CountsByNamespace)

    def __post_init__(self) -> None:
        self.memory = Memory(
            max_bytes=self.max_bytes,
            max_entries=self.max_entries,
            max_value_bytes=10_000,
            clock=self.clock,
            stale_for=lambda key: self.stale_for,
            refresh_after=lambda key, value: value.fresh_for * self.refresh_share,
            counts=lambda key: self.counts.of(key.partition(":")[0]),
        )
        self.memory.served_until = float("inf")

    def remember(self, key: str, data: bytes | None = b"x", ttl: float = FOREVER / 1000, seq: int = 1, version: str = "") -> None:
        self.memory.remember(key, encode(Value(data, ttl), compress=False), seq, (), 0.0, version)

    def read(self, key: str) -> bool:
        """As a node reads: the value is loaded where there is none. Whether it was there."""
        if self.memory.hit(key, self.clock.now) is not None:
            return True
        self.remember(key)
        return False


def weight(key: str, data: bytes | None) -> int:
    return len(key) + len(data or b"") + OVERHEAD_BYTES


KEYS = st.sampled_from([f"product:{number}" for number in range(12)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("remember"), KEYS, st.integers(-1, 3000), st.floats(0.001, 40)),
        st.tuples(st.just("hit"), KEYS),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("remove"), KEYS),
        st.tuples(st.just("garbage"), KEYS, st.binary(max_size=30)),
        st.tuples(st.just("pass"), st.floats(0, 20)),
        st.tuples(st.just("expire"), st.integers(0, 5)),
        st.tuples(st.just("clear")),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(1, 8), st.integers(OVERHEAD_BYTES, 6 * OVERHEAD_BYTES))
def test_at_every_step_it_is_within_its_bounds_and_has_nothing_that_the_model_has_not(
    steps: Sequence[tuple], max_entries: int, max_bytes: int
):
    case = Case(max_bytes=max_bytes, max_entries=max_entries, stale_for=5.0)
    memory, clock = case.memory, case.clock
    model: dict[str, tuple[bytes | None, float, float, str]] = {}
    gone = remembered = hits = negatives = 0
    for number, (name, *arguments) in enumerate(steps):
        before = [key for key in model if memory.version(key)]
        match name, arguments:
            case "remember", (key, length, ttl):
                data = None if length < 0 else b"x" * length
                ttl = round(ttl, 3)  # as it is kept
                gone += key in before
                remembered += 1
                model[key] = (data, clock.now + ttl, clock.now + ttl + 5.0, str(number))
                case.remember(key, data, ttl, version=str(number))
            case "hit" | "get", (key,):
                entry = memory.hit(key, clock.now) if name == "hit" else memory.get(key, clock.now)
                if entry is not None:
                    data, fresh_until, expires, version = model[key]
                    assert (entry.data, entry.version) == (data, version)
                    assert clock.now < (fresh_until if name == "hit" else expires) + 1e-6
                    hits += name == "hit"
                    negatives += name == "hit" and data is None
            case "remove", (key,):
                removed = memory.remove(key)
                assert removed == (key in before)
                gone += removed
                model.pop(key, None)
            case "garbage", (key, garbage):
                memory.remember(key, garbage, 1, (), 0.0, "")
            case "pass", (seconds,):
                clock.now += seconds
            case "expire", (budget,):
                expired = memory.expired
                memory.expire(clock.now, budget)
                assert memory.expired - expired <= budget
            case "clear", ():
                gone += len(memory)
                memory.clear()
                model.clear()
                assert len(memory) == memory.bytes == 0
        there = {key: model[key] for key in model if memory.version(key)}
        assert all(memory.version(key) == kept[3] for key, kept in there.items())
        assert len(memory) == len(there) <= max_entries
        assert memory.bytes == sum(weight(key, kept[0]) for key, kept in there.items()) <= max_bytes
        assert remembered == len(memory) + memory.evicted + memory.expired + memory.rejected + gone
    assert (case.counts.of("product").hits_memory, case.counts.of("product").negatives) == (hits, negatives)


def test_a_value_that_is_larger_than_the_memory_costs_the_others_nothing():
    case = Case(max_bytes=4 * weight("product:0", b"x"))
    for number in range(4):
        case.remember(f"product:{number}")
    for _ in range(3):
        case.remember("product:9", b"x" * 9000)
    assert [bool(case.memory.get(f"product:{number}", 0.0)) for number in (0, 1, 2, 3, 9)] == [True] * 4 + [False]
    assert (case.memory.rejected, case.memory.evicted) == (3, 0)


def test_a_value_that_has_become_too_large_takes_the_one_before_with_it():
    case = Case(max_bytes=2000)
    case.remember("product:1", b"old")
    case.remember("product:1", b"x" * 3000)
    assert case.memory.get("product:1", 0.0) is None
    assert (len(case.memory), case.memory.bytes) == (0, 0)


def test_the_names_that_a_value_carries_count_as_bytes_too():
    case = Case()
    tags = Cells().of(("=product", "#product:1", "+seller:7", "+category:lamps"))
    case.memory.remember("product:1", encode(Value(b"x", 60.0), compress=False), 1, tags, 0.0, "")
    assert case.memory.bytes == weight("product:1", b"x") + 2 * TAG_BYTES
    case.memory.remove("product:1")
    assert case.memory.bytes == 0


def test_a_value_is_replaced_by_the_one_that_is_remembered_next():
    case = Case()
    case.remember("product:1", b"old", version="1")
    case.remember("product:1", b"newer", version="2")
    entry = case.memory.hit("product:1", 0.0)
    assert entry is not None
    assert (entry.data, entry.version, case.memory.version("product:1")) == (b"newer", "2", "2")
    assert (len(case.memory), case.memory.bytes) == (1, weight("product:1", b"newer"))


def test_what_is_not_a_value_leaves_everything_as_it_was():
    case = Case()
    case.remember("product:1", b"good")
    for garbage in (b"", b"garbage", b"SKV1" + bytes(100), encode(Value(b"x" * 10_001, 60.0), compress=True)):
        case.memory.remember("product:1", garbage, 1, (), 0.0, "")
        case.memory.remember("product:2", garbage, 1, (), 0.0, "")
    entry = case.memory.hit("product:1", 0.0)
    assert entry is not None
    assert entry.data == b"good"
    assert case.memory.get("product:2", 0.0) is None


def test_a_hit_is_not_served_once_the_lease_is_over_the_value_is_to_be_refreshed_or_its_tags_are_to_be_looked_at():
    case = Case(stale_for=30.0, refresh_share=0.5)
    memory = case.memory
    case.remember("product:1", ttl=10.0, seq=7)
    memory.served_until, memory.latest_tag = 100.0, 7
    assert memory.hit("product:1", 4.9) is not None
    assert memory.hit("product:1", 5.0) is None  # half of its TTL: to be refreshed
    memory.served_until = 3.0
    assert memory.hit("product:1", 2.9) is not None
    assert memory.hit("product:1", 3.0) is None
    memory.served_until, memory.latest_tag = 100.0, 8
    assert memory.hit("product:1", 1.0) is None
    assert case.counts.of("product").hits_memory == 2
    assert memory.get("product:1", 39.9) is not None  # for those who allow what is stale
    assert memory.get("product:1", 40.0) is None
    assert memory.expired == 1


def test_the_age_that_a_value_has_in_redis_is_taken_off_its_time():
    case = Case()
    case.clock.now = 100.0
    case.memory.remember("product:1", encode(Value(b"x", 10.0), compress=False), 1, (), 4.0, "")
    assert case.memory.hit("product:1", 105.9) is not None
    assert case.memory.hit("product:1", 106.1) is None


def test_hits_are_counted_for_the_namespace_and_negatives_among_them():
    case = Case()
    case.remember("product:1")
    case.remember("user:1", None)
    for key in ("product:1", "product:1", "user:1", "user:2"):
        case.memory.hit(key, 0.0)
    assert case.counts.by_name == {"product": Counts(hits_memory=2), "user": Counts(hits_memory=1, negatives=1)}


def test_what_expires_is_removed_as_much_at_once_as_the_budget_says():
    case = Case()
    for number in range(10):
        case.remember(f"product:{number}", ttl=1.0)
    case.remember("product:late", ttl=500.0)
    now = 1.0 + SLOT_SECONDS
    assert [case.memory.expire(now, 4) for _ in range(3)] == [True, True, False]
    assert (case.memory.expired, len(case.memory)) == (10, 1)


def test_what_is_cleared_is_gone_at_once_and_freed_bit_by_bit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("souk_cache.memory.SMALL", 100)
    case = Case()
    total = 300
    cells = Cells()
    value = encode(Value(b"x", FOREVER / 1000), compress=False)
    carried = []
    for number in range(total):
        tags = cells.of((f"+seller:{number}",))
        carried.append(weakref.ref(tags[0]))
        case.memory.remember(f"product:{number}", value, 1, tags, 0.0, "")
    del tags

    def held() -> int:
        return sum(each() is not None for each in carried)

    case.memory.clear()
    assert (len(case.memory), case.memory.bytes, case.memory.get("product:1", 0.0)) == (0, 0, None)
    assert held() == total
    case.remember("product:new")
    assert total - RELEASED <= held() <= total - RELEASED + 2  # the last goes with its neighbour
    assert case.memory.expire(0.0, 100)
    assert total - RELEASED - 100 <= held() <= total - RELEASED - 98
    while case.memory.expire(0.0, 100):
        pass
    assert held() == 0
    assert case.memory.hit("product:new", 0.0) is not None


def test_entries_that_leave_are_freed_without_the_garbage_collector():
    case = Case(max_entries=50)
    cells = Cells()
    value = encode(Value(b"x", 10.0), compress=False)
    carried = []
    gc.disable()
    try:
        for number in range(200):  # 150 are evicted or rejected
            tags = cells.of((f"+seller:{number}",))
            carried.append(weakref.ref(tags[0]))
            case.memory.remember(f"product:{number}", value, 1, tags, 0.0, "")
        del tags
        assert sum(each() is not None for each in carried) == len(case.memory) == 50
        case.memory.remove(next(f"product:{number}" for number in range(200) if case.memory.get(f"product:{number}", 0.0)))
        case.memory.expire(100.0, 20)  # tells of what was read, too, which holds it until then
        assert sum(each() is not None for each in carried) == len(case.memory) == 29
        case.memory.clear()
        assert sum(each() is not None for each in carried) == 0
    finally:
        gc.enable()


def test_an_entry_is_not_seen_by_the_garbage_collector():
    case = Case()
    case.remember("product:1")
    entry = case.memory.get("product:1", 0.0)
    assert isinstance(entry, Entry)
    assert not gc.is_tracked(entry)


def test_the_hottest_are_those_that_were_read_last():
    case = Case()
    for number in range(20):
        case.remember(f"product:{number}")
    for number in (3, 17, 5):
        assert case.memory.hit(f"product:{number}", 0.0) is not None
    assert case.memory.hottest(3) == ["product:5", "product:17", "product:3"]
    assert len(case.memory.hottest(100)) == 20
    assert case.memory.hottest(0) == []


def test_of_passes_over_other_keys_the_first_takes_a_part_of_what_is_read_again_and_again_and_those_after_it_nothing():
    case = Case(max_entries=200)
    working_set = [f"product:{number}" for number in range(150)]
    kept = []
    for passes in range(3):
        for _ in range(6):
            for key in working_set:
                case.read(key)
        for number in range(1500):
            case.read(f"export:{passes}:{number}")
        kept.append(sum(case.memory.hit(key, case.clock.now) is not None for key in working_set))
    assert kept[0] >= (1 - GIVEN) * len(working_set) - 2
    assert min(kept[1:]) >= 0.95 * len(working_set)


@pytest.mark.parametrize("max_entries", [1, 2, 3])
def test_a_memory_of_a_few_entries_keeps_what_it_can(max_entries: int):
    case = Case(max_entries=max_entries)
    for number in range(50):
        case.read(f"product:{number % 3}")
        assert 1 <= len(case.memory) <= max_entries
