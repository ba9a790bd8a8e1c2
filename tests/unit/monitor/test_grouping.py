"""What is one issue and what is two."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_monitor import chains, stack_text
from souk_monitor.events import Event, ExceptionInfo, Frame, Source
from souk_monitor.explaining import Component, explain
from souk_monitor.grouping import Found, Grouping, Method, Version, find, group
from souk_monitor.in_app import NO_RULES, InAppRules
from unit.monitor import families

CASES = 100


def event(told: dict[str, Any]) -> Event:
    exceptions = [
        ExceptionInfo(**{**one, "frames": tuple(Frame(**frame) for frame in one.get("frames", ()))})
        for one in told.get("exceptions", ())
    ]
    rest = {name: value for name, value in told.items() if name != "exceptions"}
    return Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, exceptions=tuple(exceptions), **rest)


def of(told: dict[str, Any]) -> bytes:
    return group(event(told)).fingerprint


def python(*names: str, kind: str = "ValueError", value: str = "x", **more: Any) -> dict[str, Any]:
    """An exception of Python with these functions."""
    frames = [{"function": name, "abs_path": f"/srv/app/shop/{name[0]}.py"} for name in names]
    return {"type": kind, "value": value, "frames": frames, **more}


@pytest.mark.parametrize("name", list(families.SAME))
def test_what_differs_only_so_is_one_issue(name: str) -> None:
    family, platforms = families.SAME[name]
    for seed in range(CASES):
        first, second = families.pair(family, platforms, seed)
        assert of(first) == of(second), (seed, find(event(first), NO_RULES).parts, find(event(second), NO_RULES).parts)


@pytest.mark.parametrize("name", list(families.OTHER))
def test_what_differs_so_is_another_issue(name: str) -> None:
    family, platforms = families.OTHER[name]
    for seed in range(CASES):
        first, second = families.pair(family, platforms, seed)
        assert of(first) != of(second), (seed, first)


@pytest.mark.parametrize("name", list(families.VALUES))
def test_a_value_in_a_message_does_not_split_an_issue(name: str) -> None:
    made = families.VALUES[name]
    expected = of({"message": families.message("[12]" if name == "list" else "12")})
    for seed in range(CASES):
        text = families.message(made(random.Random(seed)))
        found = group(event({"message": text}))
        assert found.fingerprint == expected, (text, found.message_template)


def test_other_words_of_a_message_are_another_issue() -> None:
    texts = [f"{verb} of {word} {number} failed" for number, verb in enumerate(families.VERBS) for word in families.WORDS]
    assert len({of({"message": text}) for text in texts}) == len(families.VERBS) * len(families.WORDS)


def test_a_template_of_the_reporter_and_the_message_with_its_values_are_one_issue() -> None:
    expected = of({"message": "order 12 of 10.0.0.1 has no seller"})
    for template in (
        "order %s of %s has no seller",
        "order %(order)d of %(host)s has no seller",
        "order {} of {host} has no seller",
    ):
        assert of({"message": "order 12 of 10.0.0.1 has no seller", "template": template}) == expected


def test_the_cause_decides_and_not_what_wraps_it() -> None:
    cause = python("place", "lookup", kind="KeyError")
    found = group(event({"exceptions": [cause, python("main", "handle", "place", kind="OrderError")]}))
    assert (found.type, found.culprit, found.method) == ("KeyError", "shop/l in lookup", Method.STACK)
    assert found.fingerprint == of({"exceptions": [python("main", "handle", "place", "lookup", kind="KeyError")]})


def test_a_failure_while_another_is_handled_is_its_own() -> None:
    missed = python("place", "cached", kind="KeyError")
    failed = python("main", "place", "load", kind="OperationalError")
    found = group(event({"exceptions": [missed, failed]}))
    assert found.type == "OperationalError"
    assert found.fingerprint == of({"exceptions": [failed]})


def test_a_cause_within_a_library_does_not_decide() -> None:
    inner = {
        "type": "gaierror",
        "value": "x",
        "frames": [{"function": "connect", "abs_path": "/v/lib/python3.11/site-packages/u/c.py"}],
    }
    found = group(event({"platform": "python", "exceptions": [inner, python("main", "fetch", kind="ConnectionError")]}))
    assert found.type == "ConnectionError"


def within_library(kind: str, value: str = "", path: str = "/v/lib/python3.11/site-packages/u/c.py", **more: Any) -> dict[str, Any]:
    return {"type": kind, "value": value, "frames": [{"function": "connect", "abs_path": path}], **more}


def caused(*causes: dict[str, Any], platform: str = "python", extension: str = "py") -> dict[str, Any]:
    frames = [{"function": "order", "abs_path": f"/srv/app/shop/orders.{extension}"}]
    return {"platform": platform, "exceptions": [*causes, {"type": "FetchError", "value": "failed", "frames": frames}]}


def test_the_type_of_a_cause_within_a_library_counts() -> None:
    refused, unknown = within_library("ConnectionRefusedError"), within_library("gaierror")
    assert len({of(caused()), of(caused(refused)), of(caused(unknown))}) == 3
    assert of(caused(refused, within_library("NewConnectionError"))) == of(caused(refused))


def test_what_a_library_tried_first_is_no_cause() -> None:
    assert of(caused(within_library("KeyError"))) == of(caused())
    assert of(caused(within_library("KeyError"), within_library("gaierror"))) == of(caused(within_library("gaierror")))


@pytest.mark.parametrize(
    "said",
    [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ],
)
def test_it_is_none_where_it_is_named_either_for_sentrys_sdk_does_not_tell(said: str) -> None:
    text = f"""Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/u/c.py", line 3, in connect
