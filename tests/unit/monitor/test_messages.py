"""Messages without what changes in them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_monitor.messages import kind_of, parameterise
from souk_monitor.templates import of_message, of_template

MASKED = {
    "order 12 has no seller": "order * has no seller",
    "connect to [::1]:5432 failed after 20 ms": "connect to * failed after *",
    "Wed Apr 17 22:31:45 2019: bob@shop.example logged in": "* logged in",
    "sha256 mismatch: e3b0c44298fc1c149afbf4c8996fb924": "sha256 mismatch: *",
    "Cannot connect to redis at db-1.internal:6379, tried 3 times": "Cannot connect to redis at * tried * times",
    "no order 8870a1b2, gone": "no order * gone",
    "no order a9ff8870: gone": "no order * gone",
    "lock cart:1f0c3b5a-7d8e-4f90-8123-456789abcdef is held": "lock cart:* is held",
    "Order(1f0c3b5a-7d8e-4f90-aa23-456789abcdef)": "Order(*)",
    "id={aa0c3b5a-7d8e-4f90-aa23-456789abcdef}": "id={*}",
    "too large (12.5 MB); limit 10 KB.": "too large (*); limit *",
    "moved by -5, then +7": "moved by * then *",
    "订单123不存在": "订单*不存在",
    "user42 of tenant_7 (region eu-west-1)": "user* of tenant_* (region eu-west-*)",
    "k=v id=12 name=bob": "k=* id=* name=*",
    "can't do it, don't": "can't do it, don't",
    'column "price" of relation "orders" is null': "column * of relation * is null",
    "Read timed out. (read timeout=30)": "Read timed out. (read timeout=*)",
    "<Order object at 0x7f3c2a1b>": "<Order object at *>",
    "GET /users/12/orders took 3.2 s": "GET * took *",
    "and/or either/or text/html": "and/or either/or text/html",
    "ids [1, 2, 3] and {'a': 1}": "ids [*] and {*}",
    "1. one\n2. other": "* one * other",
    "unknown charset utf-8 in HTTP/1.1": "unknown charset utf-8 in HTTP/1.1",
    "key aZ3kP9x2Qm is unknown": "key * is unknown",
    "price ~5% or -3.5": "price * or *",
    "": "",
    "   ": "",
}


@pytest.mark.parametrize(("text", "expected"), list(MASKED.items()))
def test_values_become_stars_and_words_stay(text: str, expected: str) -> None:
    assert parameterise(text) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("order %s of %(user)s", "order 12 of 13"),
        ("took %5.2f ms for %d items", "took 12.25 ms for 3 items"),
        ("order {} of {user!r:>5}", "order 12 of 13"),
        ("order ${id} of #{user.id}", "order 12 of 13"),
        ("100% sure of %s", "100% sure of 12"),
        ("<*> failed", "12 failed"),
    ],
)
def test_a_template_is_what_its_messages_are(template: str, message: str) -> None:
    assert of_template(template) == of_message(message)


def test_of_a_long_message_only_the_beginning_counts() -> None:
    assert of_message("word " * 1000) == " ".join(["word"] * 48)
    assert of_message("x" * 5000) == "x" * 1000


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5f0c2b1e-8d7f-4a55-9d0e-0d4a2b2c7f10", "uuid"),
        ("https://shop.example/a?b=1", "url"),
        ("bob@shop.example,", "e-mail"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "wallet"),
        ("e3b0c44298fc1c149afbf4c8996fb924", "hash"),
        ("0x7f3c2a1b", "memory address"),
        ("2026-11-26T10:00:00Z", "date"),
        ("10:00:03", "time"),
        ("10.0.0.1:80", "ip address"),
        ("fe80::1", "ip address"),
        ("1h30m", "duration"),
        ("12MB", "size"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc", "token"),
        ("vitalik.eth", "name in ENS"),
        ("db.internal:5432", "host and port"),
        ("/srv/app/x.py", "path"),
        ("-3.5e4", "number"),
        ("abc123", "hexadecimal"),
        ("bob", "value"),
    ],
)
def test_a_kind_of_value_is_named_for_people(value: str, kind: str) -> None:
    assert kind_of(value) == kind


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=300),
        st.lists(st.sampled_from([*" \n'\"`()[]{}<>=:,./\\@#%+-~*", "ab", "1", "0x1", "é", "“", "\ud800"]), max_size=80).map(
            "".join
        ),
    )
)
def test_no_message_whatever_makes_it_fail_and_masking_twice_changes_no_fingerprint_of_itself(text: str) -> None:
    assert parameterise(text) == parameterise(text)
    assert "\n" not in of_message(text)
    assert isinstance(of_template(text), str)
    assert kind_of(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ["'", '"a', "a1", "1,", "a.", "a-", "(", "=a", "::", "/", "a@", "1 ", "mon ", "%(", "{", "* ", "“", "aA", "a:1"]
)
def test_a_megabyte_of_hostile_message_is_looked_at_in_bounded_time(piece: str) -> None:
    """What is quadratic beyond the characters that count takes hours here."""
    for _ in range(50):
        of_message(piece * (1_000_000 // len(piece)))
        of_template(piece * (1_000_000 // len(piece)))
        kind_of(piece * 1000)
