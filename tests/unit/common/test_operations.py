"""The registry of operations: states, limits, what is kept for how long, and how they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from souk_common.call import CURRENT, Call
from souk_common.errors import ServiceError
from souk_common.operations import Operation, Operations, Progress, State, Work
from souk_common.testing import FakeClock


class LateError(Exception):
    """One of a core."""


ERRORS = {LateError: lambda error: ServiceError(grpc.StatusCode.ABORTED, "LATE", str(error), domain="souk.test.v1")}
METHOD = "souk.test.v1.TestService/Work"


class Job:
    """Work that ends as a test tells it to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.error: Exception | None = None
        self.done = 0
        self.tidied = 0
        self.looks = 0

    async def run(self) -> None:
        assert CURRENT.get() is None, "a call's context ends with the call"
        try:
            await self.release.wait()
        finally:
            await self.let_go.wait()
            self.tidied += 1
        if self.error is not None:
            raise self.error

    def look(self) -> Progress:
        self.looks += 1
        return Progress(total=10, done=self.done, unit="key", counts={"loaded": self.done})

    def work(self, target: str = "it", time_limit: float = 60.0) -> Work:
        return Work(METHOD, target, self.run, self.look, time_limit)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def make(clock: FakeClock) -> AsyncIterator[Callable[..., Operations]]:
    async with contextlib.AsyncExitStack() as stack:

        def made(node: str = "one", **limits: Any) -> Operations:
            chosen = {"max_active": 3, "max_kept": 5, "retention": 100.0, **limits}
            operations = Operations(node, ERRORS, clock=clock, **chosen)
            stack.push_async_callback(operations.drain)
            return operations

        yield made


@pytest.fixture
def operations(make: Callable[..., Operations]) -> Operations:
    return make()


async def ended(operations: Operations, operation: Operation) -> Operation:
    return [each async for each in operations.watch(operation.operation_id)][-1]