TypeError: x

{said}

Traceback (most recent call last):
  File "/srv/app/shop/orders.py", line 7, in order
FetchError: failed"""
    printed = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.OTLP_LOG, exceptions=stack_text.parse(text))
    assert group(printed).fingerprint == of(caused())
    assert of(caused(within_library("TypeError", source="__cause__"))) == of(caused())


def test_a_cause_that_was_never_raised_is_none_for_tracebacks_do_not_show_it() -> None:
    assert of(caused({"type": "gaierror", "source": "__cause__"})) == of(caused())


def test_of_an_error_of_node_the_code_is_its_type() -> None:
    texts = [
        "connect ECONNREFUSED 127.0.0.1:{}",
        "getaddrinfo ENOTFOUND db{}",
        "ENOENT: no such file, open '/srv/{}'",
        "spawn git{} ENOENT",
    ]
    causes = [[within_library("Error", text.format(number), "node:net") for number in (1, 2)] for text in texts]
    found = [{of(caused(cause, platform="node", extension="js")) for cause in alike} for alike in causes]
    assert [len(alike) for alike in found] == [1, 1, 1, 1]
    assert len(set.union(*found)) == 3
    frames = [{"function": "read", "abs_path": "/srv/app/shop/files.js"}]
    alone = [{"platform": "node", "exceptions": [{"type": "Error", "value": text, "frames": frames}]} for text in texts]
    assert len(set(map(of, alone))) == 3


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("spawn /opt/my own tools/git of the shop ENOENT", "ENOENT"),
        ("spawnSync " + "very/" * 60 + "deep ETIMEDOUT", "ETIMEDOUT"),
        ("spawn EMFILE", "EMFILE"),
        ("listen EADDRINUSE: address already in use :::3000", "EADDRINUSE"),
        ("getaddrinfo EAI_MEMORY db", "EAI_MEMORY"),
        ("queryA ESERVFAIL shop.example", "ESERVFAIL"),
        ("EOF: end of file, read", "EOF"),
        ("EMFILE", "EMFILE"),
        ("cannot sell to EXDEV", ""),
        ("order 12 ENOENT", ""),
        ("EVERYTHING: sold", ""),
        ("order ENOUGH of it", ""),
        ("spawn of salmon", ""),
    ],
)
def test_a_code_of_node_is_one_where_no_value_is_before_it(value: str, code: str) -> None:
    found = find(event({"platform": "node", "exceptions": [within_library("Error", value, "/srv/app/shop/files.js")]}), NO_RULES)
    assert found.type == f"Error {code}".strip()


def test_a_printed_cause_within_node_is_that_of_the_frames() -> None:
    text = """TypeError: fetch failed
    at node:internal/deps/undici/undici:13510:13
    at async order (/srv/app/shop/orders.js:7:3) {
  [cause]: AggregateError [ECONNREFUSED]:
      at internalConnectMultiple (node:net:1134:18) {
    code: 'ECONNREFUSED',
    [errors]: [
      Error: connect ECONNREFUSED ::1:1
          at createConnectionError (node:net:1675:14) {
        code: 'ECONNREFUSED',
      },
      Error: connect ECONNREFUSED 127.0.0.1:1
          at createConnectionError (node:net:1675:14) {
        code: 'ECONNREFUSED',
      }
    ]
  }
}"""
    printed = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, platform="node", exceptions=stack_text.parse(text))
    one = caused(within_library("Error", "connect ECONNREFUSED 127.0.0.1:1", "node:net"), platform="node", extension="js")
    one["exceptions"][-1] |= {"type": "TypeError", "value": "fetch failed"}
    assert group(printed).fingerprint == of(one)
    assert group(printed).culprit == "shop/orders in order"


@pytest.mark.parametrize("cause", ["undefined", "null", "'no stock'", "12", "{ code: 12 }"])
def test_a_cause_that_is_no_error_does_not_count(cause: str) -> None:
    """Sentry's SDK does not send it."""
    text = f"FetchError: failed\n    at order (/srv/app/shop/orders.js:7:3) {{\n  [cause]: {cause}\n}}"
    printed = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, platform="node", exceptions=stack_text.parse(text))
    assert group(printed).fingerprint == of(caused(platform="node", extension="js"))


