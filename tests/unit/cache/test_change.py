"""When memory lets in what it has never seen before."""

import random
from collections.abc import Iterable
from itertools import accumulate

import pytest
from souk_cache.change import GIVEN, STEADY, Change
from souk_cache.policy import LIRS, OPEN_LIRS, Node, Policy, Rule

ENTRIES = 320


class Uses:
    """Hits and misses, as a policy tells a Change of them."""

    def __init__(self) -> None:
        self.change = Change()
        self._clock = 0

    def come(self, count: int, *, hits: float, new: bool = True) -> None:
        """hits: their share, spread evenly."""
        for number in range(count):
            self._clock += 1
            if int((number + 1) * hits) == int(number * hits):
                self.change.missed(self._clock, new=new, entries=ENTRIES)

    def places(self) -> int:
        """That newcomers are given now."""
        return next(count for count in range(ENTRIES + 1) if not self.change.gives_place())


def steady() -> Uses:
    uses = Uses()
    uses.come(int((STEADY + 2) * ENTRIES), hits=0.6)
    return uses


def test_where_hits_were_steady_and_all_that_comes_is_new_newcomers_get_their_share_of_the_places():
    uses = steady()
    assert uses.places() == 0
    uses.come(ENTRIES // 4, hits=0.0)
    assert uses.places() == int(GIVEN * ENTRIES)
    uses.come(ENTRIES // 4, hits=0.0)
    assert uses.places() == 0, "it is still the same change"


def test_what_was_read_before_and_comes_around_again_is_no_change():
    uses = steady()
    uses.come(ENTRIES // 4, hits=0.0, new=False)
    assert uses.places() == 0


@pytest.mark.parametrize("before", [0.0, 0.05])
def test_where_there_were_hardly_any_hits_there_is_nothing_that_could_fail(before: float):
    uses = Uses()
    uses.come(5 * ENTRIES, hits=before)
    uses.come(ENTRIES // 4, hits=0.0)
    assert uses.places() == 0


def test_hits_by_fits_and_starts_as_loops_have_them_are_not_steady():
    uses = Uses()
    for _ in range(5):
        uses.come(ENTRIES, hits=0.9)
        uses.come(ENTRIES, hits=0.0, new=False)
    uses.come(ENTRIES, hits=0.9)
    uses.come(ENTRIES // 4, hits=0.0)
    assert uses.places() == 0


@pytest.mark.parametrize("hits", [0.6, 0.0])
def test_a_change_is_over_when_hits_are_back_or_all_that_is_kept_could_have_been_read_once(hits: float):
    uses = steady()
    uses.come(ENTRIES // 4, hits=0.0)
    uses.come(ENTRIES + ENTRIES // 8, hits=hits)
    assert uses.places() == 0


def hits_of(rule: Rule, requests: Iterable[str]) -> int:
    kept: dict[str, Node] = {}
    policy = Policy(rule, max_bytes=1 << 30, max_entries=ENTRIES, evicted=lambda node: kept.pop(node.key))
    hits = 0
    for key in requests:
        node = kept.get(key)
        if node is not None:
            hits += 1
            policy.use(node)
            continue
        node = Node(key, 1)
        if policy.add(node):
            kept[key] = node
    return hits


def sales(count: int) -> list[str]:
    """By Zipf."""
    cumulative = list(accumulate(1 / (rank + 1) for rank in range(10 * ENTRIES)))
    return [f"product:{rank}" for rank in random.Random(1).choices(range(len(cumulative)), cum_weights=cumulative, k=count)]


def test_most_of_a_report_that_fits_into_memory_is_there_when_it_comes_around_for_the_first_time():
    rows = [f"row:{number}" for number in range(ENTRIES * 3 // 4)]
    before = sales(6 * ENTRIES)
    gained = hits_of(OPEN_LIRS, [*before, *rows, *rows]) - hits_of(LIRS, [*before, *rows, *rows])
    assert gained > 0.8 * len(rows)


def test_a_loop_that_does_not_fit_has_no_fewer_hits_for_it():
    rows = [f"row:{number % (3 * ENTRIES)}" for number in range(20 * ENTRIES)]
    assert hits_of(OPEN_LIRS, rows) >= hits_of(LIRS, rows) > 0.25 * len(rows)
