"""What stays when memory is full: by the rule that would have had more hits lately."""

import random
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_cache.policy import LRU, MAX_EVICTIONS, RULES, TOO_LONG, UNKNOWN, Contest, Ghosts, Node, Policy, Rule

ENTRIES = 100


class Kept:
    """A policy with the keys that it keeps."""

    def __init__(self, rule: Rule, *, max_bytes: int = 1 << 30, max_entries: int = ENTRIES) -> None:
        self.nodes: dict[str, Node] = {}
        self.policy = Policy(rule, max_bytes=max_bytes, max_entries=max_entries, evicted=self._evicted)

    def read(self, key: str, weight: int = 1) -> bool:
        node = self.nodes.get(key)
        if node is not None:
            self.policy.use(node)
            return True
        node = Node(key, weight)
        if self.policy.add(node):
            self.nodes[key] = node
        return False

    def remove(self, key: str) -> None:
        node = self.nodes.pop(key, None)
        if node is not None:
            self.policy.remove(node)

    def _evicted(self, node: Node) -> None:
        del self.nodes[node.key]


def hits(rule: Rule, requests: Iterable[str]) -> int:
    kept = Kept(rule)
    return sum(kept.read(key) for key in requests)


def followed(requests: Iterable[str]) -> tuple[int, Contest]:
    """Hits of a policy that follows the contest, as Memory's does."""
    kept = Kept(RULES[0])
    contest = Contest(max_bytes=1 << 30, max_entries=ENTRIES)
    count = 0
    for key in requests:
        count += kept.read(key)
        if contest.use(key, 1):
            kept.policy.rule = contest.rule
    return count, contest


def loop(count: int) -> list[str]:
    """LRU has no hit in it."""
    return [f"row:{number % (ENTRIES * 3 // 2)}" for number in range(count)]


def orders(count: int) -> list[str]:
    """New ones all the time, each read mostly soon after it came."""
    rng = random.Random(1)
    return [f"order:{number // 8 - int(rng.expovariate(1 / 60))}" for number in range(count)]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RULES),
    st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(1, 60), st.sampled_from((0, 0, 0, 1, 2))), max_size=120),
)
def test_bytes_and_entries_are_counted_exactly_and_bounded_whatever_is_read_removed_or_ruled(
    rule: Rule, steps: Sequence[tuple[str, int, int]]
):
    kept = Kept(rule, max_bytes=200, max_entries=8)
    policy = kept.policy
    for key, weight, step in steps:
        if step == 1:
            kept.remove(key)
        elif step == 2:
            policy.rule = RULES[weight % len(RULES)]
        else:
            kept.read(key, weight)
        nodes = list(kept.nodes.values())
        assert policy.entries == len(nodes) <= 8
        assert policy.bytes == sum(node.weight for node in nodes) <= 200
        assert policy.hot_entries == sum(node.hot for node in nodes)
        assert policy.hot_bytes == sum(node.weight for node in nodes if node.hot)
        assert {node.key for node in policy.hottest(100)} == {node.key for node in nodes if node.hot}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=200))
def test_by_the_rule_lru_it_is_lru(numbers: Sequence[int]):
    kept = Kept(LRU, max_entries=10)
    model: OrderedDict[str, None] = OrderedDict()
    for number in numbers:
        key = f"product:{number}"
        assert kept.read(key) == (key in model)
        model[key] = None
        model.move_to_end(key)
        if len(model) > 10:
            model.popitem(last=False)
        assert set(kept.nodes) == set(model)


def test_in_a_loop_that_is_larger_than_memory_it_has_the_hits_that_lru_has_not():
    requests = loop(3000)
    count, contest = followed(requests)
    assert hits(LRU, requests) == 0
    assert contest.rule.reach > 0
    assert count >= 0.9 * len(requests) * 98 / 150


def test_where_what_is_read_changes_quickly_it_has_the_hits_of_lru():
    requests = orders(4000)
    count, contest = followed(requests)
    lru = hits(LRU, requests)
    assert lru > hits(RULES[0], requests)
    assert contest.rule.reach < RULES[0].reach
    assert count >= lru - 0.01 * len(requests)


def test_when_the_requests_change_their_kind_it_follows_another_rule():
    _, contest = followed(orders(4000) + loop(3000))
    assert contest.rule.reach > 0
    count, contest = followed(loop(3000) + orders(4000))
    assert contest.rule.reach < RULES[0].reach
    assert count >= hits(RULES[0], loop(3000)) + hits(LRU, orders(4000)) - 0.03 * 7000


def test_a_contest_over_a_large_memory_looks_at_a_sample_of_the_keys(monkeypatch: pytest.MonkeyPatch):
    looked_at: list[int] = []
    monkeypatch.setattr("souk_cache.policy.Shadow.use", lambda shadow, hashed, weight: bool(looked_at.append(hashed)))
    contest = Contest(max_bytes=1 << 40, max_entries=1 << 20)
    for number in range(10_000):
        contest.use(f"product:{number}", 1000)
    assert len(looked_at) <= 50 * len(RULES)  # about one in 1,024, by each rule


def test_a_large_value_gets_the_room_of_many_small_ones_in_steps_that_are_bounded():
    kept = Kept(RULES[0], max_bytes=2000, max_entries=3000)
    for number in range(2000):
        kept.read(f"product:{number}")
    for _ in range(4):
        before = kept.policy.entries
        kept.read("image", 1500)
        assert before - kept.policy.entries <= MAX_EVICTIONS
    assert "image" in kept.nodes
    assert kept.policy.bytes <= 2000


def test_a_key_that_is_gone_is_remembered_with_its_age_until_enough_others_went():
    ghosts = Ghosts(256)
    ghosts.put(hash("a"), 100)
    assert ghosts.take(hash("b"), reach=10, clock=130) == UNKNOWN
    assert ghosts.take(hash("a"), reach=10, clock=130) == 30
    assert ghosts.take(hash("a"), reach=10, clock=130) == UNKNOWN
    ghosts.put(hash("a"), 100)
    for number in range(10):
        ghosts.put(hash(f"other {number}"), 101 + number)
    assert ghosts.take(hash("a"), reach=10, clock=130) == TOO_LONG


def test_the_memory_for_keys_that_are_gone_does_not_grow():
    ghosts = Ghosts(256)
    rng = random.Random(2)
    hashes = [rng.getrandbits(63) for _ in range(4000)]
    for number, hashed in enumerate(hashes):
        ghosts.put(hashed, number)
    found = [ghosts.take(hashed, reach=10_000, clock=4000) for hashed in hashes]
    assert all(age < 0 or abs(age - (4000 - number)) <= 4000 for number, age in enumerate(found))
    assert sum(age >= 0 for age in found[-256:]) >= 0.9 * 256
    assert len(ghosts._cells) == 4 * 256


@pytest.mark.parametrize("clock", [(1 << 24) - 5, (1 << 48) - 5])
def test_ages_are_right_where_the_bits_of_the_clock_wrap(clock: int):
    ghosts = Ghosts(256)
    ghosts.put(hash("a"), clock)
    assert ghosts.take(hash("a"), reach=10, clock=clock + 50) == 50
