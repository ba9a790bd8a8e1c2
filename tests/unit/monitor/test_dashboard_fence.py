"""Which names the dashboard answers to, and how often it may be tried to log in."""

import pytest
from souk_common.testing import FakeClock
from souk_monitor.settings import MonitorSettings
from souk_monitor.web.dashboard import attempts
from souk_monitor.web.dashboard.attempts import Attempts
from souk_monitor.web.dashboard.fence import Hosts

OURS = ("localhost", "LOCALHOST:8080", "monitor.localhost", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "10.0.3.7", "[fe80::1]:80")
FOREIGN = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "notlocalhost",
    "",
    "[::1",
    "a b",
)


@pytest.mark.parametrize("host", OURS)
def test_addresses_and_names_of_the_machine_itself_are_always_ours(host: str) -> None:
    assert Hosts(()).allow(host)


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_not_unless_any_may(host: str) -> None:
    assert not Hosts(()).allow(host)
    assert Hosts(("*",)).allow(host)


def test_names_that_are_set_are_ours_and_the_public_one_too() -> None:
    hosts = Hosts(("monitor.example", "*.shop.example"), public_url="https://Errors.example:8443/")
    for ours in ("monitor.example", "Monitor.Example.:80", "a.shop.example", "a.b.shop.example", "errors.example:8443"):
        assert hosts.allow(ours), ours
    for other in ("shop.example", "evilshop.example", "x.monitor.example", "example"):
        assert not hosts.allow(other), other


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ()),
        ({"http_host": "0.0.0.0", "allow_plaintext": True}, ("*",)),
        ({"host": "0.0.0.0", "allow_plaintext": True}, ("*",)),
        ({"host": "0.0.0.0", "allow_plaintext": True, "http_host": "127.0.0.1"}, ()),
        ({"host": "0.0.0.0", "allow_plaintext": True, "allowed_hosts": ("a.example",)}, ("a.example",)),
    ],
)
def test_any_name_is_ours_where_others_reach_the_port_and_none_is_set(told: dict[str, object], expected: tuple[str, ...]) -> None:
    assert MonitorSettings(dsn="postgresql://x", **told).hosts == expected  # type: ignore[arg-type]


def test_one_address_may_try_so_often_in_a_minute_and_others_all_the_same() -> None:
    clock = FakeClock()
    tries = Attempts(per_address=3, in_all=100, clock=clock)
    assert [tries.take("10.0.0.1") for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(20.0)]
    assert tries.take("10.0.0.2") == 0.0
    clock.advance(20.0)
    assert tries.take("10.0.0.1") == 0.0
    assert tries.take("10.0.0.1") > 0.0


def test_all_together_may_try_so_often() -> None:
    tries = Attempts(per_address=0, in_all=3, clock=FakeClock())
    waits = [tries.take(f"10.0.0.{n}") for n in range(4)]
    assert [wait > 0 for wait in waits] == [False, False, False, True]


def test_addresses_of_one_subscriber_are_one() -> None:
    tries = Attempts(per_address=1, in_all=0, clock=FakeClock())
    assert tries.take("2001:db8:1:2::1") == 0.0
    assert tries.take("2001:db8:1:2:ffff::9") > 0.0
    assert tries.take("2001:db8:1:3::1") == 0.0
    assert tries.take("10.0.0.1") == 0.0
    assert tries.take("::ffff:10.0.0.1") > 0.0


def test_of_many_addresses_no_more_are_kept_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_ADDRESSES", 10)
    tries = Attempts(per_address=1, in_all=25, clock=FakeClock())
    waits = [tries.take(f"10.0.0.{n % 20}") for n in range(100)]
    assert sum(wait == 0.0 for wait in waits) == 25
