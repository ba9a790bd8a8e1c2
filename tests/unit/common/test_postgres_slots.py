"""Who gets which connection, and when."""

import asyncio
from dataclasses import dataclass

import pytest
from souk_common.postgres import AcquireTimeoutError, PoolClosedError, PoolFullError
from souk_common.postgres.slots import Slots
from souk_common.testing import FakeClock


@dataclass(eq=False)
class Connection:
    """Something to lend."""

    name: str
    taken: float = 0.0
    used: float = 0.0


class Callers:
    """Each takes a connection as the pool does, and notes when it has one."""

    def __init__(self, slots: Slots[Connection]) -> None:
        self.slots = slots
        self.served: list[str] = []
        self.tasks: dict[str, asyncio.Task[Connection]] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self.call(name))

    async def call(self, name: str) -> Connection:
        slot = self.slots.take()
        if slot is None:
            waiter = self.slots.join()
            try:
                slot = await waiter
            except BaseException:
                handed = self.slots.leave(waiter)
                if handed is not None:
                    self.give(handed)
                raise
        self.served.append(name)
        return slot

    def give(self, slot: Connection) -> None:
        self.slots.give(slot, self.slots.end_use(slot))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slots(clock: FakeClock) -> Slots[Connection]:
    return Slots(name="test", size=2, max_waiting=5, timeout=10.0, clock=clock)


@pytest.fixture
def callers(slots: Slots[Connection]) -> Callers:
    return Callers(slots)


async def turn() -> None:
    """Whatever is ready runs."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_free_connection_is_had_at_once(slots: Slots[Connection], clock: FakeClock) -> None:
    one = Connection("one")
    slots.give(one, clock())
    assert slots.take() is one
    assert slots.take() is None
    assert (slots.acquired, slots.waits.count) == (1, 0)


async def test_the_connection_used_last_is_lent_first(slots: Slots[Connection], clock: FakeClock) -> None:
    one, two = Connection("one"), Connection("two")
    slots.give(one, clock())
    slots.give(two, clock())
    assert slots.take() is two


async def test_who_came_first_is_served_first(callers: Callers, clock: FakeClock) -> None:
    callers.start("a", "b", "c")
    await turn()
    for _ in range(3):
        clock.advance(1.0)
        callers.slots.give(Connection("any"), clock())
    callers.start("d")
    await turn()
    assert callers.served == ["a", "b", "c"]
    assert callers.slots.waiting == 1
    assert callers.slots.waits.total == 6.0
    callers.tasks["d"].cancel()


async def test_a_newcomer_does_not_overtake_one_who_was_handed_a_connection(callers: Callers, clock: FakeClock) -> None:
    callers.start("a")
    await turn()
    callers.slots.give(Connection("one"), clock())
    assert callers.slots.take() is None
    await turn()
    assert callers.served == ["a"]


async def test_one_too_many_is_refused_without_a_turn_of_the_loop(callers: Callers, clock: FakeClock) -> None:
    callers.start(*"abcde")
    await turn()
    with pytest.raises(PoolFullError) as caught:
        callers.slots.join()
    assert not caught.value.sent
    assert callers.slots.refused == 1
    for task in callers.tasks.values():
        task.cancel()


async def test_a_refusal_says_when_the_queue_will_have_been_served(callers: Callers, clock: FakeClock) -> None:
    for _ in range(200):
        slot = Connection("one", taken=clock())
        clock.advance(0.4)
        callers.slots.end_use(slot)
    callers.start(*"abcde")
    await turn()
    with pytest.raises(PoolFullError) as caught:
        callers.slots.join()
    assert caught.value.retry_delay == pytest.approx(6 * 0.4 / 2, rel=0.01)
    for task in callers.tasks.values():
        task.cancel()


async def test_a_canceled_caller_leaves_the_queue(callers: Callers, clock: FakeClock) -> None:
    callers.start("a", "b")
    await turn()
    callers.tasks["a"].cancel()
    await turn()
    assert callers.slots.waiting == 1
    callers.slots.give(Connection("one"), clock())
    await turn()
    assert callers.served == ["b"]


async def test_a_caller_canceled_with_a_connection_in_hand_loses_it_to_the_next(callers: Callers, clock: FakeClock) -> None:
    callers.start("a", "b")
    await turn()
    callers.slots.give(Connection("one"), clock())
    callers.tasks["a"].cancel()
    await turn()
    assert callers.served == ["b"]
    assert callers.tasks["a"].cancelled()


async def test_a_connection_goes_past_a_caller_that_is_canceled_but_has_not_run_yet(callers: Callers, clock: FakeClock) -> None:
    callers.start("a", "b")
    await turn()
    callers.tasks["a"].cancel()
    callers.slots.give(Connection("one"), clock())
    await turn()
    assert callers.served == ["b"]


async def test_any_order_of_cancellations_and_returns_loses_no_connection(callers: Callers, clock: FakeClock) -> None:
    one, two = Connection("one"), Connection("two")
    for step in range(64):
        callers.start(*"abcde")
        await turn()
        for bit, name in enumerate("abcde"):
            if step >> bit & 1:
                callers.tasks[name].cancel()
        callers.slots.give(one, clock())
        if step & 32:
            await turn()
        callers.slots.give(two, clock())
        while callers.tasks:
            await turn()
            for name, task in list(callers.tasks.items()):
                if task.done():
                    del callers.tasks[name]
                    if not task.cancelled():
                        callers.give(task.result())
        assert {callers.slots.take(), callers.slots.take()} == {one, two}
        assert callers.slots.waiting == 0


async def test_who_waits_too_long_is_told(callers: Callers, clock: FakeClock) -> None:
    callers.start("a")
    await turn()
    clock.advance(4.0)
    callers.start("b")
    await turn()
    assert callers.slots.expire() == pytest.approx(6.0)
    clock.advance(6.0)
    assert callers.slots.expire() == pytest.approx(4.0)
    await turn()
    error = callers.tasks["a"].exception()
    assert isinstance(error, AcquireTimeoutError)
    assert not error.sent
    assert callers.slots.timeouts == 1
    clock.advance(4.0)
    assert callers.slots.expire() is None
    await turn()
    assert isinstance(callers.tasks["b"].exception(), AcquireTimeoutError)


async def test_all_who_wait_can_be_sent_away(callers: Callers) -> None:
    callers.start("a", "b")
    await turn()
    callers.slots.fail_all(lambda: PoolClosedError("closed"))
    await turn()
    errors = [task.exception() for task in callers.tasks.values()]
    assert [type(error) for error in errors] == [PoolClosedError, PoolClosedError]
    assert errors[0] is not errors[1]
    assert callers.slots.waiting == 0


async def test_a_hundred_callers_on_ten_connections_are_served_in_turn(clock: FakeClock) -> None:
    slots: Slots[Connection] = Slots(name="test", size=10, max_waiting=100, timeout=10.0, clock=clock)
    callers = Callers(slots)
    for number in range(10):
        slots.give(Connection(str(number)), clock())

    async def work(name: str) -> None:
        while len(callers.served) < 5000:
            slot = await callers.call(name)
            await asyncio.sleep(0)
            callers.give(slot)

    await asyncio.gather(*(work(str(number)) for number in range(100)))
    counts = [callers.served.count(str(number)) for number in range(100)]
    assert max(counts) <= 1.5 * min(counts)
