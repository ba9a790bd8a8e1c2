"""Exceptions of OpenTelemetry: what attributes and stack say, as one exception that Sentry's SDKs would tell alike."""

from datetime import UTC, datetime

import pytest
from souk_monitor import stack_text
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.occurrences import kind_of
from souk_monitor.decoding.otlp_exceptions import MESSAGE, STACK, TYPE, exceptions_of
from souk_monitor.events import Event, ExceptionInfo, Frame, Source
from souk_monitor.grouping import group

PLACE = "\n    at place (/srv/shop/orders.js:12:7)"
NAMELESS = "\n    at /srv/shop/orders.js:12:7"
PYTHON = 'Traceback (most recent call last):\n  File "/srv/shop/orders.py", line 12, in place\n    x()\n'


def read(kind: str, message: str, stack: str, platform: str = "node") -> ExceptionInfo:
    """The exception that attributes tell of."""
    return exceptions_of({TYPE: kind, MESSAGE: message, STACK: stack}, platform, stack_text.parse, Budget())[-1]


def fingerprint(raised: ExceptionInfo, platform: str = "node") -> bytes:
    event = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.OTLP_LOG, platform=platform, exceptions=(raised,))
    return group(event).fingerprint


@pytest.mark.parametrize(
    ("code", "header", "kind"),
    [
        ("23505", "error: duplicate key", "error"),
        ("ENOENT", "Error: ENOENT: no such file, open 'x'", "Error"),
        ("ERR_INVALID_ARG_TYPE", "TypeError [ERR_INVALID_ARG_TYPE]: x", "TypeError"),
        ("auth/user-not-found", "Error: x", "Error"),
        ("card_declined", "StripeCardError: x", "StripeCardError"),
        ("20", "AbortError: This operation was aborted", "AbortError"),
        ("P2002", "PrismaClientKnownRequestError: x", "PrismaClientKnownRequestError"),
        ("ResourceNotFound", "RestError: x", "RestError"),
    ],
)
def test_a_code_that_is_given_for_the_type_is_kept_beside_it(code: str, header: str, kind: str) -> None:
    raised = read(code, header.partition(": ")[2], header + PLACE)
    assert (raised.type, raised.extra) == (kind, {"reported_type": code})


@pytest.mark.parametrize("header", ["Error", "TypeError", "AggregateError"])
@pytest.mark.parametrize("platform", ["node", "javascript", ""])
def test_a_name_that_an_error_is_given_after_its_stack_is_its_type(header: str, platform: str) -> None:
    raised = read("PaymentError", "card declined", f"{header}: card declined{PLACE}", platform)
    assert (raised.type, raised.value, raised.extra) == ("PaymentError", "card declined", {"stack_type": header})


@pytest.mark.parametrize(
    ("given", "header"), [("Error", "PaymentError"), ("Error", "TypeError"), ("OrderError", "PaymentError"), ("", "Error")]
)
def test_a_name_that_says_no_more_than_the_stack_changes_nothing(given: str, header: str) -> None:
    assert read(given, "x", f"{header}: x{PLACE}").type == header


@pytest.mark.parametrize(
    ("platform", "given", "stack", "module", "kind"),
    [
        ("python", "shop.errors.OrderError", f"{PYTHON}OrderError: x", "shop.errors", "OrderError"),
        ("php", "Shop\\OrderError", "Shop.OrderError: x\n\tat Shop.place(orders.php:3)", "Shop", "OrderError"),
        ("java", "com.acme.Orders$Lost", "com.acme.Orders$Lost: x\n\tat com.acme.A.b(A.java:3)", "com.acme", "Orders$Lost"),
        ("elixir", "Elixir.KeyError", "** (KeyError) x\n    (shop 1.0) lib/a.ex:3: Shop.a/1", "Elixir", "KeyError"),
    ],
)
def test_the_same_type_in_other_words_is_not_kept_twice(platform: str, given: str, stack: str, module: str, kind: str) -> None:
    raised = read(given, "x", stack, platform)
    assert (raised.module, raised.type, raised.extra) == (module, kind, {})


