"""What of an event is kept."""

import random
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
from souk_monitor.cutting import Cutting, Lengths, shorten
from souk_monitor.decoding import bodies
from souk_monitor.events import Event, ExceptionInfo, Frame, Source, User
from souk_monitor.limits import Limits, fit
from souk_monitor.measuring import Measure

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(**fields: object) -> Event:
    return Event(**{"event_id": "a" * 32, "time": NOW, "source": Source.SENTRY, **fields})


def fitted(**fields: object) -> Event:
    made = event(**fields)
    fit(made, NOW)
    return made


def frames(count: int, **fields: object) -> tuple[Frame, ...]:
    return tuple(Frame(f"f{number}", **fields) for number in range(count))


def test_what_is_within_the_limits_stays_as_it_is():
    fields = {"message": "no stock", "stack": frames(3), "tags": {"a": "b"}, "contexts": {"os": {"name": "Linux"}}}
    assert fitted(**fields) == event(**fields)


def test_a_long_message_is_cut_between_words_and_that_is_noted():
    made = fitted(message="word " * 4000)
    assert len(made.message) <= 8192
    assert made.message.endswith("word…")
    assert made.scrubbed_fields == ("message",)


def test_a_text_is_cut_before_a_word_that_might_be_half_of_a_secret():
    assert shorten("a" * 90 + " 4111111111111111", 100) == "a" * 90 + "…"
    assert shorten("a" * 200, 100) == "a" * 99 + "…"


def test_of_a_giant_stack_both_ends_are_kept():
    made = fitted(exceptions=(ExceptionInfo("E", frames=frames(10_000)),))
    names = [frame.function for frame in made.exceptions[0].frames]
    assert names == [f"f{number}" for number in (*range(125), *range(9875, 10_000))]
    assert made.scrubbed_fields == ("exceptions[0].frames",)


def test_of_many_exceptions_both_ends_are_kept():
    made = fitted(exceptions=tuple(ExceptionInfo("E" * 90, str(number)) for number in range(200)))
    assert [exception.value for exception in made.exceptions] == [str(n) for n in (*range(25), *range(175, 200))]


def test_tags_are_cut_in_number_and_length():
    made = fitted(tags={f"{number}": "x" for number in range(300)} | {"0": "y" * 501})
    assert len(made.tags) == 200
    assert len(made.tags["0"]) <= 500
    assert made.scrubbed_fields == ("tags.0", "tags")


@pytest.mark.parametrize("name", ["service", "release", "environment", "server_name", "logger", "transaction"])
def test_what_events_are_found_by_is_cut_even_in_small_events(name: str):
    made = fitted(**{name: "x" * 600})
    assert len(getattr(made, name)) == 512
    assert made.scrubbed_fields == (name,)


def test_what_is_nested_too_deep_becomes_its_text():
    deep: dict[str, object] = {"end": 1}
    for _ in range(300):
        deep = {"d": deep}
    made = fitted(contexts={"deep": deep})
    value: object = made.contexts
    depth = 0
    while isinstance(value, dict):
        value, depth = next(iter(value.values())), depth + 1
    assert depth <= 17
    assert made.scrubbed_fields
    bodies.encode(made)


@pytest.mark.parametrize(
    ("bad", "good"),
    [("a\0b", "a�b"), ("a\ud800b", "a�b"), ("\udfff", "�"), ("\ud83d\ude00", "😀"), (2**70, str(2**70))],
)
def test_what_cannot_be_stored_is_mended_wherever_it_is(bad: object, good: object):
    made = fitted(
        message=str(bad),
        tags={"t": str(bad)},
        user=User(id=str(bad)),
        contexts={"x": [{"y": bad}]},
        exceptions=(ExceptionInfo("E", str(bad), frames=(Frame(str(bad), local_variables={"v": bad}),)),),
    )
    assert made.message == made.tags["t"] == made.exceptions[0].frames[0].function == str(good)
    assert made.user == User(id=str(good))
    assert made.contexts == {"x": [{"y": good}]}
    assert bodies.decode(bodies.encode(made)) == made


