"""What the cache keeps of a query."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_dbopt.adapters import query_file
from souk_dbopt.consistency import Position
from souk_dbopt.kept_rows import KeptRows, shape

positions = st.builds(Position, *(st.integers(0, 2**bits - 1) for bits in (64, 32, 64)))


@given(st.integers(0, 10_000), positions, st.none() | positions, st.text(st.characters(exclude_categories=("Cs",))))
def test_what_is_stored_is_what_comes_back(count: int, position: Position, seen: Position | None, text: str):
    kept = KeptRows("0a1b2c3d", count, position, seen, text)
    assert KeptRows.decode(kept.encode()) == kept


@given(st.binary())
def test_what_something_else_has_stored_is_not_taken_for_rows(data: bytes):
    assert KeptRows.decode(data) is None


@pytest.mark.parametrize(
    "data", [b'{"title": "Shoe"}', b"souk-rows-1 a 1 - -\n[]", b"souk-rows-1 a x 1-1-1 -\n[]", b"souk-rows-0 a 1 1-1-1 -\n[]"]
)
def test_nor_is_what_only_looks_like_them(data: bytes):
    assert KeptRows.decode(data) is None


def test_queries_that_share_their_keys_have_one_shape_and_others_have_not():
    shipped = {query.name: query for query in query_file.load(None)}
    users = {shape(shipped[name]) for name in ("user.get", "user.by_wallet", "user.by_ens_name")}
    assert len(users) == 1
    product = shipped["product.get"]
    others = [replace(product, version=2), replace(product, columns=product.columns[1:]), replace(product, columns=())]
    assert len({shape(each) for each in (product, *others)} | users) == 5


@given(positions, positions)
def test_one_place_is_past_another_only_where_it_is_further_in_the_same_log(one: Position, other: Position):
    same_log = (one.system, one.timeline) == (other.system, other.timeline)
    assert one.is_past(other) == (same_log and one.lsn > other.lsn)
    assert not one.is_past(one)
    assert replace(one, lsn=one.lsn + 1).is_past(one)
