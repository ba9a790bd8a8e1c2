"""When a client tries again."""

import pytest
from souk.client import ClientConfig, UnavailableError
from souk.client._backoff import Backoff


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def backoff(time: Time, timeout: float | None = None, spread: float = 1.0, **config: float) -> Backoff:
    return Backoff(ClientConfig(**config), timeout, clock=time, sleep=time.sleep, uniform=lambda low, high: spread)  # type: ignore[arg-type]


def unavailable(retry_delay: float | None = None) -> UnavailableError:
    return UnavailableError("away", retry_delay=retry_delay)


async def test_pauses_double_up_to_the_most():
    time = Time()
    tries = backoff(time, attempts=5, initial_backoff=0.1, max_backoff=0.3)
    for _ in range(4):
        await tries.wait_after(unavailable())
    assert time.slept == [0.1, 0.2, 0.3, 0.3]


async def test_the_last_attempt_raises_what_it_failed_with():
    time = Time()
    tries = backoff(time, attempts=2)
    await tries.wait_after(unavailable())
    last = unavailable()
    with pytest.raises(UnavailableError) as raised:
        await tries.wait_after(last)
    assert raised.value is last


async def test_a_longer_delay_that_the_server_asks_for_wins():
    time = Time()
    tries = backoff(time, initial_backoff=0.1)
    await tries.wait_after(unavailable(retry_delay=3.0))
    await tries.wait_after(unavailable(retry_delay=0.01))
    assert time.slept == [3.0, 0.2]


async def test_pauses_are_spread_but_never_below_what_the_server_asks_for():
    time = Time()
    tries = backoff(time, spread=0.8, initial_backoff=0.1)
    await tries.wait_after(unavailable())
    await tries.wait_after(unavailable(retry_delay=1.0))
    assert time.slept == [pytest.approx(0.08), 1.0]


async def test_no_attempt_is_waited_for_that_the_deadline_forbids():
    time = Time()
    tries = backoff(time, timeout=2.0)
    with pytest.raises(UnavailableError):
        await tries.wait_after(unavailable(retry_delay=2.0))
    assert time.slept == []


async def test_the_time_left_shrinks_and_never_becomes_negative():
    time = Time()
    tries = backoff(time, timeout=2.0)
    time.now = 1.5
    assert tries.remaining() == 0.5
    time.now = 9.0
    assert tries.remaining() == 0.0
    assert backoff(time).remaining() is None


async def test_progress_makes_the_next_failure_the_first():
    time = Time()
    tries = backoff(time, attempts=2, initial_backoff=0.1)
    for _ in range(5):
        await tries.wait_after(unavailable())
        tries.progress()
    assert time.slept == [0.1] * 5
