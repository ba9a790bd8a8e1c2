"""What CPU time a coroutine takes, among others on the same event loop."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Metered(Awaitable[T]):
    """Awaits a coroutine, and tells how many seconds of CPU each of its steps takes: others run between them."""

    def __init__(self, work: Coroutine[Any, Any, T], spend: Callable[[float], None]) -> None:
        self._work = work
        self._spend = spend

    def __await__(self) -> Generator[Any, Any, T]:
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            start = time.thread_time()
            try:
                awaited = self._work.throw(thrown) if thrown is not None else self._work.send(sent)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._spend(time.thread_time() - start)
            sent = thrown = None
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 — the coroutine is told, and decides
                thrown = error
