"""Which threads and images of an event are of its crash."""

from datetime import UTC, datetime
from typing import Any

import pytest
from souk_monitor.crash import are_of_crash, has_crashed, images_in, some_of, threads_in
from souk_monitor.events import Event, ExceptionInfo, Frame, Source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def crashed(*frames: Frame, threads: Any = (), images: Any = ()) -> Event:
    extra = {"threads": threads, "debug_meta": {"images": images}}
    return Event("a" * 32, NOW, Source.SENTRY, exceptions=(ExceptionInfo("E", frames=frames),), extra=extra)


@pytest.mark.parametrize("address", ["0x1800", "0X1800", "6144", 6144])
@pytest.mark.parametrize("start", ["0x1000", "4096", 4096])
def test_an_image_is_of_the_crash_where_an_address_of_a_frame_is_in_it(address: Any, start: Any):
    event = crashed(Frame(extra={"instruction_addr": address}))
    ends = ({"image_size": 0x801}, {"image_size": "0x801"}, {"image_size": 0x800}, {"image_size": None}, {})
    images = [{"image_addr": start, **size} for size in ends]
    assert are_of_crash(images, event) == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("frame", "image", "is_of_it"),
    [
        (Frame(extra={"image_addr": "0x1000"}), {"image_addr": "0x1000"}, True),
        (Frame(extra={"image_addr": "0x1001"}), {"image_addr": "0x1000"}, False),
        (Frame(package="libshop.so"), {"image_addr": "0x1000", "code_file": "/data/app/libshop.so"}, True),
        (Frame(package="C:\\shop\\shop.dll"), {"code_file": "D:\\build\\shop.dll"}, True),
        (Frame(package="Shop"), {"image_addr": "0x1", "name": "/Shop.app/Shop"}, True),
        (Frame(abs_path="https://shop.example/a.js"), {"type": "sourcemap", "code_file": "https://shop.example/a.js"}, True),
        (Frame(abs_path="https://shop.example/a.js"), {"type": "sourcemap", "code_file": "https://shop.example/b.js"}, False),
        (Frame("f"), {"type": "proguard", "uuid": "7"}, True),
        (Frame("f"), {"code_file": "/lib/a.so"}, False),
        (Frame(extra={"addr_mode": "rel:0"}), {"code_file": "/lib/a.wasm"}, True),
        (Frame(extra={"instruction_addr": "9" * 5000}), {"image_addr": "0x0", "image_size": "f" * 41}, False),
        (Frame(extra={"instruction_addr": [1], "addr_mode": {}}), {"image_addr": {}, "code_file": [1]}, False),
        (Frame("f"), "image", False),
    ],
)
def test_an_image_is_of_the_crash_by_what_frames_say(frame: Frame, image: Any, is_of_it: bool):
    assert are_of_crash([image], crashed(frame)) == [is_of_it]


def test_frames_of_the_thread_that_crashed_count_and_those_of_others_do_not():
    def thread(address: int, **more: Any) -> dict[str, Any]:
        return {"stacktrace": {"frames": [{"instruction_addr": address}]}, **more}

    threads = [
        thread(0x1000),
        thread(0x2000, crashed=True),
        thread(0x3000, current=True),
        "x",
        {"crashed": "true", "stacktrace": 1},
        {"crashed": "no"},
    ]
    images = [{"image_addr": address, "image_size": 16} for address in (0x1000, 0x2000, 0x3000)]
    assert [has_crashed(thread) for thread in threads] == [False, True, True, False, True, False]
    assert are_of_crash(images, crashed(threads=threads)) == [False, True, True]


def test_of_too_many_images_those_of_the_crash_stay_and_the_first_of_the_others_in_their_order():
    images = [{"image_addr": 0x1000 * number, "image_size": 16, "code_file": f"{number}"} for number in range(10)]
    event = crashed(Frame(extra={"instruction_addr": "0x7008"}), images=images)
    assert some_of(images, event, 3, 100) == [images[0], images[1], images[7]]
    assert some_of(images, event, 9, 8) == [images[0], images[7]]
    assert some_of(images, event, 0, 0) == [images[7]]


@pytest.mark.parametrize(
    "extra", [{}, {"threads": {"a": 1}, "debug_meta": [1]}, {"threads": "x", "debug_meta": {"images": {"a": 1}}}]
)
def test_what_is_no_list_has_neither_threads_nor_images(extra: dict[str, Any]):
    event = Event("a" * 32, NOW, Source.SENTRY, extra=extra)
    assert (list(threads_in(event)), list(images_in(event))) == ([], [])
