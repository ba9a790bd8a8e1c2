"""Page tokens: opaque, and good for one filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_common.errors import ServiceError
from souk_common.paging import page_position, page_token


@given(st.text(min_size=1, max_size=50), st.text(max_size=10), st.lists(st.text(max_size=5), max_size=3))
def test_a_token_is_good_for_its_filter_only(position: str, owner: str, tags: list[str]):
    token = page_token(position, owner, tags)
    assert page_position(token, owner, tags) == position
    for other in ((owner + "x", tags), (owner, [*tags, "x"]), (owner,)):
        with pytest.raises(ServiceError) as refused:
            page_position(token, *other)
        assert (refused.value.reason, refused.value.violations[0].field) == ("INVALID_PAGE_TOKEN", "page_token")


def test_the_end_of_a_list_has_no_token():
    assert page_token("", "owner") == ""
    assert page_position("", "owner") == ""


@given(st.text(max_size=200).filter(bool))
def test_no_token_breaks_the_reading(token: str):
    with pytest.raises(ServiceError) as refused:
        page_position(token, "owner")
    assert refused.value.reason == "INVALID_PAGE_TOKEN"
