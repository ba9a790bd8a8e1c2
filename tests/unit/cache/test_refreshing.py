"""XFetch: when a value is loaded anew."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_cache.refreshing import refresh_after
from souk_cache.values import Value


@given(
    st.floats(0.001, 1e6),
    st.floats(0, 3600),
    st.floats(0, 10),
    st.floats(0, 1, exclude_max=True),
)
def test_it_is_between_half_of_the_ttl_and_its_end(fresh_for: float, load: float, beta: float, chance: float):
    assert fresh_for / 2 <= refresh_after(Value(b"", fresh_for, load), beta, chance) <= fresh_for


def test_it_is_earlier_by_beta_times_what_loading_took_on_average():
    rng = random.Random(1)
    early = [100.0 - refresh_after(Value(b"", 100.0, 2.0), 1.5, rng.random()) for _ in range(20_000)]
    assert statistics.fmean(early) == pytest.approx(3.0, rel=0.05)


def test_where_nothing_is_known_of_loading_it_is_the_end():
    assert refresh_after(Value(b"", 100.0), 1.0, 0.999) == 100.0
    assert refresh_after(Value(b"", 100.0, 5.0), 0.0, 0.999) == 100.0
