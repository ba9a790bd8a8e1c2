"""A shop that fails in the ways that programs fail: chained, grouped, in tasks and threads, handled."""

import asyncio
import threading
from collections.abc import Callable


class OrderError(Exception):
    """An order that cannot be placed."""


def take(sku: str) -> int:
    stock = {"ring": 1}
    return stock[sku]


def place(sku: str) -> int:
    try:
        return take(sku)
    except KeyError as error:
        raise OrderError(f"no stock of {sku}") from error


def plain() -> None:
    take("lamp")


def chained() -> None:
    place("lamp")


def grouped() -> None:
    async def one(sku: str) -> int:
        await asyncio.sleep(0)
        return place(sku)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one("lamp"))
            group.create_task(one("rug"))

    asyncio.run(both())


def in_task() -> None:
    async def main() -> None:
        await asyncio.create_task(work())

    async def work() -> None:
        await asyncio.sleep(0)
        int("twelve")

    asyncio.run(main())


def in_thread(report: Callable[[BaseException], None]) -> None:
    def work() -> None:
        try:
            place("vase")
        except OrderError as error:
            report(error)

    thread = threading.Thread(target=work, name="packer")
    thread.start()
    thread.join()


FAILURES: dict[str, Callable[[], None]] = {"plain": plain, "chained": chained, "grouped": grouped, "in_task": in_task}


def fail_in_every_way(report: Callable[[str, Exception], None]) -> None:
    """Run every failure, and report it where it is handled."""
    for name, fail in FAILURES.items():
        try:
            fail()
        except Exception as error:  # noqa: BLE001 — whatever it is, it is reported
            report(name, error)