def test_members_of_a_python_group_within_a_wrapper_do_not_count_for_sentrys_sdk_does_not_send_them() -> None:
    told = members("OSError", "OSError")
    for one in told["exceptions"]:
        one |= {"exception_id": one["exception_id"] + 1, "parent_id": one.get("parent_id", -1) + 1}
        one["frames"] = within_library("")["frames"]
    wrapped = {**caused()["exceptions"][0], "exception_id": 0}
    found = group(event({"platform": "python", "exceptions": [*told["exceptions"], wrapped]}))
    assert found.type == "FetchError"
    assert found.fingerprint == of(caused(within_library("ExceptionGroup")))


@pytest.mark.parametrize(
    ("platform", "kind", "value"),
    [("java", "java.lang.StackOverflowError", ""), ("node", "RangeError", "Maximum call stack size exceeded")],
)
def test_a_stack_that_overflowed_begins_anywhere_in_the_cycle(platform: str, kind: str, value: str) -> None:
    def overflowed(*names: str) -> bytes:
        frames = [{"function": name, "module": f"com.acme.{name}", "abs_path": f"/srv/app/shop/{name}.js"} for name in names]
        return of({"platform": platform, "exceptions": [{"type": kind, "value": value, "frames": frames}]})

    assert overflowed("order", "cart", "order", "cart") == overflowed("cart", "order", "cart")
    assert overflowed("order", "cart", "order") != overflowed("order", "seller", "order")


def test_what_rescue_raises_is_a_wrapper() -> None:
    """Ruby shows the handler as a call below the method that it is in; a helper that it calls is its own failure."""

    def frames(*names: str) -> list[dict[str, str]]:
        return [{"function": name, "abs_path": "/srv/app/shop/orders.rb"} for name in names]

    def rescued(*handler: str) -> bytes:
        inner = {"type": "KeyError", "value": "x", "frames": frames("main", "place", "load")}
        outer = {"type": "OrderError", "value": "failed", "frames": frames("main", "place", *handler)}
        return of({"platform": "ruby", "exceptions": [inner, outer]})

    alone = of({"platform": "ruby", "exceptions": [{"type": "KeyError", "value": "x", "frames": frames("main", "place", "load")}]})
    assert rescued("rescue in place") == rescued() == alone
    assert rescued("rescue in place", "report") != alone


def test_causes_of_go_do_not_count_for_its_texts_do_not_say_their_types() -> None:
    frames = [{"function": "order", "module": "github.com/acme/shop"}]
    raised = {"type": "*fmt.wrapError", "value": "fetch", "frames": frames}
    causes = [[], [{"type": "*net.OpError"}], [{"type": "*net.DNSError"}]]
    assert len({of({"platform": "go", "exceptions": [*cause, raised]}) for cause in causes}) == 1


def test_what_only_ends_a_task_does_not_decide() -> None:
    cancelled = python("place", "wait", kind="asyncio.CancelledError")
    assert group(event({"exceptions": [cancelled, python("main", "place", kind="TimeoutError")]})).type == "TimeoutError"


