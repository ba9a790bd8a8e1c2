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
