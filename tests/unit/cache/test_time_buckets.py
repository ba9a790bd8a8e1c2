"""Time buckets: what a key says, and how long a value of an open, a just closed and a closed one is fresh."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk.client import time_bucket
from souk_cache.exceptions import TimeBucketUnreadableError
from souk_cache.namespaces import Namespace
from souk_cache.time_buckets import bucket_of
from souk_cache.values import Value

HOUR = "views:seller:7@2026-11-25T10:00Z/PT1H"
END = datetime(2026, 11, 25, 11, tzinfo=UTC).timestamp()
SPACE = Namespace("analytics", ttl=86400.0, jitter=0.0, time_buckets=True, bucket_grace=60.0)


@pytest.mark.parametrize(
    ("interval", "end"),
    [
        ("2026-11-25T10:00Z/PT1H", datetime(2026, 11, 25, 11, tzinfo=UTC)),
        ("2026-11-25T10:00:30Z/PT90S", datetime(2026, 11, 25, 10, 2, tzinfo=UTC)),
        ("2026-11-23T00:00Z/P1W", datetime(2026, 11, 30, tzinfo=UTC)),
        ("2026-12-31T00:00Z/P1DT12H", datetime(2027, 1, 1, 12, tzinfo=UTC)),
        ("2026-12-01T00:00Z/P1M", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-01T00:00Z/P3M", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2024-02-28T00:00Z/P1Y", datetime(2025, 2, 28, tzinfo=UTC)),
    ],
)
def test_a_key_says_when_its_bucket_ends(interval: str, end: datetime):
    assert bucket_of(f"sales:a@b@{interval}").end == end.timestamp()


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("views:seller:7", "does not end with"),
        ("@2026-11-25T10:00Z/PT1H", "does not end with"),
        ("views@2026-11-25T10:00/PT1H", "does not end with"),
        ("views@2026-11-25T10:00+01:00/PT1H", "does not end with"),
        ("views@2026-11-25/P1D", "does not end with"),
        ("views@2026-11-25T10:00Z/1h", "does not end with"),
        ("views@2026-11-25T10:00Z/PT1H ", "does not end with"),
        ("views@２０２６-11-25T10:00Z/PT1H", "does not end with"),
        ("views@2026-02-30T10:00Z/PT1H", "no time 2026-02-30T10:00Z"),
        ("views@2026-11-25T24:01Z/PT1H", "no time"),
        ("views@0000-11-25T10:00Z/PT1H", "no time"),
        ("views@2026-01-31T00:00Z/P1M", "a day that every month has"),
        ("views@9999-12-31T00:00Z/P2D", "after the year 9999"),
        ("views@9999-12-01T00:00Z/P1M", "after the year 9999"),
        ("views@2026-11-25T10:00Z/P", "no length"),
        ("views@2026-11-25T10:00Z/PT", "no length"),
        ("views@2026-11-25T10:00Z/PT0S", "no length"),
    ],
)
def test_a_key_without_a_bucket_is_refused_with_the_reason(key: str, problem: str):
    with pytest.raises(TimeBucketUnreadableError, match=problem) as refused:
        SPACE.check_key(key)
    assert refused.value.metadata["field"] == "key"
    assert problem in refused.value.metadata["problem"]


@given(st.text(max_size=60))
def test_any_other_text_is_refused_and_nothing_breaks(text: str):
    for key in (text, f"views@{text}", f"views@2026-11-25T10:00Z/{text}"):
        try:
            bucket = bucket_of(key)
        except TimeBucketUnreadableError:
            continue
        assert "/P" in key.rpartition("@")[2], "only a start and a length make a bucket"
        assert bucket.end == int(bucket.end)


def fresh_until(loaded: float, stored: float, ttl: float = 86400.0) -> float:
    value = SPACE.within_bucket(HOUR, Value(b"7", ttl, stored - loaded), stored=stored)
    return stored + value.fresh_for


@pytest.mark.parametrize(
    ("loaded", "until"),
    [
        (END - 1800, END),
        (END - 0.001, END),
        (END, END + 60),
        (END + 59.999, END + 60),
        (END + 60, END + 60 + 86400),
        (END + 1e6, END + 1e6 + 86400),
    ],
)
def test_the_boundaries_are_the_end_and_the_end_of_the_grace(loaded: float, until: float):
    assert fresh_until(loaded, loaded) == pytest.approx(until, abs=1e-6)


@settings(max_examples=200)
@given(st.floats(-7200, 7200), st.floats(0, 3600), st.floats(0.001, 86400 * 30))
def test_what_was_loaded_in_the_open_bucket_is_never_fresh_after_its_end(offset: float, took: float, ttl: float):
    loaded = END + offset
    until = fresh_until(loaded, loaded + took, ttl)
    assert until <= loaded + took + ttl + 1e-6
    if loaded < END:
        assert until <= max(END, loaded + took) + 1e-6
    elif loaded < END + 60:
        assert until <= max(END + 60, loaded + took) + 1e-6


def test_a_key_from_before_the_namespace_had_buckets_is_not_fresh():
    assert SPACE.within_bucket("views:seller:7", Value(b"7", 60.0), stored=END).fresh_for == 0.0


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 — hypothesis adds the zone
    st.sampled_from(["month", "year"]) | st.integers(1, 10**7).map(lambda seconds: timedelta(seconds=seconds)),
)
@settings(max_examples=100)
def test_the_client_makes_keys_that_the_service_reads(moment: datetime, every: timedelta):
    at = moment.replace(tzinfo=UTC)
    bucket = time_bucket("views:seller:7", at, every)
    assert bucket.start <= at < bucket.end
    assert bucket_of(bucket.key).end == bucket.end.timestamp()
    assert time_bucket("views:seller:7", bucket.start, every) == bucket
    assert time_bucket("views:seller:7", bucket.end, every).start == bucket.end
