"""Thinning, quotas, words to search by, and bounds of what is counted."""

from collections import Counter

import pytest
from souk_common.testing import FakeClock
from souk_monitor.facets import OTHER, Facet, Kind, Limits, within
from souk_monitor.quotas import Quotas
from souk_monitor.searching import query, words
from souk_monitor.thinning import is_kept


def test_all_of_the_first_are_kept_and_then_half_as_many_of_each_octave() -> None:
    kept = [ordinal for ordinal in range(1, 100 * 2**10 + 1) if is_kept(ordinal, 100)]
    assert kept[:100] == list(range(1, 101))
    assert kept[100:103] == [102, 104, 106]
    assert len(kept) == 100 + 10 * 50


def test_a_project_sends_what_it_may_in_a_minute_and_no_more() -> None:
    clock = FakeClock()
    quotas: Quotas[int] = Quotas(clock)
    assert quotas.take(1, 10**9, 0) == 0
    assert quotas.take(1, 40, 60) == 0
    assert quotas.take(1, 30, 60) == pytest.approx(10)
    assert quotas.take(2, 60, 60) == 0
    clock.advance(10)
    assert quotas.take(1, 30, 60) == 0
    clock.advance(600)
    assert quotas.take(1, 600, 60) == 0
    assert quotas.take(1, 1, 60) > 500


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", ""),
        ("...", ""),
        ("timeout", "(timeout:*)"),
        ('"no seller" x', "(no:* <-> seller:*) & (x:*)"),
        ("shop-12", "(shop:* <-> 12:*)"),
        ("a' | !b & (c", "(a:*) & (b:*) & (c:*)"),
        ('"open', "(open:*)"),
    ],
)
def test_what_somebody_looks_for_is_a_query_whatever_it_has_in_it(search: str, expected: str) -> None:
    assert query(search) == expected


def test_names_are_found_by_their_parts_too() -> None:
    assert {"HTTPServerError", "HTTP", "Server", "Error", "sqlalchemy", "exc"} <= set(
        words("sqlalchemy.exc.HTTPServerError").split()
    )


def test_values_and_tags_beyond_the_limits_are_counted_as_others_or_not_at_all() -> None:
    counted = Counter({Facet(1, Kind.TAG, "a", f"v{n}"): 1 for n in range(5)})
    counted[Facet(1, Kind.TAG, "b", "w")] = 1
    counted[Facet(1, Kind.TAG, "c", "w")] = 1
    counted[Facet(1, Kind.SERVICE, "", "web")] = 7
    kept = within(counted, {1: {(Kind.TAG, "a", "old")}}, Limits(tags=2, values=3))
    assert kept[Facet(1, Kind.TAG, "a", OTHER)] == 3
    assert sum(events for facet, events in kept.items() if facet.name == "a") == 5
    assert {facet.name for facet in kept} == {"a", "b", ""}
