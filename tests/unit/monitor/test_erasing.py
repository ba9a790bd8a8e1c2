"""Users taken out of bodies."""

import uuid
from datetime import UTC, datetime

import pytest
from souk_monitor.decoding import bodies
from souk_monitor.erasing import ERASED, Names, erase, is_distinctive
from souk_monitor.events import Event, ExceptionInfo, Frame, Source, User

TIME = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def event(user: User, said: str) -> Event:
    frame = Frame(function="pay", line=2026, column=7, local_variables={"who": said, "number": 2026, "all": [2026, said]})
    return Event(
        event_id=uuid.uuid4().hex,
        time=TIME,
        source=Source.NATIVE,
        platform="python",
        message=f"{said} again",
        exceptions=(ExceptionInfo(type="KeyError", value=f"no basket of {said}", frames=(frame,)),),
        tags={"buyer": said},
        user=user,
        contexts={"basket": {said: [1, said]}},
    )


def erased(user: User, said: str, asked: str) -> Event:
    return bodies.decode(erase(bodies.encode(event(user, said)), asked)[0])


def test_every_name_that_the_event_knew_its_user_by_goes() -> None:
    user = User(id="u-17", email="ana@shop.example", username="ana@shop", extra={"name": "Ana"})
    body, names = erase(bodies.encode(event(user, "ana@shop.example or ana@shop")), "u-17")
    left = bodies.decode(body)
    assert names.all == ["ana@shop.example", "ana@shop", "u-17"]
    assert left.user is None
    assert left.exceptions[0].value == f"no basket of {ERASED} or {ERASED}"
    assert left.tags == {"buyer": f"{ERASED} or {ERASED}"}
    assert b"ana" not in body


@pytest.mark.parametrize("name", ["2026", "native", "python", "2026-03-01", "7"])
def test_an_event_can_be_read_whatever_its_user_is_called(name: str) -> None:
    left = erased(User(id=name), name, name)
    assert (left.time, left.source, left.platform) == (TIME, Source.NATIVE, "python")
    frame = left.exceptions[0].frames[0]
    assert (frame.line, frame.column) == (2026, 7)
    assert frame.local_variables["who"] == left.tags["buyer"] == ERASED


def test_a_number_is_a_name_where_it_is_data() -> None:
    frame = erased(User(id="2026"), "x", "2026").exceptions[0].frames[0]
    assert frame.local_variables == {"who": "x", "number": ERASED, "all": [ERASED, "x"]}


def test_a_short_name_goes_where_it_is_the_whole_value() -> None:
    left = erased(User(id="ana"), "ana", "ana")
    assert (left.message, left.tags, left.contexts) == ("ana again", {"buyer": ERASED}, {"basket": {ERASED: [1, ERASED]}})


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("2024", "/orders/20241 on 2024-01-01 took 12024 ms", "/orders/20241 on 2024-01-01 took 12024 ms"),
        ("2024", "no basket of 2024: v1.2024, 2024.5, 20:24:2024", "no basket of [erased]: v1.2024, 2024.5, 20:24:2024"),
        ("2024", "/users/2024/basket?user=2024&x=1", "/users/[erased]/basket?user=[erased]&x=1"),
        ("admin", "administration denied to admin", "administration denied to [erased]"),
        ("u-17", "u-17, u-170 and su-17", "[erased], u-170 and su-17"),
        ("ana@shop.example", "<ana@shop.example>, diana@shop.example", "<[erased]>, diana@shop.example"),
        ("10.1.2.3", "10.1.2.3:80 and 10.1.2.34", "[erased]:80 and 10.1.2.34"),
        ("Zoë Ü", "of Zoë Ü, not of Zoë Über", "of [erased], not of Zoë Über"),
        ("184467440737", "[5,184467440737,9] cart:5:184467440737", "[5,[erased],9] cart:5:[erased]"),
        ("ana-17", "/login?next=%2Fu%2Fana-17%2Forders", "/login?next=%2Fu%2F[erased]%2Forders"),
        ("ana-17", '{"a":"x\\nana-17\\u0022ana-17"}', '{"a":"x\\n[erased]\\u0022[erased]"}'),
        ("山田太郎", "お客様山田太郎さんの注文", "お客様[erased]さんの注文"),
        ("ana-17", "お客様ana-17さん", "お客様[erased]さん"),
    ],
)
def test_a_name_goes_where_it_is_a_word_by_itself(name: str, text: str, left: str) -> None:
    assert erased(User(id=name), text, name).tags == {"buyer": left}


def test_code_stays_and_homes_go() -> None:
    frame = Frame(
        function="admin",
        module="shop.admin",
        file="shop/admin/views.py",
        abs_path="/Users/admin/shop/admin/views.py",
        context_line="    if role == 'admin':",
        local_variables={"role": "admin"},
    )
    before = Event(
        event_id=uuid.uuid4().hex,
        time=TIME,
        source=Source.NATIVE,
        service="admin",
        exceptions=(ExceptionInfo(type="admin", module="shop.admin", value="not for admin", frames=(frame,)),),
        user=User(username="admin"),
    )
    left = bodies.decode(erase(bodies.encode(before), "admin")[0])
    (exception,) = left.exceptions
    assert (left.service, exception.type, exception.module, exception.value) == ("admin", "admin", "shop.admin", "not for [erased]")
    (kept,) = exception.frames
    assert (kept.function, kept.module, kept.file, kept.context_line) == ("admin", "shop.admin", frame.file, frame.context_line)
    assert (kept.abs_path, kept.local_variables) == ("/Users/[erased]/shop/admin/views.py", {"role": ERASED})


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("/home/ana-17/shop/views.py", "/home/[erased]/shop/views.py"),
        (r"C:\Users\ana-17\shop\views.py", r"C:\Users\[erased]\shop\views.py"),
        ("shop/ana-17/views.py", "shop/ana-17/views.py"),
        ("https://shop.example/u/ana-17/orders?who=ana-17", "https://shop.example/u/[erased]/orders?who=[erased]"),
        ("file:///home/ana-17/shop.js", "file:///home/[erased]/shop.js"),
    ],
)
def test_homes_go_from_paths_and_every_name_from_urls(path: str, left: str) -> None:
    names = Names(["ana-17"])
    assert names.without_in_path(path) == left


@pytest.mark.parametrize(
    ("culprit", "left"),
    [
        ("shop/admin in save", "shop/admin in save"),
        ("GET /users/admin", "GET /users/[erased]"),
        ("shop.admin", "shop.admin"),
        ("admin", ERASED),
    ],
)
def test_what_may_be_code_loses_a_name_only_where_it_is_nothing_else(culprit: str, left: str) -> None:
    assert Names(["admin"]).without_in_code(culprit) == left


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a@b", True), ("user-4711", True), ("20240301", True), ("2024", False), ("eu-1", False), ("production", False)],
)
def test_a_name_is_taken_for_the_same_user_everywhere_where_it_is_hardly_anything_else(name: str, expected: bool) -> None:
    assert is_distinctive(name) is expected


@pytest.mark.parametrize(
    ("name", "template", "left"),
    [
        ("bob-17", "basket of bob-* is gone", "basket of [erased] is gone"),
        ("4711", "basket of * is gone", "basket of * is gone"),
        ("bob-klein", "basket of bob-klein is gone", "basket of [erased] is gone"),
    ],
)
def test_a_name_goes_from_a_template_that_has_its_numbers_no_more(name: str, template: str, left: str) -> None:
    assert Names([name]).without_in_template(template) == left