def test_a_body_that_is_too_large_loses_what_is_dearest_first():
    local = {f"v{number}": "x" * 1000 for number in range(20)}
    made = fitted(
        message="m",
        contexts={"os": {"name": "Linux"}},
        exceptions=(ExceptionInfo("E", "v", frames=frames(100, local_variables=local)),),
    )
    assert len(bodies.encode(made)) <= 262_144
    assert len(made.exceptions[0].frames) == 100
    assert made.contexts == {"os": {"name": "Linux"}}
    assert made.scrubbed_fields == ("exceptions[0].frames.local_variables",)


def test_contexts_and_calls_near_the_error_have_their_values_before_others_variables():
    local = {f"v{number}": number for number in range(100)}
    crumbs = [{"message": "m"} for _ in range(100)]
    stack = frames(200, local_variables=local, pre_context=("a",), extra={"instruction_addr": "0x1000"})
    made = fitted(contexts={"breadcrumbs": crumbs}, exceptions=(ExceptionInfo("E", frames=stack),), extra={"a": 1})
    assert made.contexts == {"breadcrumbs": crumbs}
    kept = [frame.local_variables == local for frame in made.exceptions[0].frames]
    assert kept == [False] * kept.count(False) + [True] * kept.count(True)
    assert kept.count(True) > 80
    assert all(frame.extra for frame in made.exceptions[0].frames)


def addressed(count: int, start: int = 0x1000) -> list[dict[str, object]]:
    """Frames of native code, of which nothing is known but where it is."""
    return [{"instruction_addr": hex(start + number), "image_addr": hex(start), "trust": "fp"} for number in range(count)]


MECHANISM = {"thread_id": 0, "mechanism": {"meta": {"signal": {"number": 11}}, "data": {"HResult": -2147467261}}}


def crash(threads: int, calls: int, images: int) -> dict[str, object]:
    """An event of native code: the exception of one thread, the stacks of the others, and what was loaded."""
    others = [{"id": n, "name": f"t{n}", "stacktrace": {"frames": addressed(calls, 0x100000 * n)}} for n in range(1, threads)]
    loaded = [
        {"type": "elf", "debug_id": f"{n:032x}", "image_addr": hex(0x1000 * n), "image_size": 0x1000, "code_file": f"/lib/{n}.so"}
        for n in range(images)
    ]
    stack = tuple(Frame(package="shop", extra=said) for said in addressed(30))
    return {
        "exceptions": (ExceptionInfo("SIGSEGV", frames=stack, extra=MECHANISM),),
        "contexts": {name: {"name": name} for name in ("trace", "os", "device", "app", "state")},
        "extra": {"threads": [{"id": 0, "crashed": True}, *others], "debug_meta": {"images": loaded[::-1]}, "basket": [1, 2]},
        "user": User(id="7", extra={"geo": {"city": "Wien"}}),
    }


@pytest.mark.parametrize(
    ("threads", "calls", "images"), [(40, 60, 400), (60, 40, 600), (60, 240, 900), (3, 20, 1500), (1200, 2, 9)]
)
def test_of_a_large_crash_the_crash_itself_stays_whole_and_what_else_there_is_room_for(threads: int, calls: int, images: int):
    given = crash(threads, calls, images)
    made = event(**deepcopy(given))
    body = fit(made, NOW)
    assert 130_000 < len(body) <= 262_144
    assert (made.exceptions, made.contexts, made.user) == (given["exceptions"], given["contexts"], given["user"])
    assert made.extra["basket"] == [1, 2]
    heads = [{name: value for name, value in thread.items() if name != "stacktrace"} for thread in given["extra"]["threads"]]
    told = [{name: value for name, value in thread.items() if name != "stacktrace"} for thread in made.extra["threads"]]
    assert told == heads[:1000]
    stacks = [thread.get("stacktrace") for thread in made.extra["threads"]]
    whole = [thread.get("stacktrace") for thread in given["extra"]["threads"]][: len(stacks)]
    assert all(stack in (None, whole[number]) for number, stack in enumerate(stacks))
    assert (stacks != whole) == ("extra.threads.stacktrace" in made.scrubbed_fields)
    loaded = made.extra["debug_meta"]["images"]
    assert given["extra"]["debug_meta"]["images"][-2] in loaded  # of the crash
    assert (len(loaded) < images) == ("extra.debug_meta.images" in made.scrubbed_fields)
    assert {*made.scrubbed_fields} <= {"extra.threads", "extra.threads.stacktrace", "extra.debug_meta.images"}