def members(*kinds: str) -> dict[str, Any]:
    """A group; the last of its exceptions is the group itself, as they come."""
    found = [python("main", kind="ExceptionGroup", exception_id=0, is_group=True)]
    found += [python("task", kind, kind=kind, exception_id=number, parent_id=0) for number, kind in enumerate(kinds, 1)]
    return {"exceptions": found[::-1]}


def test_members_of_a_group_count_as_a_set() -> None:
    expected = of(members("KeyError", "OSError"))
    assert of(members("OSError", "KeyError")) == expected
    assert of(members("OSError", "KeyError", "OSError")) == expected
    assert of(members("OSError", "TypeError")) != expected
    assert of(members("OSError", "KeyError", "TypeError")) != expected


def test_a_group_of_one_kind_of_member_is_that_member() -> None:
    assert of(members("KeyError", "KeyError")) == of({"exceptions": [python("task", "KeyError", kind="KeyError")]})


def test_the_frames_of_groups_within_groups_are_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    monkeypatch.setattr(chains, "has_in_app", lambda frames, *_: bool(looked_at.append(frames)))
    told = [
        within_library("ExceptionGroup", exception_id=number, parent_id=number - 1 if number else None, is_group=True)
        for number in reversed(range(chains.MOST_EXCEPTIONS))
    ]
    group(event({"platform": "python", "exceptions": told}))
    assert chains.MOST_EXCEPTIONS <= len(looked_at) <= 2 * chains.MOST_EXCEPTIONS


def test_a_cause_of_a_member_that_says_its_parent_is_the_group_is_of_the_member() -> None:
    """So does Sentry's SDK for Python."""
    group_of_two = members("KeyError", "OSError")
    told = group_of_two["exceptions"]
    told[0] |= {"exception_id": 3}  # OSError is now the third
    told.insert(1, python("KeyError", "deep", kind="IndexError", exception_id=2, parent_id=0, source="__cause__"))
    found = find(event(group_of_two), NO_RULES)
    assert [member.type for member in found.members] == ["IndexError", "OSError"]


def test_suppressed_exceptions_of_java_do_not_decide() -> None:
    frames = [{"function": "place", "module": "com.acme.Orders"}]
    one = {"type": "A", "frames": frames, "exception_id": 0}
    suppressed = {"type": "B", "frames": frames, "exception_id": 1, "parent_id": 0, "mechanism": "suppressed"}
    cause = {"type": "C", "frames": frames, "exception_id": 2, "parent_id": 0}
    assert group(event({"platform": "java", "exceptions": [cause, suppressed, one]})).type == "C"


def test_an_exception_without_a_stack_is_told_by_type_and_message() -> None:
    found = group(event({"exceptions": [{"type": "shop.OrderError", "value": "order 12 is gone"}]}))
    assert (found.method, found.message_template, found.title) == (
        Method.EXCEPTION,
        "order * is gone",
        "OrderError: order 12 is gone",
    )
    assert found.fingerprint == of({"exceptions": [{"type": "OrderError", "value": "order 13 is gone"}]})
    assert found.fingerprint != of({"exceptions": [{"type": "OrderError", "value": "order 13 is late"}]})


def test_the_reporter_may_say_what_it_is_grouped_by() -> None:
    said = {"message": "a", "fingerprint": ("checkout", "eu")}
    assert group(event(said)).method is Method.REPORTER
    assert of(said) == of({**said, "message": "b"})
    assert of(said) != of({**said, "fingerprint": ("checkout", "us")})


def test_the_default_of_the_reporter_is_what_is_found() -> None:
    assert of({"message": "a", "fingerprint": ("{{ default }}",)}) == of({"message": "a"})
    split = [of({"message": text, "fingerprint": ("{{ default }}", "eu")}) for text in ("order 1", "order 2", "refund 1")]
    assert split[0] == split[1] != split[2]
    assert split[0] != of({"message": "order 1"})


