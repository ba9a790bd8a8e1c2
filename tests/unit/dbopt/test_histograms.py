"""Histograms: quantiles against the sorted values themselves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_dbopt.histograms import LARGEST, LAST, SMALLEST, Histogram, bucket, seconds_of

SECONDS = st.floats(min_value=SMALLEST, max_value=LARGEST)


def true_quantile(values: list[float], hundredths: int) -> float:
    """The least value that so many hundredths of all do not exceed."""
    return sorted(values)[max(0, -(-hundredths * len(values) // 100) - 1)]


@given(st.lists(SECONDS, min_size=1, max_size=300))
def test_every_quantile_is_true_to_one_percent(values: list[float]):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    for hundredths in (1, 7, 50, 95, 99, 100):
        found = histogram.quantile(hundredths / 100)
        assert found == pytest.approx(true_quantile(values, hundredths), rel=0.01 + 1e-9)


@given(st.lists(st.lists(SECONDS, max_size=50), min_size=2, max_size=5))
def test_parts_that_are_added_are_the_same_as_the_whole(parts: list[list[float]]):
    whole, added = Histogram(), Histogram()
    for part in parts:
        one = Histogram()
        for value in part:
            one.record(value)
            whole.record(value)
        added.add(one)
    assert added.counts == whole.counts
    assert added.count == sum(map(len, parts))


@given(st.floats(allow_nan=False))
def test_whatever_is_recorded_there_is_no_bucket_beyond_the_last(seconds: float):
    assert 0 <= bucket(seconds) <= LAST


def test_what_is_beyond_the_ends_counts_as_the_ends():
    assert (bucket(0.0), bucket(-1.0), bucket(1e9), bucket(math.inf)) == (0, 0, LAST, LAST)
    assert seconds_of(0) == SMALLEST
    assert seconds_of(LAST) == pytest.approx(LARGEST, rel=0.03)


def test_nothing_has_no_quantile():
    assert Histogram().quantile(0.5) is None
