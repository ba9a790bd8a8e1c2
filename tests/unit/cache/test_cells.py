"""One cell for each name that something in memory carries, out of sight of the garbage collector, and none for any other."""

import gc
import weakref

from souk_cache.cells import Cell, Cells
from souk_cache.counts import CountsByNamespace
from souk_cache.untracked import untrack


def test_entries_that_carry_a_name_share_its_cell_which_goes_with_the_last_of_them():
    cells = Cells()
    first, second = cells.of(("+seller:7", "=product")), cells.of(("=product",))
    assert first[1] is second[0] is cells.find("=product")
    del first
    assert cells.find("+seller:7") is None
    assert cells.find("=product") is second[0]
    del second
    assert cells.find("=product") is None


def test_nobody_finds_the_cell_of_a_key():
    cells = Cells()
    kept = cells.of(("#product:1",))
    assert kept[0].name == "#product:1"
    assert cells.find("#product:1") is None


def test_a_cell_is_not_seen_by_the_garbage_collector():
    kept = Cells().of(("+seller:7", "#product:1"))
    assert not any(gc.is_tracked(cell) for cell in kept)


def test_what_is_untracked_is_freed_with_its_last_reference():
    cell = Cell("name")
    untrack(cell)
    untrack(cell)
    gone = weakref.ref(cell)
    del cell
    assert gone() is None


def test_the_counts_of_a_namespace_stay_the_same_object():
    counts = CountsByNamespace()
    counts.of("product").hits_memory += 1
    assert counts.of("product").hits_memory == 1
    assert counts.of("order").hits_memory == 0
    assert set(counts.by_name) == {"product", "order"}
