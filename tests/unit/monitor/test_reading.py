"""Bodies on their way in: who sends slowly keeps nobody out."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from souk_monitor.exceptions import TooLargeError
from souk_monitor.web.arriving import Arriving
from souk_monitor.web.reading import GaveWayError, Reading, TooSlowError


def reading(*, seconds: float = 60, most: int = 100, most_bytes: int = 1_000_000) -> Reading:
    return Reading(seconds=seconds, part_bytes=1_000_000, most=most, most_bytes=most_bytes)


class Sender:
    """Sends what it is told, when it is told."""

    def __init__(
        self, bodies: Reading, holder: object, *first: bytes, limit: int = 1_000_000, into: "Streamed | None" = None
    ) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        for chunk in first:
            self._chunks.put_nowait(chunk)
        self.answer = asyncio.ensure_future(self._read(bodies, into or Arriving(limit), holder))

    async def _read(self, bodies: Reading, body: "Arriving | Streamed", holder: object) -> bytes:
        await bodies.read(self._sent(), body, holder)
        assert isinstance(body.body, bytes)
        return body.body

    def sends(self, data: bytes) -> None:
        self._chunks.put_nowait(data)

    def end(self) -> "asyncio.Future[bytes]":
        self._chunks.put_nowait(None)
        return self.answer

    async def taken(self) -> None:
        """Until all that was sent is read, or nothing is read any more."""
        while not self._chunks.empty() and not self.answer.done():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _sent(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk


class Streamed:
    """A body that is read while it comes, when it may be."""

    is_streamed = True

    def __init__(self) -> None:
        self.body = b""
        self.held = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def take(self, data: bytes) -> None:
        self.held = 100
        await self.may_go_on.wait()
        self.body += data

    async def end(self) -> None:
        await self.may_go_on.wait()


class Clock:
    """That of the event loop, which goes when it is told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = asyncio.get_running_loop().time()
        patch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def goes(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_body_is_read_whole_and_then_counts_no_more() -> None:
    bodies = reading()
    sender = Sender(bodies, 7, b"one ", b"two")
    await sender.taken()
    assert (bodies.count, bodies.bytes) == (1, 7)
    assert await sender.end() == b"one two"
    assert (bodies.count, bodies.bytes) == (0, 0)


async def test_a_body_that_does_not_come_is_given_up_in_time() -> None:
    bodies = reading(seconds=0.001)
    with pytest.raises(TooSlowError):
        await Sender(bodies, 7, b"one").answer
    assert (bodies.count, bodies.bytes) == (0, 0)


async def test_a_body_over_its_limit_is_not_read_on() -> None:
    bodies = reading()
    with pytest.raises(TooLargeError):
        await Sender(bodies, 7, bytes(60), bytes(60), limit=100).answer
    assert (bodies.count, bodies.bytes) == (0, 0)


async def test_idle_senders_keep_nobody_out() -> None:
    bodies = reading(most=32)
    idle = [Sender(bodies, None) for _ in range(200)]
    for each in idle:
        await each.taken()
    assert bodies.count == 32
    assert await Sender(bodies, 7, b"an event").end() == b"an event"
    assert await Sender(bodies, None, b"an event").end() == b"an event"
    answers = await asyncio.gather(*(each.answer for each in idle[:169]), return_exceptions=True)
    assert {type(answer) for answer in answers} == {GaveWayError}
    for each in idle:
        each.answer.cancel()


async def test_who_holds_most_gives_way_and_of_theirs_the_oldest() -> None:
    bodies = reading(most=4)
    one = Sender(bodies, "one", b"1")
    await one.taken()
    many = [Sender(bodies, "many", b"2") for _ in range(3)]
    for each in many:
        await each.taken()
    last = Sender(bodies, "last", b"3")
    with pytest.raises(GaveWayError):
        await many[0].answer
    assert [await each.end() for each in (one, *many[1:], last)] == [b"1", b"2", b"2", b"3"]


async def test_bytes_on_their_way_are_bounded_and_who_holds_most_of_them_gives_way() -> None:
    bodies = reading(most_bytes=1000)
    small = Sender(bodies, "small", bytes(200))
    await small.taken()
    large = [Sender(bodies, "large", bytes(350)) for _ in range(2)]
    for each in large:
        await each.taken()
    more = Sender(bodies, "more", bytes(300))
    await more.taken()
    assert bodies.bytes <= 1000
    with pytest.raises(GaveWayError):
        await large[0].answer
    assert [len(await each.end()) for each in (small, large[1], more)] == [200, 350, 300]
    assert (bodies.count, bodies.bytes) == (0, 0)


async def test_one_who_sends_too_much_gives_way_itself() -> None:
    bodies = reading(most_bytes=1000)
    small = Sender(bodies, "small", bytes(200))
    await small.taken()
    with pytest.raises(GaveWayError):
        await Sender(bodies, "large", *[bytes(300)] * 5).answer
    assert len(await small.end()) == 200


async def test_a_caller_that_goes_leaves_its_place() -> None:
    bodies = reading()
    sender = Sender(bodies, 7, b"one")
    await sender.taken()
    sender.answer.cancel()
    await asyncio.gather(sender.answer, return_exceptions=True)
    assert (bodies.count, bodies.bytes) == (0, 0)


async def test_a_body_that_is_streamed_has_its_time_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, bodies = Clock(monkeypatch), reading(seconds=10)
    half, whole = bytes(500_000), Sender(bodies, 7, into=Streamed())
    slow = Sender(bodies, 8, into=Streamed())
    for _ in range(6):
        whole.sends(half)
        slow.sends(b"a byte")
        await clock.goes(4.0)
    assert len(await whole.end()) == 3_000_000
    with pytest.raises(TooSlowError):
        await slow.answer


async def test_the_time_in_which_a_body_is_taken_is_not_that_of_who_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, bodies, body = Clock(monkeypatch), reading(seconds=10), Streamed()
    sender = Sender(bodies, 7, b"one ", into=body)
    body.may_go_on.clear()
    await clock.goes(0)
    await clock.goes(100)
    body.may_go_on.set()
    sender.sends(b"two")
    await clock.goes(9)
    body.may_go_on.clear()
    end = sender.end()
    await clock.goes(100)
    body.may_go_on.set()
    assert await end == b"one two"
    assert (bodies.count, bodies.bytes) == (0, 0)


@pytest.mark.parametrize("ends", [False, True])
async def test_a_body_gives_way_while_it_is_taken(ends: bool) -> None:
    bodies, body = reading(most=1), Streamed()
    sender = Sender(bodies, None, b"one", into=body)
    if ends:
        await sender.taken()
        sender.end()
    body.may_go_on.clear()
    await sender.taken()
    assert await Sender(bodies, 7, b"an event").end() == b"an event"
    with pytest.raises(GaveWayError):
        await sender.answer


async def test_what_a_streamed_body_holds_is_counted() -> None:
    bodies, body = reading(most_bytes=1000), Streamed()
    sender = Sender(bodies, 7, bytes(5000), into=body)
    await sender.taken()
    assert bodies.bytes == 100
    assert len(await sender.end()) == 5000
