"""Keys of time buckets, as the client makes them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from souk.client import time_bucket

AT = datetime(2026, 11, 25, 10, 42, 7, 5, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("every", "key"),
    [
        (timedelta(hours=1), "views@2026-11-25T10:00Z/PT1H"),
        (timedelta(minutes=15), "views@2026-11-25T10:30Z/PT15M"),
        (timedelta(seconds=5), "views@2026-11-25T10:42:05Z/PT5S"),
        (timedelta(days=1), "views@2026-11-25T00:00Z/P1D"),
        (timedelta(weeks=1), "views@2026-11-23T00:00Z/P7D"),
        (timedelta(hours=36), "views@2026-11-25T00:00Z/P1DT12H"),
        ("month", "views@2026-11-01T00:00Z/P1M"),
        ("year", "views@2026-01-01T00:00Z/P1Y"),
    ],
)
def test_buckets_begin_where_people_expect(every: Any, key: str):
    bucket = time_bucket("views", AT, every)
    assert bucket.key == key
    assert bucket.start <= AT < bucket.end


def test_one_moment_is_in_one_bucket_whatever_its_time_zone():
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    assert time_bucket("views", elsewhere, timedelta(days=1)) == time_bucket("views", AT, timedelta(days=1))


@pytest.mark.parametrize(
    ("what", "at", "every"),
    [
        ("views", AT.replace(tzinfo=None), timedelta(hours=1)),
        ("a@b", AT, timedelta(hours=1)),
        ("", AT, timedelta(hours=1)),
        ("views", AT, timedelta(0)),
        ("views", AT, timedelta(milliseconds=1500)),
        ("views", AT, "week"),
    ],
)
def test_what_is_no_bucket_is_refused(what: str, at: datetime, every: Any):
    with pytest.raises(ValueError):
        time_bucket(what, at, every)