def refusal(call: Callable[[], Any]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value


async def test_an_operation_is_pending_running_and_over_and_says_when(operations: Operations, clock: FakeClock):
    job, created = Job(), clock()
    started = operations.start(job.work("shoes", 60.0), principal="shop")
    assert (started.state, started.target, started.method, started.principal) == (State.PENDING, "shoes", METHOD, "shop")
    assert (started.create_time, started.deadline_time, started.start_time) == (created, created + 60.0, None)
    clock.advance(1)
    changes = operations.watch(started.operation_id)
    assert (await anext(changes)).state is State.PENDING
    running = await anext(changes)
    assert (running.state, running.start_time, running.progress.done) == (State.RUNNING, created + 1, 0)
    job.done = 10
    assert operations.get(started.operation_id).progress.counts == {"loaded": 10}
    clock.advance(1)
    job.release.set()
    over = [each async for each in changes][-1]
    assert (over.state, over.end_time, over.error) == (State.SUCCEEDED, created + 2, None)
    assert over == operations.get(started.operation_id)
    looks = job.looks
    operations.get(started.operation_id)
    assert job.looks == looks, "the job may go when it is over"


async def test_what_the_work_raises_is_told_by_the_service_s_table(operations: Operations):
    job = Job()
    job.error, job.done = LateError("too late"), 4
    job.release.set()
    over = await ended(operations, operations.start(job.work()))
    assert (over.state, over.progress.done) == (State.FAILED, 4)
    assert over.error is not None
    failure = over.error.failure()
    assert (failure.code, failure.reason, failure.domain, failure.message) == (10, "LATE", "souk.test.v1", "too late")


async def test_an_unforeseen_error_shows_nothing_but_an_id(operations: Operations):
    job = Job()
    job.error = RuntimeError("secret")
    job.release.set()
    over = await ended(operations, operations.start(job.work()))
    assert over.error is not None
    assert (over.state, over.error.reason, "secret" in over.error.message) == (State.FAILED, "INTERNAL", False)


async def test_cancelling_returns_when_the_work_has_let_go_and_may_be_repeated(operations: Operations):
    job = Job()
    job.let_go.clear()
    started = operations.start(job.work())
    await asyncio.sleep(0)
    calls = [asyncio.create_task(operations.cancel(started.operation_id, principal=name)) for name in ("anna", "ben")]
    await asyncio.sleep(0)
    assert operations.get(started.operation_id).state is State.RUNNING
    job.let_go.set()
    first, second = await asyncio.gather(*calls)
    assert first == second == await operations.cancel(started.operation_id)
    assert (first.state, job.tidied) == (State.CANCELLED, 1), "the second one does not cut its tidying short"
    assert first.error is not None
    assert (first.error.reason, first.error.metadata) == ("OPERATION_CANCELLED", {"principal": "anna"})


async def test_one_that_has_not_begun_is_cancelled_and_one_that_is_over_stays_as_it_is(operations: Operations):
    started = operations.start(Job().work())
    over = await operations.cancel(started.operation_id)
    assert (over.state, over.start_time) == (State.CANCELLED, None)
    job = Job()
    job.release.set()
    done = await ended(operations, operations.start(job.work()))
    assert (await operations.cancel(done.operation_id)).state is State.SUCCEEDED


async def test_one_that_takes_longer_than_it_may_fails(operations: Operations):
    job = Job()
    over = await ended(operations, operations.start(job.work(time_limit=0.001)))
    assert over.error is not None
    assert (over.state, over.error.reason, job.tidied) == (State.FAILED, "DEADLINE_EXCEEDED", 1)


async def test_a_node_that_stops_ends_all_and_takes_no_more(operations: Operations):
    jobs = [Job(), Job()]
    started = [operations.start(job.work()) for job in jobs]
    watching = [asyncio.create_task(ended(operations, each)) for each in started]
    await asyncio.sleep(0)
    await operations.drain()
    for each in await asyncio.gather(*watching):
        assert each.error is not None
        assert (each.state, each.error.reason) == (State.FAILED, "SHUTTING_DOWN")
    assert [job.tidied for job in jobs] == [1, 1]
    assert refusal(lambda: operations.start(Job().work())).code is grpc.StatusCode.UNAVAILABLE


async def test_no_more_are_taken_than_may_be_at_work(operations: Operations):
    jobs = [Job() for _ in range(3)]
    started = [operations.start(job.work()) for job in jobs]
    error = refusal(lambda: operations.start(Job().work()))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_OPERATIONS")
    assert error.metadata == {"limit": "3"}
    assert error.retry_delay is not None
    await operations.cancel(started[0].operation_id)
    operations.start(Job().work())


async def test_a_repeat_returns_the_first_operation_for_as_long_as_it_is_kept(operations: Operations, clock: FakeClock):
    job = Job()
    first = operations.start(job.work(), principal="anna", request_id="r", fingerprint=b"1")
    again = operations.start(Job().work(), principal="anna", request_id="r", fingerprint=b"1")
    assert again.operation_id == first.operation_id
    assert operations.start(Job().work(), principal="ben", request_id="r").operation_id != first.operation_id
    assert operations.start(Job().work(), principal="anna").operation_id != first.operation_id
    reused = refusal(lambda: operations.start(Job().work(), principal="anna", request_id="r", fingerprint=b"2"))
    assert (reused.code, reused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    job.release.set()
    over = await ended(operations, first)
    assert operations.start(Job().work(), principal="anna", request_id="r", fingerprint=b"1") == over
    clock.advance(101)
    later = operations.start(Job().work(), principal="anna", request_id="r", fingerprint=b"1")
    assert later.operation_id != first.operation_id


async def test_what_is_over_is_kept_for_a_while_and_not_too_much_of_it(operations: Operations, clock: FakeClock):
    ids = []
    for _ in range(7):
        job = Job()
        job.release.set()
        ids.append((await ended(operations, operations.start(job.work()))).operation_id)
        clock.advance(1)
    assert [each.operation_id for each in operations.list((), before=None, size=10)] == ids[:1:-1], "the newest five"
    assert refusal(lambda: operations.get(ids[0])).reason == "OPERATION_NOT_FOUND"
    clock.advance(96)
    assert [each.operation_id for each in operations.list((), before=None, size=10)] == ids[:3:-1]
    running = operations.start(Job().work())
    clock.advance(1000)
    assert [each.operation_id for each in operations.list((), before=None, size=10)] == [running.operation_id]


async def test_lists_are_newest_first_by_state_and_in_pages(operations: Operations):
    started = [operations.start(Job().work(str(i))) for i in range(3)]
    await operations.cancel(started[1].operation_id)
    assert [each.target for each in operations.list((), before=None, size=2)] == ["2", "1"]
    assert [each.target for each in operations.list((), before=started[1].number, size=2)] == ["0"]
    assert [each.target for each in operations.list({State.CANCELLED}, before=None, size=9)] == ["1"]
    assert [each.target for each in operations.list({State.RUNNING, State.PENDING}, before=None, size=9)] == ["2", "0"]


async def test_another_node_says_which_one_has_it(operations: Operations, make: Callable[..., Operations]):
    other, restarted = make("two"), make("one")
    operation_id = operations.start(Job().work()).operation_id
    elsewhere = refusal(lambda: other.get(operation_id))
    assert (elsewhere.code, elsewhere.reason) == (grpc.StatusCode.NOT_FOUND, "OPERATION_ELSEWHERE")
    assert elsewhere.metadata == {"node": "one", "answered_by": "two"}
    assert refusal(lambda: restarted.get(operation_id)).reason == "OPERATION_NOT_FOUND"
    assert refusal(lambda: operations.get("nonsense")).reason == "OPERATION_NOT_FOUND"


async def test_work_does_not_end_with_the_call_that_asked_for_it(operations: Operations):
    job = Job()
    job.release.set()

    async def call() -> Operation:
        CURRENT.set(Call("/souk.test.v1.TestService/Work", 1, 2))
        return operations.start(job.work())

    assert (await ended(operations, await asyncio.create_task(call()))).state is State.SUCCEEDED
