"""What expires when: never early, never more than a slot late, a little at a time."""

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from souk_cache.counts import CountsByNamespace
from souk_cache.expiry import SLOT_SECONDS, Expiry, Timed
from souk_cache.memory import Memory
from souk_cache.sweeping import BUDGET, Sweep
from souk_cache.values import Value, encode


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), max_size=30), st.lists(st.floats(0, 1100), max_size=5))
def test_an_entry_is_due_once_it_is_expired_and_at_most_a_slot_later(entries: list[tuple[float, bool]], looks: list[float]):
    expiry = Expiry()
    kept = set()
    for number, (expires, removed) in enumerate(entries):
        entry = Timed(number, 1, expires)
        expiry.add(entry)
        if removed:
            expiry.remove(entry)
        else:
            kept.add(entry)
    for now in sorted(looks):
        while (entry := expiry.due(now)) is not None:
            assert entry.expires <= now
            expiry.remove(entry)
            kept.remove(entry)
        assert all(entry.expires > now - SLOT_SECONDS for entry in kept)


def test_an_entry_stays_due_until_it_is_removed():
    expiry = Expiry()
    entry = Timed("key", 1, 1.0)
    expiry.add(entry)
    assert expiry.due(100.0) is expiry.due(100.0) is entry
    expiry.remove(entry)
    assert expiry.due(100.0) is None


def test_what_is_put_in_a_slot_that_is_past_is_due_at_once():
    expiry = Expiry()
    assert expiry.due(1000.0) is None
    entry = Timed("key", 1, 5.0)
    expiry.add(entry)
    assert expiry.due(1000.0) is entry


async def test_a_sweep_removes_what_is_expired_and_lets_others_have_their_turn():
    now = 0.0
    memory = Memory(
        max_bytes=1 << 30,
        max_entries=10_000,
        max_value_bytes=100,
        clock=lambda: now,
        stale_for=lambda key: 0.0,
        refresh_after=lambda key, value: value.fresh_for,
        counts=CountsByNamespace().of,
    )
    value = encode(Value(b"x", 10.0), compress=False)
    for number in range(3 * BUDGET + 1):
        memory.remember(f"key {number}", value, 1, (), 0.0, "")
    now = 60.0
    left = [len(memory)]
    async with Sweep([memory], lambda: now):
        while len(memory):
            await asyncio.sleep(0)
            left.append(len(memory))
    assert max(before - after for before, after in pairwise(left)) <= BUDGET
    assert memory.expired == 3 * BUDGET + 1