def test_rules_of_the_project_are_before_all() -> None:
    told = {
        "exceptions": [
            {
                "type": "E",
                "frames": [
                    {"function": "place", "module": "shop.orders", "abs_path": "/srv/app/shop/orders.py", "in_app": False},
                    {"function": "run", "module": "toolbox.run", "abs_path": "/v/lib/python3.11/site-packages/toolbox/run.py"},
                    {"function": "patch", "module": "shop.vendored.x", "abs_path": "/srv/app/shop/vendored/x.py", "in_app": True},
                ],
            }
        ]
    }
    rules = InAppRules.of(["shop", "-shop.vendored", " toolbox "])
    component = explain(event(told), rules)
    assert [frame.contributes for frame in all_of(component, "frame")] == [True, True, False]
    assert InAppRules.of(["/srv/app", "", "-/srv/app/lib"]).say(Frame(abs_path="/srv/app/lib/a.py")) is False
    assert InAppRules.of(["/srv/app"]).say(Frame(abs_path="/srv/apple/a.py")) is None
    assert InAppRules.of(["shop"]).say(Frame(module="shopping")) is None


def test_without_a_frame_of_the_application_all_frames_count() -> None:
    frames = [
        {"function": name, "module": "django.core.run", "abs_path": "/v/lib/python3.11/site-packages/d/r.py"} for name in ("a", "b")
    ]
    one, other = ({"exceptions": [{"type": "E", "frames": frames[:count]}]} for count in (1, 2))
    assert group(event(one)).method is Method.STACK
    assert of(one) != of(other)


def test_functions_of_minified_bundles_do_not_count() -> None:
    frames = [
        {"function": name, "file": f"https://shop.example/app.{mark}.js"} for name, mark in (("t", "5f3a2b1c"), ("o.e", "5f3a2b1c"))
    ]
    found = group(event({"platform": "javascript", "exceptions": [{"type": "E", "value": "no 12", "frames": frames}]}))
    assert (found.method, found.message_template) == (Method.EXCEPTION, "no *")


def test_where_no_function_of_a_stack_has_a_name_the_message_counts() -> None:
    def told(value: str, *names: str) -> dict[str, Any]:
        frames = [{"function": name, "abs_path": "/srv/app/shop/checkout.js"} for name in names]
        return {"platform": "node", "exceptions": [{"type": "TypeError", "value": value, "frames": frames}]}

    anonymous = "", "Object.<anonymous>"
    assert of(told("order 12 is undefined", *anonymous)) == of(told("order 13 is undefined", *anonymous))
    assert of(told("order 12 is undefined", *anonymous)) != of(told("cart.items is not iterable", *anonymous))
    assert of(told("order 12 is undefined", *anonymous)) != of(told("order 12 is undefined"))
    assert of(told("order 12 is undefined", "place", "")) == of(told("cart.items is not iterable", "place", ""))
    (value,) = all_of(explain(event(told("order 12 is undefined", *anonymous))), "value")
    assert (value.value, value.contributes, value.reason) == (
        "order * is undefined",
        True,
        "no function has a name; values: number",
    )


def test_two_builds_without_names_are_one_issue_where_the_engine_says_the_same() -> None:
    texts = [
        f"TypeError: {local}.map is not a function\n    at https://s.example/assets/index-{mark}.js:1:2"
        for local, mark in (("e", "BdQq_8x2"), ("t", "CxQq_9z3"))
    ]
    found = [
        Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, platform="javascript", exceptions=stack_text.parse(text))
        for text in texts
    ]
    assert group(found[0]).fingerprint == group(found[1]).fingerprint
    (value,) = all_of(explain(found[0]), "value")
    assert (value.value, value.original) == ("not a function", "e.map is not a function")


@pytest.mark.parametrize(
    ("platform", "kind", "value"),
    [
        ("node", "TypeError", "cart is not a function of price"),
        ("node", "TypeError", "order cart is undefined"),
        ("node", "OrderError", "e.map is not a function"),
        ("python", "TypeError", "e is undefined"),
    ],
)
def test_what_no_engine_says_stays_as_it_is(platform: str, kind: str, value: str) -> None:
    found = group(event({"platform": platform, "exceptions": [{"type": kind, "value": value}]}))
    assert found.message_template == value


