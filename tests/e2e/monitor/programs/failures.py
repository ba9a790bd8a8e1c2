"""Fails in many ways, and prints each as the interpreter prints it and as its own frames, a line of JSON each."""

import asyncio
import contextlib
import enum
import functools
import json
import re
import socket
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

import yaml


class OutOfStockError(Exception):
    """Of the shop."""


class PaymentError(RuntimeError):
    """Of the shop, with a field."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Kind(enum.Enum):
    """Of goods."""

    SHOE = "shoe"


@dataclass(frozen=True)
class Price:
    """Never changes."""

    cents: int


T = TypeVar("T")


@dataclass
class Shelf(Generic[T]):
    """Generic."""

    items: dict[str, T]

    def take(self, name: str) -> T:
        return self.items[name]

    @property
    def first(self) -> T:
        return next(iter(self.items.values()))

    @classmethod
    def of(cls, text: str) -> "Shelf[Any]":
        return cls(json.loads(text))

    @staticmethod
    def price(text: str) -> int:
        return int(text)

    def __getitem__(self, name: str) -> T:
        return self.take(name)


def index() -> object:
    return [1, 2][5]


def attribute() -> object:
    return Shelf({}).missing  # type: ignore[attr-defined]


def divide(by: int = 0) -> float:
    return 1 / by


def key() -> object:
    return Shelf({"a": 1}).take("b")


def by_property() -> object:
    return Shelf({}).first


def by_class_method() -> object:
    return Shelf.of("{no json")


def by_static_method() -> object:
    return Shelf.price("twelve")


def by_item() -> object:
    return Shelf({"a": 1})["c"]


def own() -> None:
    raise OutOfStockError("none of sku 12 is left")


def with_field() -> None:
    raise PaymentError("card 4242 declined", 12)


def with_note() -> None:
    error = ValueError("bad quantity")
    error.add_note("in order 12\nof customer 3")
    raise error


def many_lines() -> None:
    raise ValueError("first line\n  second: line\n\nFile of nothing\nlast")


def without_message() -> None:
    raise NotImplementedError


def chained() -> None:
    try:
        key()
    except KeyError as error:
        raise OutOfStockError("no such shelf") from error


def thrice() -> None:
    try:
        chained()
    except OutOfStockError as error:
        raise PaymentError("cannot pay", 3) from error


def in_passing() -> None:
    try:
        key()
    except KeyError:
        divide()


def rewrapped() -> None:
    try:
        divide()
    except ZeroDivisionError:
        raise ValueError("no rate") from None


def handled_here() -> None:
    try:
        divide()
    except ZeroDivisionError:
        raise ValueError("no rate in context")  # noqa: B904


def recursive(depth: int = 40) -> int:
    return recursive(depth - 1) if depth else int("deep")


def even(number: int = 21) -> bool:
    return odd(number - 1) if number else bool([][0])


def odd(number: int) -> bool:
    return even(number - 1) if number else bool([][1])


def endless() -> int:
    return endless() + 1


def by_lambda() -> object:
    return (lambda order: order["total"])({})


def by_comprehension() -> object:
    return [divide(number) for number in (1, 0)]


def by_generator() -> object:
    return sum(divide(number) for number in (1, 0))


def by_sort() -> object:
    return sorted([1, 2], key=lambda number: divide(number - 1))


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*given: Any) -> Any:
        return function(*given)

    return wrapper


@decorated
def by_decorator() -> None:
    raise LookupError("wrapped")


def nested() -> None:
    def innermost() -> None:
        class LocalError(Exception):
            pass

        raise LocalError("of a function")

    innermost()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except ZeroDivisionError as error:
        raise PaymentError("translated", 1) from error


def by_context_manager() -> None:
    with translated():
        divide()


def in_exit() -> None:
    with contextlib.ExitStack() as stack:
        stack.callback(divide)


def grouped() -> None:
    found = []
    for step in (divide, key, chained):
        try:
            step()
        except Exception as error:  # noqa: BLE001
            found.append(error)
    raise ExceptionGroup("several", found)


def nested_groups() -> None:
    try:
        grouped()
    except ExceptionGroup as error:
        raise ExceptionGroup("outer", [error, ValueError("never raised")]) from None


async def wait_and_fail(seconds: float) -> None:
    await asyncio.sleep(seconds)
    divide()


async def wait_and_miss() -> None:
    await asyncio.sleep(0)
    key()


def by_await() -> None:
    asyncio.run(wait_and_fail(0))


def by_task() -> None:
    async def both() -> None:
        await asyncio.create_task(wait_and_fail(0))

    asyncio.run(both())


def by_gather() -> None:
    async def both() -> None:
        await asyncio.gather(wait_and_fail(0), wait_and_fail(1))

    asyncio.run(both())


def by_task_group() -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait_and_fail(0))
            tasks.create_task(wait_and_miss())

    asyncio.run(both())


def by_timeout() -> None:
    async def slow() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    asyncio.run(slow())


def in_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(divide, 0).result()


def compiled() -> None:
    compile("def broken(:", "<order>", "exec")


def evaluated() -> None:
    exec("def ordered():\n    return 1 / 0\nordered()")  # noqa: S102


def imported() -> None:
    __import__("shop_that_is_not_there")


def opened() -> None:
    open("/nowhere/at/all")  # noqa: SIM115, PTH123


def decoded() -> None:
    b"\xff".decode()


def asserted() -> None:
    assert not "stock", "there is stock"


def unpacked() -> None:
    one, two = (1,)
    print(one, two)


def with_ids() -> None:
    raise OutOfStockError(f"order {uuid.uuid4()} of {object()}")


def passed_on() -> None:
    try:
        own()
    except OutOfStockError as error:
        error.add_note("passed on")
        raise error  # noqa: TRY201 — its stack has this function twice


def in_library() -> None:
    yaml.safe_load("items: [")


def in_pattern() -> None:
    re.compile("(")


def enumerated() -> None:
    Kind("glove")


def frozen() -> None:
    Price(12).cents = 13  # type: ignore[misc]


def refused() -> None:
    socket.create_connection(("127.0.0.1", 1))


FAILURES = [
    value
    for value in list(globals().values())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and not isinstance(value, type)
    and value.__name__ not in {"decorated", "translated", "wait_and_fail", "wait_and_miss", "odd"}
]


def frames_of(trace: TracebackType | None) -> list[dict[str, Any]]:
    """As an SDK would send them."""
    return [
        {
            "function": frame.f_code.co_name,
            "module": frame.f_globals.get("__name__", ""),
            "abs_path": frame.f_code.co_filename,
            "file": frame.f_code.co_filename.rpartition("/")[2],
            "line": line,
        }
        for frame, line in traceback.walk_tb(trace)
    ]


def exceptions_of(error: BaseException) -> list[dict[str, Any]]:
    """An exception with its causes and members, in the order and with the numbers that Sentry's SDK gives them."""
    listed: list[dict[str, Any]] = []
    grouped = isinstance(error, BaseExceptionGroup)

    def add(one: BaseException, parent: int | None, source: str) -> None:
        number = len(listed)
        kind = type(one)
        told = {"type": kind.__qualname__, "module": kind.__module__, "value": str(one), "frames": frames_of(one.__traceback__)}
        if grouped:
            told |= {"exception_id": number, "parent_id": parent, "source": source, "is_group": isinstance(one, BaseExceptionGroup)}
        listed.append(told)
        cause = one.__cause__ if one.__suppress_context__ else one.__context__
        if cause is not None:
            add(cause, 0, "__cause__" if one.__suppress_context__ else "__context__")
        for index, member in enumerate(one.exceptions if isinstance(one, BaseExceptionGroup) else ()):
            add(member, number, f"exceptions[{index}]")

    add(error, None, "")
    return listed[::-1]


def report(failure: Callable[[], object]) -> None:
    """Fail, and say how."""
    try:
        failure()
    except BaseException as error:  # noqa: BLE001
        kind = type(error)
        told = {
            "name": failure.__name__,
            "platform": "python",
            "type": f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__,
            "message": str(error),
            "text": traceback.format_exc(),
            "exceptions": exceptions_of(error),
        }
        print(json.dumps(told))


if __name__ == "__main__":
    for each in FAILURES:
        report(each)
