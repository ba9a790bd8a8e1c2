"""Grouping: what a message and a whole event cost, cold, every one distinct, on one core; and stack texts by the megabyte.

Beside it stands a floor in the same run: blake2b of the event's fields joined, which is the least that a fingerprint can be. Times
are of the processor, so that what else runs on the machine counts for little; each figure is the median of several passes over
events that no pass before has seen.
"""

import gc
import random
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

import machine
from souk_monitor import stack_text
from souk_monitor.categories import classify
from souk_monitor.events import Event, ExceptionInfo, Frame, Source
from souk_monitor.grouping import group

PASSES = 7
MESSAGES = 3_000
EVENTS = 400
FRAMES = 30
WORDS = [
    *("order", "cart", "stock", "price", "seller", "payment", "photo", "review", "basket", "search", "user", "account"),
    *("login", "token", "ship", "parcel", "invoice", "refund", "credit", "market", "shop", "item", "offer", "bid"),
    *("auction", "chat", "mail", "queue", "worker", "job", "task", "retry", "cache", "store", "index", "query"),
    *("filter", "sort", "page", "view", "form", "field", "panel", "button", "layout", "theme", "color", "image"),
    *("upload", "file", "folder", "path", "route", "handler", "guard", "policy", "rule", "scope", "role", "group"),
    *("team", "member", "owner", "admin", "audit", "trail", "event", "metric", "trace", "span", "log", "alert"),
    *("report", "chart", "table", "column", "row", "cell", "key", "value", "pair", "map", "list"),
]
"""Three of them make a name: there are half a million, so that hardly one is known from before."""
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def logged(chance: random.Random) -> Event:
    """A line of a log with five values of different kinds."""
    text = (
        f"order {chance.randrange(10**9)} of {uuid.UUID(int=chance.getrandbits(128))} failed after {chance.random() * 9:.3f} s: "
        f"connection to 10.{chance.randrange(256)}.0.1:5432 refused for user{chance.randrange(10**6)}"
    )
    return Event("0" * 32, WHEN, Source.OTLP_LOG, message=text)


def snake(chance: random.Random) -> str:
    return "_".join(chance.sample(WORDS, 3))


def camel(chance: random.Random) -> str:
    return "".join(word.title() for word in chance.sample(WORDS, 3))


def python(chance: random.Random, number: int) -> Frame:
    name, file = snake(chance), snake(chance)
    if number % 3 == 1:
        return Frame(name, f"django.core.{file}", "", f"/srv/venv/lib/python3.11/site-packages/django/core/{file}.py", number)
    package = snake(chance)
    return Frame(name, f"shop.{package}.{file}", "", f"/srv/app/releases/{number}/shop/{package}/{file}.py", number)


def node(chance: random.Random, number: int) -> Frame:
    library = f"/srv/app/node_modules/express/lib/{snake(chance)}.js"
    path = library if number % 3 == 1 else f"/srv/app/dist/{snake(chance)}/{snake(chance)}.js"
    return Frame(f"async {camel(chance)}.add" if number % 2 else snake(chance), "", path, path, number, 12)


def java(chance: random.Random, number: int) -> Frame:
    module = f"org.springframework.web.{camel(chance)}" if number % 3 == 1 else f"com.acme.shop.{camel(chance)}$1"
    name = camel(chance)
    return Frame(f"lambda${name}$3" if number % 4 == 0 else name, module, "Orders.java", "", number)


def go(chance: random.Random, number: int) -> Frame:
    if number % 3 == 1:
        return Frame(f"(*conn).serve{camel(chance)}", "net/http", "", "/usr/local/go/src/net/http/server.go", number)
    package = "".join(chance.sample(WORDS, 3))
    return Frame(f"(*{camel(chance)}).Add.func1", f"github.com/acme/shop/{package}", "", f"/srv/app/{package}/cart.go", number)


def failed(frame: Callable[[random.Random, int], Frame], platform: str) -> Callable[[random.Random], Event]:
    def made(chance: random.Random) -> Event:
        frames = tuple(frame(chance, number) for number in range(FRAMES))
        error = ExceptionInfo(type="OrderError", value=logged(chance).message, frames=frames)
        return Event("0" * 32, WHEN, Source.SENTRY, platform=platform, exceptions=(error,))

    return made


def floor(event: Event) -> bytes:
    """The text of an event, hashed as it is."""
    parts = [event.message]
    for one in event.exceptions:
        parts += (one.type, one.value, *[f"{frame.module or frame.abs_path}:{frame.function}" for frame in one.frames])
    return blake2b("\n".join(parts).encode(), digest_size=16).digest()


def microseconds(work: Callable[[Event], object], passes: Sequence[Sequence[Event]]) -> list[float]:
    """Of each pass, per event."""
    found = []
    for events in passes:
        gc.collect()
        gc.disable()
        begin = time.process_time()
        for event in events:
            work(event)
        found.append((time.process_time() - begin) / len(events) * 1e6)
        gc.enable()
    return found


def show(name: str, made: Callable[[random.Random], Event], count: int, limit: str) -> None:
    chance = random.Random(name)
    passes = [[made(chance) for _ in range(count)] for _ in range(PASSES)]
    least = microseconds(floor, passes)
    cost = microseconds(group, passes)
    ratio = [one / other for one, other in zip(cost, least, strict=True)]
    kind = microseconds(classify, passes)
    print(
        f"{name:<34} {machine.spread(cost, '.1f'):>24} {limit:>8} {machine.spread(least, '.2f'):>22}"
        f" {machine.spread(ratio, '.1f'):>20} {machine.spread(kind, '.1f'):>20}"
    )


def texts() -> None:
    """Parsing of stack texts of the languages, as they are printed."""
    print("\nstack texts of 30 frames, µs each:")
    samples = {
        "python": "Traceback (most recent call last):\n"
        + '  File "/srv/app/shop/a.py", line 3, in place\n    place()\n' * FRAMES
        + "ValueError: x",
        "node": "TypeError: x\n" + "    at Cart.add (/srv/app/shop/cart.js:12:5)\n" * FRAMES,
        "java": "com.acme.E: x\n" + "\tat com.acme.Orders.place(Orders.java:12)\n" * FRAMES,
        "go": "panic: x\n\ngoroutine 1 [running]:\n" + "main.(*Cart).Add(0xc000)\n\t/srv/app/cart.go:12 +0x1d\n" * FRAMES,
    }
    for name, text in samples.items():
        found = []
        for _ in range(PASSES):
            begin = time.process_time()
            for _ in range(200):
                stack_text.parse(text)
            found.append((time.process_time() - begin) / 200 * 1e6)
        print(f"  {name:<10} {machine.spread(found, '.0f'):>20}  {len(text) / min(found):.1f} MB/s")


def main() -> None:
    print(machine.describe())
    print(f"\nnormalise and fingerprint, µs of processor time, cold, every one distinct; median (least to most) of {PASSES} passes")
    print(f"{'':<34} {'grouping':>24} {'limit':>8} {'floor: hash of the text':>22} {'times the floor':>20} {'category':>20}")
    show("a message", logged, MESSAGES, "20")
    for platform, frame in (("python", python), ("node", node), ("java", java), ("go", go)):
        show(f"an event of {FRAMES} frames, {platform}", failed(frame, platform), EVENTS, "150")
    texts()


if __name__ == "__main__":
    main()
