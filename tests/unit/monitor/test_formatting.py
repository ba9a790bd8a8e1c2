"""Messages that parameters are put into."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.decoding.formatting import MAX_MESSAGE, MAX_TEMPLATE, formatted
from souk_monitor.events import Json


@pytest.mark.parametrize(
    ("template", "params", "message"),
    [
        ("no %s", ["stock"], "no stock"),
        ("%d of %5.2f%% at %r", [3, 99.5, "till"], "3 of 99.50% at 'till'"),
        ("%(what)s: %(count)05d, %(what)-6s|", {"what": "lamp", "count": 7}, "lamp: 00007, lamp  |"),
        ("%x %c %i", [255, 65, 2.9], "ff A 2"),
        ("%s", [{"a": [1, None]}], '{"a":[1,null]}'),
        ("%s and %s", [True, None], "True and "),
        ("100%% %s", ["sure"], "100% sure"),
    ],
)
def test_parameters_are_put_in_as_by_pythons_logging(template: str, params: Json, message: str):
    assert formatted(template, params).text == message


@pytest.mark.parametrize(
    ("template", "params", "message"),
    [
        ("no {} of {}", ["stock", 7], "no stock of 7"),
        ("{1} of {0}, {1}", ["a", "b"], "b of a, b"),
        ("no {what} of {0}", {"what": "stock", "0": True}, "no stock of true"),
        ("50% off for {}", ["ada"], "50% off for ada"),
        ("{} more", ["one", "two"], "one more"),
        ('{"sku": {}} {:>9} { }', ["x"], '{"sku": x} {:>9} { }'),
    ],
)
def test_parameters_are_put_into_braces(template: str, params: Json, message: str):
    assert formatted(template, params).text == message


@pytest.mark.parametrize(
    ("template", "params", "has_all"),
    [
        ("no %s of {}", ["stock"], True),
        ("{1} of {0}", ["a", "b"], True),
        ("%(a)s", {"a": "x", "b": "y"}, False),
        ("{}", ["x", "y"], False),
        ("{0}", ["x" * 1001], False),
        ("%s", ["x" * 1001], False),
        ("%5.1f", [12.34], False),
        ("%.1f", [12.5], True),
        ("%r", ["x"], True),
        ("no %s %s", ["stock"], False),
        ("no stock", "stock", False),
        ("no stock", [], True),
        ("no stock", None, True),
    ],
)
def test_it_is_known_whether_all_parameters_are_in_a_message(template: str, params: Json, has_all: bool):
    assert formatted(template, params).has_all is has_all


@pytest.mark.parametrize(
    ("template", "params"),
    [
        ("no {} {}", ["stock"]),
        ("no {1}", ["stock"]),
        ("no {what}", ["stock"]),
        ("no {}", {"what": "stock"}),
        ("no {what}", {"who": "stock"}),
        ("{a.__class__} {a[0]} {a!r} {a:9} {0:{1}}", {"a": "stock"}),
        ("{" + "9" * 101 + "}", ["stock"]),
        ("{" + "9" * 100 + "}", ["stock"]),
        ("no %s %s", ["stock"]),
        ("no %s", ["stock", "left"]),
        ("no %d", ["stock"]),
        ("no %(what)s", {"who": "stock"}),
        ("no %(what)s", ["stock"]),
        ("no %s", {"what": "stock"}),
        ("no %y", ["stock"]),
        ("50% of %s", ["stock"]),
        ("no %s", []),
        ("no %s", None),
        ("no %s", "stock"),
        ("%c", [-1]),
        ("%d", [float("inf")]),
        ("%s" + " " * MAX_TEMPLATE, ["stock"]),
    ],
)
def test_a_template_that_does_not_fit_its_parameters_stays_as_it_is(template: str, params: Json):
    assert formatted(template, params).text == template


@pytest.mark.parametrize(
    ("template", "params"),
    [
        ("%400000000d", [1]),
        ("%(a)400000000d", {"a": 1}),
        ("%(a)-400000000s", {"a": "x"}),
        ("%(a).400000000f", {"a": 1.5}),
        ("%(a 400000000)400000000d", {"a 400000000": 1}),
        ("%(a(b)c)400000000d", {"a(b)c": 1}),
        ("%#0400000000x", [1]),
        ("%.400000000d", [1]),
        ("%*d", [400_000_000, 1]),
        ("%.*f", [400_000_000, 1.5]),
        ("%(a)*d", {"a": 1}),
        ("%s" * 4000, ["x" * 100_000] * 4000),
        ("%(a)s" * 1600, {"a": "x" * 100_000}),
        ("%(a)d" * 1600, {"a": 10**4000}),
        ("%99s" * 2000, ["x"] * 2000),
        ("%(a)99.99f" * 800, {"a": 1e308}),
        ("{:>400000000}{}", [1]),
        ("{0:400000000}{0}", ["x"]),
        ("{}" * 4000, ["x" * 100_000] * 4000),
        ("{a}" * 2700, {"a": 10**4000}),
        ("%(a).0s" * 1100, {"a": 10**4000}),
    ],
)
def test_no_template_makes_more_of_its_parameters_than_a_message(template: str, params: Json):
    tracemalloc.start()
    try:
        message = formatted(template, params).text
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(message) <= MAX_MESSAGE + 8192
    assert peak < 2_000_000


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(
    st.lists(
        st.sampled_from(["%", "s", "d", "(a)", "{", "}", "a", "99", "400", "*", ".", "%%", "0", "-", "lamp ", "l", "c"]),
        max_size=12,
    ),
    st.lists(leaves, max_size=4) | st.dictionaries(st.sampled_from(["a", "b"]), leaves) | leaves,
)
def test_any_template_and_any_parameters_make_a_message(parts: list[str], params: Json):
    template = "".join(parts)
    message = formatted(template, params).text
    assert len(message) <= len(template) * 1000


@given(
    st.lists(st.sampled_from(["%s", "%5s", "%r", "%-7.3s", "%%", " lamp ", "100 "]), max_size=8).map("".join),
    st.lists(st.text(max_size=8), min_size=1, max_size=6),
)
def test_what_python_can_format_is_formatted_as_by_python(template: str, params: list[str]):
    try:
        expected = template % tuple(params)
    except TypeError:
        expected = template
    assert formatted(template, params).text == expected
