"""What warming leaves to those who read."""

from souk_cache.pacing import IDLE_SHARE, QUIET_AFTER, SHARE, Pace
from souk_common.testing import FakeClock


def paced(busy: float, steps: int, *, capacity: float = 1.0, reads: bool = True) -> tuple[Pace, list[float]]:
    """A pace after steps of 10 ms each in a process that is busy for that share of the time, and the pauses after 1 ms of work."""
    clock, used = FakeClock(0.0), FakeClock(0.0)
    pace, pauses = Pace(capacity=capacity, clock=clock, used=used), []
    for step in range(steps):
        clock.advance(0.01)
        used.advance(0.01 * busy)
        pauses.append(pace.pause(0.001, step + 1 if reads else 0))
    return pace, pauses


def test_alone_it_takes_all_the_time():
    pace, pauses = paced(1.0, 20, reads=False)
    assert (pace.alone, set(pauses)) == (True, {0.0})


def test_in_a_process_that_has_no_time_left_it_takes_the_small_share():
    pace, pauses = paced(1.0, 200)
    assert not pace.alone
    assert max(pauses) - min(pauses) < 1e-9
    assert abs(0.001 / (0.001 + pauses[0]) - SHARE) < 1e-9


def test_in_a_process_that_is_idle_it_takes_more_by_and_by():
    pace, pauses = paced(0.3, 200)
    assert pauses[:4] == [pauses[0]] * 4, "what is known at first is nothing"
    assert pauses == sorted(pauses, reverse=True)
    assert pace.share == IDLE_SHARE


def test_when_readers_come_it_is_back_at_the_small_share_within_a_few_looks():
    clock, used = FakeClock(0.0), FakeClock(0.0)
    pace = Pace(clock=clock, used=used)
    pace.share = IDLE_SHARE
    for step in range(5):
        clock.advance(0.05)
        used.advance(0.05)
        pace.pause(0.001, step + 1)
    assert pace.share == SHARE


def test_a_container_with_half_a_processor_is_busy_when_it_uses_that():
    assert paced(0.5, 200, capacity=0.5)[0].share == SHARE
    assert paced(0.5, 200)[0].share == IDLE_SHARE


def test_reads_that_are_some_time_ago_count_no_more():
    clock = FakeClock(0.0)
    pace = Pace(clock=clock, used=FakeClock(0.0))
    assert pace.pause(0.001, 1) > 0
    clock.advance(QUIET_AFTER)
    assert pace.pause(0.001, 1) == 0
    assert pace.pause(0.001, 2) > 0
