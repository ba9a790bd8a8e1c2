"""Which of two releases is the later."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from souk_monitor.releases import is_later, is_same, newest

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def seen(*releases: str) -> dict[str, datetime]:
    """As they were seen one after the other."""
    return {release: NOW + timedelta(hours=hour) for hour, release in enumerate(releases)}


@pytest.mark.parametrize(
    "releases",
    [
        ("shop@1.9.0", "shop@1.10.0-alpha", "shop@1.10.0-alpha.1", "shop@1.10.0-alpha.beta", "shop@1.10.0-rc.1", "shop@1.10.0"),
        ("com.example.shop@1.4.0+9", "com.example.shop@1.4.0+12", "com.example.shop@1.4.0+100", "com.example.shop@1.4.1+1"),
        ("app@3.2+2026.9", "app@3.2+2026.10"),
        ("@acme/shop@1.9.0", "@acme/shop@1.10.0"),
        ("1.2.3.9", "1.2.3.10", "1.2.4"),
        ("v1.9", "v1.10", "2.0"),
        ("build-9", "build-119", "build-120"),
        ("9", "119", "120"),
        ("shop-1.4.0-rc.1", "shop-1.4.0", "shop-1.10.0"),
        ("release/2026.03.01", "release/2026.12.24"),
        ("2025-12-24", "2026-03-01", "2026-03-09"),
        ("20251224", "20260301"),
        ("shop@202512240930", "shop@202603010930"),
        ("shop@1.4.0-1", "shop@1.4.0-2", "shop@1.4.0-10", "shop@1.4.0-rc-1", "shop@1.4.0"),
        ("shop@1.3.0-12-gabc1234", "shop@1.3.0", "shop@1.3.1-beta-2", "shop@1.3.1"),
        ("shop@1.4.0-20260301", "shop@1.4.0-20260302"),
        ("shop@2026-03-01", "shop@2026-04-01"),
        ("my-shop-2-1.4.0@1.0", "my-shop-2-1.4.0@1.1"),
        ("shop-1.4.0-rc-1", "shop-1.4.0"),
    ],
)
def test_versions_are_ordered_by_their_numbers_whenever_they_were_seen(releases: Sequence[str]) -> None:
    for earlier, later in combinations(releases, 2):
        first_seen = seen(later, earlier)
        assert is_later(later, earlier, first_seen)
        assert not is_later(earlier, later, first_seen)
        assert not is_same(earlier, later)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("9f8e7d6", "1a2b3c4"),
        ("7654321", "1234567"),
        ("shop@7654321", "shop@1234567"),
        ("fffe8400-e29b-41d4-a716-946655440000", "550e8400-e29b-41d4-a716-446655440000"),
        ("web@2.0.0", "api@1.0.0"),
        ("build-120", "1.4.0"),
        ("shop@1.4.0", "120"),
        ("shop@1.4.0", "20260101"),
        ("1.4.0-" + "1-" * 200 + "1", "1.3.0-" + "1-" * 200 + "1"),
        ("shop@1.4.0+ff00aa", "shop@1.4.0+00aa11"),
        ("blue", "green"),
    ],
)
def test_what_has_no_order_of_its_own_is_later_where_it_was_seen_later(earlier: str, later: str) -> None:
    assert is_later(later, earlier, seen(earlier, later))
    assert not is_later(earlier, later, seen(earlier, later))
    assert not is_same(earlier, later)


@pytest.mark.parametrize(
    ("one", "other"),
    [("shop@1.4", "1.4.0"), ("v1.4", "1.4"), ("shop@1.4.0", "shop@1.4.0+12"), ("1.2.3.0", "1.2.3"), ("abc", "abc")],
)
def test_one_release_has_several_names(one: str, other: str) -> None:
    assert is_same(one, other)
    assert is_same(other, one)
    assert not is_later(one, other, seen(other, one))


@pytest.mark.parametrize(
    ("release", "releases", "expected"),
    [
        ("shop@1.0", ("shop@1.0", "shop@1.1", "shop@1.0.1"), "shop@1.1"),
        ("shop@1.0", ("shop@1.0", "web@9.0", "cafe001"), "shop@1.0"),
        ("aaa111", ("aaa111", "ccc333", "bbb222", "shop@9.0"), "bbb222"),
        ("shop@1.0+3", ("shop@1.0+3", "shop@1.0+21"), "shop@1.0+21"),
        ("shop@1.0+abc", ("shop@1.0+1", "shop@1.0+2", "shop@1.0+abc"), "shop@1.0+2"),
        ("shop@1.4.0", ("119", "120", "20260101", "1.9", "web@9.0", "shop@1.4.1"), "shop@1.4.1"),
        ("1.4.0", ("shop@1.5.0", "web@9.0", "1.4.1", "1.3.0"), "1.4.1"),
        ("119", ("120", "1.4"), "120"),
        ("never seen", (), "never seen"),
    ],
)
def test_the_newest_is_of_the_same_package(release: str, releases: Sequence[str], expected: str) -> None:
    assert newest(release, seen(*releases)) == expected
    assert newest(release, dict(reversed(seen(*releases).items()))) == expected
