"""How far replicas are behind, by where the primary was when."""

import pytest
from souk_dbopt.lag import PLACES, PrimaryLog


@pytest.mark.parametrize("looks_a_second", [1, 50, 1000])
def test_a_replica_that_stands_still_is_behind_for_as_long_as_it_does_however_often_servers_are_looked_at(looks_a_second: int):
    log = PrimaryLog(max_lag=5.0)
    for number in range(30 * looks_a_second + 1):
        log.add(number / looks_a_second, 1_000 + number)
    seconds, size = log.behind(30.0, 1_000)
    assert seconds == pytest.approx(30.0, abs=1.1 if looks_a_second == 1 else 0.2)
    assert size == 30 * looks_a_second


@pytest.mark.parametrize("max_lag", [5.0, 3600.0, 86_400.0])
def test_lag_of_more_than_a_replica_may_have_is_known_for_any_setting_within_bounded_memory(max_lag: float):
    log = PrimaryLog(max_lag)
    for number in range(100_000):
        log.add(number * max_lag / 10_000, number)
    seconds, _ = log.behind(10 * max_lag, 0)
    assert seconds is not None
    assert seconds > max_lag
    assert len(log._places) <= PLACES + 2


def test_a_replica_that_stood_still_before_the_primary_went_idle_stays_behind():
    log = PrimaryLog(max_lag=5.0)
    log.add(0.0, 100)
    log.add(1.0, 200)
    for number in range(2, 1_000):
        log.add(float(number), 200)
    assert log.behind(1_000.0, 150) == (999.0, 50)
    assert log.behind(1_000.0, 200) == (0.0, 0)


def test_what_a_primary_had_written_that_a_failover_lost_makes_nobody_late():
    log = PrimaryLog(max_lag=5.0)
    log.add(0.0, 100)
    log.add(10.0, 300)
    log.add(20.0, 200)
    assert log.behind(21.0, 200) == (0.0, 0)


def test_of_a_primary_that_nobody_has_seen_nothing_is_known():
    assert PrimaryLog(max_lag=5.0).behind(0.0, 1) == (None, 0)