@pytest.mark.parametrize("part", ["contexts", "extra", "user", "variables", "threads"])
def test_what_a_crash_says_of_itself_has_its_values_before_all_else(part: str):
    given = crash(2, 2, 2)
    many = {f"a{number}": [number] * 900 for number in range(20)}
    fields: dict[str, object] = {
        "contexts": {"contexts": many},
        "extra": {"extra": many},
        "user": {"user": User(id="7", extra=many)},
        "variables": {"stack": frames(9, local_variables=many)},
        "threads": {"extra": {"threads": [many] * 20, "debug_meta": {"images": [many] * 20}}},
    }[part]
    made = fitted(**given | fields)
    assert made.exceptions == given["exceptions"]
    assert made.scrubbed_fields


DROPPED = (
    "extra.threads.stacktrace", "extra.debug_meta.images",
    "exceptions[0].frames.local_variables", "exceptions[1].frames.local_variables",
    "exceptions[0].frames.pre_context", "exceptions[1].frames.pre_context",
    "contexts.breadcrumbs", "extra.dump", "contexts.state", "exceptions[0].raw_stacktrace", "user.data",
    "extra.threads", "extra.debug_meta",
    "exceptions[0].frames.extra", "exceptions[1].frames.extra",
    "exceptions[1].mechanism", "contexts.device", "contexts.trace",
)  # fmt: skip


def test_what_is_farthest_from_the_crash_goes_first_and_each_part_only_where_it_must():
    def part(size: int = 400) -> dict[str, object]:
        return {"a": "x" * size}

    def stack() -> tuple[Frame, ...]:
        return (Frame("f", package="shop", local_variables=part(), pre_context=("x" * 400,), extra=part()),)

    def whole() -> Event:
        return event(
            exceptions=(
                ExceptionInfo("Cause", frames=stack(), extra={"raw_stacktrace": part(600)}),
                ExceptionInfo("E", frames=stack(), extra={"mechanism": part(550)}),
            ),
            contexts={
                "breadcrumbs": [{"message": "x" * 20}] * 40,
                "device": part(500),
                "state": part(1500),
                "trace": part(450),
            },
            extra={
                "threads": [{"id": 1, "stacktrace": part()}, {"id": 2, "current": True, "stacktrace": {"frames": []}}],
                "debug_meta": {"images": [{"code_file": "x" * 500}, {"code_file": "/srv/shop"}]},
                "dump": part(2000),
            },
            user=User(id="7", extra={"data": part(470)}),
        )

    found: list[tuple[str, ...]] = []
    for limit in range(len(bodies.encode(whole())), 1000, -50):
        made = whole()
        body = fit(made, NOW, Limits(body=limit))
        assert body == bodies.encode(made)
        assert len(body) <= limit
        assert bodies.decode(body) == made
        named = made.scrubbed_fields
        assert "extra.debug_meta" in named or {"code_file": "/srv/shop"} in made.extra["debug_meta"]["images"]
        if "contexts.trace" not in named:
            assert named == DROPPED[: len(named)]
            assert limit - len(body) < 2100
        found.append(named)
    assert {len(named) for named in found} >= set(range(7))
    assert any(set(named) >= {*DROPPED} for named in found)


def test_a_text_that_speaks_of_a_nul_is_no_nul():
    fields = {"message": "cannot have \\u0000 in text", "contexts": {"os": {"a": 1}}, "stack": frames(30, local_variables={"a": 1})}
    assert fitted(**fields) == event(**fields)