@pytest.mark.parametrize(
    ("platform", "given", "stack", "value", "extra"),
    [
        ("python", "bad (x.py, line 1)", f"{PYTHON}SyntaxError: bad", "bad", {"reported_message": "bad (x.py, line 1)"}),
        ("", "bad (x.py, line 1)", f"{PYTHON}SyntaxError: bad", "bad", {"reported_message": "bad (x.py, line 1)"}),
        ("python", "lamp", f"{PYTHON}KeyError: 'lamp'", "'lamp'", {}),
        ("python", "lamp", f"{PYTHON}KeyError: 'shade'", "'shade'", {"reported_message": "lamp"}),
        ("python", "x", f"{PYTHON}ValueError: x\na note", "x\na note", {}),
        ("python", "x", f"{PYTHON}ValueError", "x", {}),
        ("python", "", f"{PYTHON}ValueError: x", "x", {}),
        ("go", "order 7: refused", "order 7\nmain.place\n\t/srv/main.go:9", "order 7: refused", {"stack_message": "order 7"}),
        ("go", "other", "order 7\nmain.place\n\t/srv/main.go:9", "order 7", {"reported_message": "other"}),
        ("node", "order 7: no stock", f"Error: no stock{PLACE}", "order 7: no stock", {"stack_message": "no stock"}),
        ("node", "sold out", f"Error: no stock{PLACE}", "sold out", {"stack_message": "no stock"}),
        ("", "sold out", f"Error: no stock{PLACE}", "sold out", {"stack_message": "no stock"}),
    ],
)
def test_of_two_messages_that_which_all_sdks_of_the_language_say_is_kept_and_the_other_one_beside_it(
    platform: str, given: str, stack: str, value: str, extra: dict[str, str]
) -> None:
    raised = read("E", given, stack, platform)
    assert (raised.value, {name: said for name, said in raised.extra.items() if name != "reported_type"}) == (value, extra)


@pytest.mark.parametrize(
    ("kind", "message", "given", "stack"),
    [
        ("Error", "duplicate key", "23505", "Error: duplicate key"),
        ("PaymentError", "card declined", "PaymentError", "Error: card declined"),
        ("TypeError", "bad path", "ERR_INVALID_ARG_TYPE", "TypeError [ERR_INVALID_ARG_TYPE]: bad path"),
        ("Error", "order: no stock", "Error", "Error: no stock"),
        ("Error", "sold out", "Error", "Error: no stock"),
    ],
)
@pytest.mark.parametrize("place", [PLACE, NAMELESS])
def test_an_error_of_javascript_is_the_issue_that_sentrys_sdk_makes_of_it(
    kind: str, message: str, given: str, stack: str, place: str
) -> None:
    """Which knows it by its name and its message."""
    frame = Frame("place" if place == PLACE else "", file="/srv/shop/orders.js", abs_path="/srv/shop/orders.js", line=12, column=7)
    sentry = ExceptionInfo(type=kind, value=message, frames=(frame,))
    assert fingerprint(read(given, message, stack + place)) == fingerprint(sentry)


@pytest.mark.parametrize(
    ("platform", "stack", "ways"),
    [
        ("python", f"{PYTHON}SyntaxError: bad", [("SyntaxError", "bad"), ("SyntaxError", "bad (x.py, line 1)")]),
        ("node", f"Error: x{PLACE}", [("23505", "x"), ("PaymentError", "x"), ("Error", "order 7: x")]),
    ],
)
def test_what_sdks_say_differently_of_one_occurrence_is_one(platform: str, stack: str, ways: list[tuple[str, str]]) -> None:
    """As that for Python does of a log record and of a span."""
    kinds = {kind_of("ab" * 16, "cd" * 8, read(kind, message, stack, platform)) for kind, message in ways}
    assert len(kinds) == 1
    assert kinds != {kind_of("ab" * 16, "cd" * 8, read(*ways[0], f"{stack}!", platform))}


@pytest.mark.parametrize(
    ("name", "module", "kind"),
    [
        ("shop.errors.OrderError", "shop.errors", "OrderError"),
        (
            "System.Generic.Lost`1[[System.Int32, mscorlib, Version=4.0.0.0]]",
            "System.Generic",
            "Lost`1[[System.Int32, mscorlib, Version=4.0.0.0]]",
        ),
        ("*shop.Error[github.com/acme/shop.Order]", "*shop", "Error[github.com/acme/shop.Order]"),
        ("Something failed. Badly", "", "Something failed. Badly"),
        ("Error.", "", "Error."),
        ("shop.f.<locals>.OrderError", "shop.f.<locals>", "OrderError"),
    ],
)
def test_a_type_is_parted_from_its_module_and_not_within_its_parameters(name: str, module: str, kind: str) -> None:
    (raised,) = exceptions_of({TYPE: name}, "", stack_text.parse, Budget())
    assert (raised.module, raised.type) == (module, kind)


@pytest.mark.parametrize(
    ("platform", "stack"),
    [
        ("java", "com.acme.ShopException: {}\n\tat com.acme.Shop.buy(Shop.java:3)\n"),
        ("node", f"ShopException: {{}}{PLACE}"),
    ],
)
def test_the_stack_of_another_program_in_a_message_is_a_part_of_the_message(platform: str, stack: str) -> None:
    """As of a service that was called."""
    lines = "\tat com.remote.A.b(A.java:3)\nCaused by: java.io.IOException: y\n\t... 3 more\n    at checkout (/srv/step.js:3:1)"
    message = f"remote failed:\n{lines}"
    found = exceptions_of(
        {TYPE: "ShopException", MESSAGE: message, STACK: stack.format(message)}, platform, stack_text.parse, Budget()
    )
    (raised,) = found
    assert (raised.type, raised.value, len(raised.frames)) == ("ShopException", message, 1)