@pytest.mark.parametrize(
    ("platform", "name", "path"),
    [
        ("python", "<module>", "/srv/app/jobs/nightly.py"),
        ("python", "<lambda>", "/srv/app/jobs/nightly.py"),
        ("ruby", "block in <main>", "/srv/app/jobs/nightly.rb"),
        ("php", "Shop\\{closure}", "/srv/app/routes/web.php"),
        ("php", "{main}", "/srv/app/index.php"),
    ],
)
def test_closures_and_the_level_of_a_script_have_no_name(platform: str, name: str, path: str) -> None:
    frames = [{"function": name, "abs_path": path}]
    values = "order 12 is gone", "order 13 is gone", "no stock"
    found = [of({"platform": platform, "exceptions": [{"type": "Gone", "value": value, "frames": frames}]}) for value in values]
    assert found[0] == found[1] != found[2]


def test_what_ran_after_a_panic_of_go_does_not_count() -> None:
    frames = [
        {"function": name, "module": module}
        for module, name in (("main", "main"), ("main", "place"), ("runtime", "gopanic"), ("main", "recoverer"))
    ]
    found = find(event({"platform": "go", "exceptions": [{"type": "*errors.errorString", "frames": frames}]}), NO_RULES)
    assert found.parts == ("", "main\tmain", "main\tplace")


def test_a_text_and_frames_of_it_are_one_issue_in_languages_that_are_not_run_here() -> None:
    """C#, Ruby and PHP, as Sentry's SDKs write frames."""
    texts = {
        "csharp": "Shop.StockError: x\n   at Shop.Orders.<PlaceAsync>d__3.MoveNext() in /src/A.cs:line 17\n   at Shop.Api.Run()",
        "ruby": "/srv/app/lib/orders.rb:5:in 'block in Orders#place': x (StockError)\n\tfrom /srv/app/main.rb:3:in 'Object#run'",
        "php": "Shop\\StockError: x in /srv/app/Orders.php:3\nStack trace:\n#0 /srv/i.php(5): Shop\\Orders->place(12)\n#1 {main}",
    }
    sdk = {
        "csharp": [
            {"function": "Run", "module": "Shop.Api"},
            {"function": "PlaceAsync", "module": "Shop.Orders", "file": "Orders.cs"},
        ],
        "ruby": [
            {"function": "run", "module": "Object", "abs_path": "/srv/app/main.rb"},
            {"function": "block in Orders#place", "abs_path": "/srv/app/lib/orders.rb"},
        ],
        "php": [
            {"file": "/srv/i.php", "function": "{main}"},
            {"file": "/srv/app/Orders.php", "function": "Shop\\Orders::place"},
        ],
    }
    for platform, text in texts.items():
        printed = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.OTLP_LOG, exceptions=stack_text.parse(text))
        assert group(printed).fingerprint == of(
            {"platform": platform, "exceptions": [{"type": "StockError", "frames": sdk[platform]}]}
        )


def older(told: Event, rules: InAppRules) -> Found:
    """A version 0 of this test: by type alone."""
    return Found(Method.EXCEPTION, (told.exceptions[-1].type,))


def test_an_upgrade_of_the_rules_finds_the_issues_of_older_ones() -> None:
    told = event({"exceptions": [python("place")]})
    was = group(told, versions=(Version(0, older),))
    now = group(told, versions=(Version(1, find), Version(0, older)))
    assert (was.version, now.version, was.secondary) == (0, 1, ())
    assert now.secondary == (was.fingerprint,)
    assert now.fingerprint == group(told).fingerprint != was.fingerprint


def test_fingerprints_of_version_1_are_what_they_were() -> None:
    """Issues are kept by them: whoever changes one makes version 2, and keeps version 1."""
    stack = {"exceptions": [python("main", "place")]}
    assert of(stack).hex() == "a2a4f555b7ea635da6071cc9b9091bb2"
    assert of({"message": "order 12 has no seller"}).hex() == "0eb449a819b1428d5b3afd49b1eaad09"
    assert of({"exceptions": [{"type": "OrderError", "value": "order 12 is gone"}]}).hex() == "31c0b99f8d0b2a4a84d1b271a7012616"


def all_of(component: Component, kind: str) -> list[Component]:
    found = [component] if component.kind == kind else []
    return found + [one for child in component.children for one in all_of(child, kind)]