def test_a_name_that_cannot_be_stored_is_mended_where_it_is_named_as_cut_too():
    made = fitted(tags={"a\ud800": "x" * 600})
    assert made.scrubbed_fields == ("tags.a�",)
    assert bodies.decode(bodies.encode(made)) == made


@pytest.mark.parametrize("letter", ["x", "\x01", "☃", "😀"])
def test_nothing_is_larger_than_the_limit_of_a_body(letter: str):
    long = letter * 600
    one = Frame(*[long] * 4, context_line=long, pre_context=(long,) * 20, local_variables={long: [long]}, extra={"e": long})
    made = fitted(
        message=long * 20,
        template=long * 20,
        exceptions=tuple(ExceptionInfo(long, long, long, frames=(one,) * 12, extra={"e": long}) for _ in range(60)),
        stack=(one,) * 12,
        tags={f"{long}{number}": long for number in range(300)},
        user=User(long, long, long, long, {long: long}),
        contexts={f"{number}": {"breadcrumbs": [long] * 100} for number in range(100)},
        extra={"a": long},
    )
    assert len(bodies.encode(made)) <= 262_144
    assert len(made.exceptions) == 5


@pytest.mark.parametrize("shift", [timedelta(seconds=1), timedelta(days=400), timedelta(days=-31)])
def test_a_clock_that_is_wrong_is_not_believed(shift: timedelta):
    made = event(time=NOW + shift)
    fit(made, NOW, Limits())
    assert made.time == NOW
    assert made.scrubbed_fields == ("time",)


def test_a_clock_that_may_be_right_is_believed():
    made = event(time=NOW - timedelta(days=29))
    fit(made, NOW)
    assert made.time == NOW - timedelta(days=29)


SMALL = Lengths(
    message=8,
    name=5,
    line=7,
    lines=2,
    frames=3,
    exceptions=2,
    tags=3,
    tag_name=5,
    tag_value=6,
    fingerprint=3,
    text=9,
    depth=3,
    members=3,
)


def anything(chance: random.Random) -> Event:
    """An event at the edges of small limits, mostly within them."""

    def text(limit: int) -> str:
        return "x" * (limit + 1 if chance.random() < 0.01 else chance.choice((0, limit)))

    def value(depth: int) -> object:
        if depth and chance.random() < 0.5:
            many = 4 if chance.random() < 0.02 else chance.randint(0, 3)
            parts = [value(depth - 1) for _ in range(many)]
            return chance.choice((parts, {f"k{n}" + "x" * (chance.random() < 0.01) * 5: part for n, part in enumerate(parts)}))
        strange = (2**63, float("inf"), float("nan"), ("a",), b"b", -(2**63) - 1)
        return chance.choice(strange if chance.random() < 0.01 else (text(9), 1, -(2**63), 0.5, None, True))

    def lines() -> tuple[str, ...]:
        return tuple(text(7) for _ in range(3 if chance.random() < 0.01 else 2))

    def values() -> dict[str, object]:
        return {text(5): value(3 if chance.random() < 0.02 else 2) for _ in range(chance.randint(0, 2))}

    def stack() -> tuple[Frame, ...]:
        many = 4 if chance.random() < 0.02 else chance.randint(0, 3)
        return tuple(Frame(*[text(5)] * 4, 1, 0, None, text(5), text(7), lines(), lines(), values(), values()) for _ in range(many))

    raised = [ExceptionInfo(text(5), text(8), text(5), stack(), extra=values()) for _ in range(chance.randint(0, 2))]
    return event(
        message=text(8), template=text(8), exceptions=tuple(raised), stack=stack(), contexts=values(), extra=values(),
        fingerprint=(text(6),),
    )  # fmt: skip


def test_an_event_that_is_measured_as_fitting_is_not_cut_and_others_are():
    chance = random.Random(5)
    fitting = 0
    for _ in range(3000):
        made = anything(chance)
        cut = deepcopy(made)
        Cutting(SMALL, lambda _: None).whole(cut)
        fits = Measure(SMALL).fits(made)
        fitting += fits
        assert fits == (repr(cut) == repr(made))
    assert 300 < fitting < 2700