def test_an_explanation_says_of_each_frame_whether_it_counts_and_why() -> None:
    told = {"exceptions": [python("place", "place", "lookup")], "platform": "python", "message": "seen"}
    told["exceptions"][0]["frames"].insert(0, {"function": "run", "abs_path": "/v/lib/python3.11/site-packages/g/w.py"})
    component = explain(event(told))
    assert [(frame.value, frame.contributes, frame.reason) for frame in all_of(component, "frame")] == [
        ("/v/lib/python3.11/site-packages/g/w.py in run", False, "not of the application, says the rules of its language"),
        ("shop/p in place", True, "of the application, says the rules of its language"),
        ("shop/p in place", False, "recursion"),
        ("shop/l in lookup", True, "of the application, says the rules of its language"),
    ]
    assert [one.contributes for one in all_of(component, "value")] == [False]
    assert [one.reason for one in all_of(component, "message")] == ["the exceptions decide"]


def test_an_explanation_of_a_message_names_the_values() -> None:
    (found,) = all_of(explain(event({"message": "order 12 of bob@shop.example at 10.0.0.1:80"})), "message")
    assert (found.value, found.original) == ("order * of * at *", "order 12 of bob@shop.example at 10.0.0.1:80")
    assert found.reason == "values: e-mail, ip address, number"


def test_where_the_reporter_decides_nothing_else_counts() -> None:
    component = explain(event({"exceptions": [python("place")], "fingerprint": ("mine",)}))
    assert component.value == "reporter"
    assert not any(frame.contributes for frame in all_of(component, "frame"))


def test_an_explanation_of_a_group_has_its_members_and_of_a_chain_its_wrappers() -> None:
    assert len(all_of(explain(event(members("KeyError", "OSError"))), "exception")) == 3
    wrapped = explain(event({"exceptions": [python("place", "lookup"), python("main", "place", kind="OrderError")]}))
    assert [(one.original or one.value, one.reason) for one in all_of(wrapped, "exception")] == [
        ("ValueError", "the innermost with frames of the application"),
        ("OrderError", "a wrapper"),
    ]


def test_an_explanation_says_that_the_type_of_a_cause_within_a_library_counts() -> None:
    told = caused(within_library("gaierror"), within_library("NewConnectionError"))
    assert [(one.original or one.value, one.contributes, one.reason) for one in all_of(explain(event(told)), "exception")] == [
        ("FetchError", True, "the innermost with frames of the application"),
        ("NewConnectionError", False, "no frames of the application"),
        ("gaierror", True, "a cause within libraries: its type counts"),
    ]


def test_of_two_causes_that_say_the_same_one_counts() -> None:
    told = caused(within_library("gaierror"), within_library("gaierror"))
    assert [(one.original or one.value, one.contributes) for one in all_of(explain(event(told)), "exception")] == [
        ("FetchError", True),
        ("gaierror", False),
        ("gaierror", True),
    ]


def test_an_event_that_says_nothing_is_grouped_by_where_it_comes_from() -> None:
    assert of({}) == of({})
    assert of({"logger": "shop"}) != of({"logger": "mail"})
    assert group(event({})).title


texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["", "a.b", "<", "::", "//", "\\", "$", ".", "#", "{closure}", "<>", "x" * 5000, "\ud800"]),
)
frames = st.builds(
    Frame, function=texts, module=texts, file=texts, abs_path=texts, package=texts, in_app=st.sampled_from([None, True, False])
)
exceptions = st.builds(
    ExceptionInfo,
    type=texts,
    value=texts,
    module=texts,
    frames=st.lists(frames, max_size=5).map(tuple),
    exception_id=st.one_of(st.none(), st.integers(-2, 5)),
    parent_id=st.one_of(st.none(), st.integers(-2, 5)),
    is_group=st.booleans(),
    source=st.sampled_from(["", "__cause__", "__context__", "cause"]),
)
platforms = st.sampled_from(
    ["", "python", "node", "java", "go", "csharp", "ruby", "php", "rust", "native", "cocoa", "elixir", "other"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(exceptions, max_size=4), platforms, texts, st.lists(texts, max_size=2))
def test_no_event_whatever_makes_it_fail_and_an_event_has_one_fingerprint(
    found: list[ExceptionInfo], platform: str, text: str, said: list[str]
) -> None:
    told = Event(
        "0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, platform=platform, exceptions=tuple(found), message=text
    )
    told.fingerprint = tuple(said)
    one = group(told)
    assert isinstance(one, Grouping)
    assert len(one.fingerprint) == 16
    assert len(one.title) <= 250
    assert "\n" not in one.title
    assert group(told) == one
    assert explain(told).children
