"""What is taken out of events: secrets are planted everywhere, and must be nowhere in what is stored."""

import base64
import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from souk_monitor.decoding import bodies
from souk_monitor.events import Event, ExceptionInfo, Frame, Source, User
from souk_monitor.scrubbing import scrub
from souk_monitor.scrubbing.signs import Run, Signs

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LETTERS = string.ascii_letters + string.digits
HEADER = "eyJhbGciOiJIUzI1NiJ9"
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
LONG_PHRASE = " ".join(["zoo"] * 23 + ["vote"])


def letters(chance: random.Random, count: int, alphabet: str = LETTERS) -> str:
    return "".join(chance.choices(alphabet, k=count - 1)) + chance.choice(string.digits)


def luhn(digits: str) -> str:
    """The digits with the check digit that ISO/IEC 7812-1 asks for."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def card(chance: random.Random) -> str:
    start, length = chance.choice(
        [("4", 16), ("4", 13), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3528", 16), ("36", 14)]
    )
    return luhn(start + "".join(chance.choices(string.digits, k=length - 1 - len(start))))


def grouped(digits: str, between: str) -> str:
    return between.join(digits[place : place + 4] for place in range(0, len(digits), 4))


def pem(chance: random.Random) -> str:
    return f"-----BEGIN RSA PRIVATE KEY-----\n{letters(chance, 64)}\n{letters(chance, 40)}=\n-----END RSA PRIVATE KEY-----"


def encoded(chance: random.Random, text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


SELF_EVIDENT: dict[str, Callable[[random.Random], str]] = {
    "jwt": lambda chance: f"{HEADER}.{encoded(chance, letters(chance, 30))}.{letters(chance, 43)}",
    "bearer": lambda chance: f"Bearer {letters(chance, 24)}",
    "basic": lambda chance: f"Basic {base64.b64encode(f'bob:{letters(chance, 9)}'.encode()).decode()}",
    "aws": lambda chance: f"AKIA{letters(chance, 16, string.ascii_uppercase)}",
    "stripe": lambda chance: f"{chance.choice(['sk_live', 'rk_test', 'sk_test'])}_{letters(chance, 24)}",
    "github": lambda chance: f"{chance.choice(['ghp', 'gho', 'ghs'])}_{letters(chance, 36)}",
    "github-pat": lambda chance: f"github_pat_{letters(chance, 22)}_{letters(chance, 40)}",
    "slack": lambda chance: f"xoxb-{letters(chance, 12, string.digits)}-{letters(chance, 24)}",
    "google": lambda chance: f"AIza{letters(chance, 35)}",
    "card": card,
    "card-spaced": lambda chance: grouped(luhn("4" + letters(chance, 14, string.digits)), " "),
    "card-dashed": lambda chance: grouped(luhn("53" + letters(chance, 13, string.digits)), "-"),
    "pem": pem,
    "private-key-hex": lambda chance: "0x" + letters(chance, 64, "0123456789abcdef"),
    "private-key-wif": lambda chance: (
        "5" + letters(chance, 50, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")[:-1] + "9"
    ),
    "mnemonic-12": lambda _: PHRASE,
    "mnemonic-24": lambda _: LONG_PHRASE,
    "mnemonic-commas": lambda _: PHRASE.replace(" ", ", "),
    "email": lambda chance: f"{letters(chance, 8)}@{letters(chance, 6).lower()}.example",
    "ipv4": lambda chance: f"203.0.113.{chance.randint(1, 254)}",
    "ipv6": lambda chance: f"2001:db8::{chance.randint(1, 9999):x}:{chance.randint(1, 9999):x}",
}
"""Secrets that are known by their form, alone."""

NAMED: dict[str, str] = {
    "query": "GET https://shop.example/pay?order=7&{name}={secret}&page=2",
    "equals": "connect failed: {name}={secret} host=db",
    "colon": "login with {name}: {secret}, then retry",
    "json": '{{"user": "bob", "{name}": "{secret}", "n": 1}}',
    "json-in-json": '{{\\"{name}\\": \\"{secret}\\"}}',
    "repr": "{{'user': 'bob', '{name}': '{secret}'}}",
    "pair": "[('host', 'x'), ('{name}', '{secret}')]",
    "ruby": '{{"{name}"=>"{secret}"}}',
    "connection-string": "Server=db;User Id=sa;{name}={secret};Database=shop",
    "flag": "run --{name} {secret} --verbose",
    "flag-equals": "run --{name}={secret} --verbose",
    "header": "{name}: {secret}",
    "sentence": "the {name} is {secret}",
    "form": "user[name]=bob&user[{name}]={secret}",
}
"""Texts that name a secret."""
NAMES = [
    "password", "passwd", "db_password", "secret", "client_secret", "token", "access_token", "api_key", "apiKey", "private_key",
    "mnemonic", "seed_phrase", "session_id", "csrf_token", "authorization",
]  # fmt: skip
URLS = [
    "postgresql://shop:{secret}@db.example:5432/shop",
    "redis://:{secret}@cache:6379/0",
    "https://bob:{secret}@shop.example/x?y=1",
]

Put = Callable[[str], Event]


def event(**fields: object) -> Event:
    return Event(**{"event_id": "a" * 32, "time": NOW, "source": Source.SENTRY, **fields})


PLACES: dict[str, Put] = {
    "message": lambda text: event(message=text),
    "template": lambda text: event(template=text),
    "exception": lambda text: event(exceptions=(ExceptionInfo("E", text),)),
    "local variable": lambda text: event(stack=(Frame("f", local_variables={"x": text}),)),
    "nested": lambda text: event(
        exceptions=(ExceptionInfo("E", "v", frames=(Frame("f", local_variables={"a": [{"b": [text]}]}),)),)
    ),
    "breadcrumb": lambda text: event(contexts={"breadcrumbs": [{"message": "x", "data": {"url": text}}]}),
    "request": lambda text: event(contexts={"request": {"url": text, "headers": [["X", text]], "data": {"y": text}}}),
    "tag": lambda text: event(tags={"t": text}),
    "extra": lambda text: event(extra={"e": {text: text}}),
    "user": lambda text: event(user=User(id=text, username=text, extra={"z": text})),
    "transaction": lambda text: event(transaction=text),
    "pretty": lambda text: event(message=f"before ({text}) after"),
}


def stored(made: Event, **options: object) -> str:
    scrub(made, bodies.encode(made), **options)
    return bodies.encode(made).decode()


def core(secret: str) -> str:
    """The part of a secret that must not be seen: not what only says of which kind it is."""
    return secret.split(" ", 1)[1] if secret.startswith(("Bearer", "Basic")) else secret


def cases() -> Iterator[tuple[str, str, str, str]]:
    """Kind, place, text, and what of it must be gone."""
    chance = random.Random(7)
    for kind, make in SELF_EVIDENT.items():
        for place in PLACES:
            secret = make(chance)
            yield kind, place, secret, core(secret)
    for shape, text in NAMED.items():
        for name in NAMES:
            secret = letters(chance, 14)
            yield f"{shape} {name}", chance.choice(list(PLACES)), text.format(name=name, secret=secret), secret
    for url in URLS:
        for place in PLACES:
            secret = letters(chance, 12)
            yield url, place, url.format(secret=secret), secret


@pytest.mark.parametrize(("kind", "place", "text", "secret"), list(cases()))
def test_no_secret_that_is_planted_survives(kind: str, place: str, text: str, secret: str):
    made = PLACES[place](text)
    body = stored(made)
    for line in secret.split("\n"):
        if line and not line.startswith("-----"):
            assert line not in body, kind
    assert made.scrubbed_fields


@pytest.mark.parametrize(
    "name", [*NAMES, "Authorization", "Cookie", "X-Api-Key", "user_pass", "cardPin", "wallet-seed", "JSESSIONID"]
)
def test_the_value_of_a_sensitive_name_is_gone_wherever_it_is_nested(name: str):
    secret = "hunter2"
    value = {
        "a": [
            {name: secret},
            {name: {"deep": [secret]}},
            [name, secret],
            {"key": name, "value": secret},
            {"name": name, "value": secret},
        ]
    }
    made = event(
        tags={name: secret},
        contexts={"request": {"headers": {name: secret}, "c": value}},
        extra={name: [secret]},
        exceptions=(ExceptionInfo("E", "v", frames=(Frame("f", local_variables={name: secret, "v": value}),)),),
        user=User(extra={name: 12345}),
    )
    body = stored(made)
    assert secret not in body
    assert "12345" not in body
    assert f"tags.{name}" in made.scrubbed_fields
    assert f"contexts.request.headers.{name}" in made.scrubbed_fields


def test_a_card_that_is_a_number_is_found_too():
    assert "4111111111111111" not in stored(event(contexts={"order": {"pan": 4111111111111111}, "x": [4111111111111111]}))


@pytest.mark.parametrize("place", [place for place in PLACES if place != "extra"])
@pytest.mark.parametrize(
    "text",
    [
        "no stock of sku-123 for order 77",
        "order 4111111111111112 failed",
        "0.45327562796240664 at 1709294400000",
        "transaction hash 0x" + "ab" * 32,
        "sha256:" + "cd" * 32,
        "max_tokens=12 token_id=77 token_address=0x52908400098527886E0F7030069857D2E4169EE7",
        "12:30:45 std::vector Foo::bar",
        "Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36",
        "https://shop.example:8443/orders/7?page=2",
        "127.0.0.1 and ::1",
        "Basic authentication failed",
        "SyntaxError: Unexpected token '<', \"<!doctype \"... is not valid JSON",
        'syntax error, unexpected token "export", expecting "}"',
        "pip install name@1.2.3",
        "file /srv/shop/pins/session.py in keys",
    ],
)
def test_what_is_no_secret_stays(place: str, text: str):
    made = PLACES[place](text)
    before = bodies.encode(PLACES[place](text))
    scrub(made, bodies.encode(made))
    assert bodies.encode(made) == before


def test_mails_and_addresses_stay_where_the_project_keeps_them():
    def make() -> Event:
        return event(
            message="bob@shop.example at 203.0.113.7", user=User(id="7", email="bob@shop.example", ip_address="203.0.113.7")
        )

    made = make()
    scrub(made, bodies.encode(made))
    assert made.message == "[email] at [ip]"
    assert made.user == User(id="7")
    kept = make()
    scrub(kept, bodies.encode(kept), keep_emails=True, keep_ip_addresses=True)
    assert kept == make()


def test_names_that_the_project_adds_are_sensitive():
    made = event(message="ring_size=secretive", contexts={"x": {"Ring-Size": "secretive"}})
    assert "secretive" not in stored(made, sensitive_fields=("ring_size",))


def test_whether_a_sensitive_field_is_set_is_no_secret():
    made = event(contexts={"x": {"password": None, "secret": "", "has_token": True}})
    assert stored(made).count("null") >= 1
    assert made.contexts == {"x": {"password": None, "secret": "", "has_token": True}}


def test_of_a_line_of_source_only_literals_are_taken():
    made = event(stack=(Frame("f", context_line='    password = "hunter2"', pre_context=("token = read_token(request)",)),))
    scrub(made, bodies.encode(made))
    assert made.stack[0].context_line == '    password = "[secret]"'
    assert made.stack[0].pre_context == ("token = read_token(request)",)


@pytest.mark.parametrize("kind", SELF_EVIDENT)
def test_what_is_left_is_the_same_whatever_the_secret_was(kind: str):
    chance = random.Random(3)
    first, second = (event(message=f"refused {SELF_EVIDENT[kind](chance)} of the shop") for _ in range(2))
    scrub(first, bodies.encode(first))
    scrub(second, bodies.encode(second))
    assert first == second


@pytest.mark.parametrize(
    "piece",
    [
        "a", "a ", "password", "password=", "password='", 'token="\\', "://a:", "://", "a@", "@", "1 ", "41", "eyJ", "--",
        "--password", ":", "a:", "1.", "-----BEGIN PRIVATE KEY-----", "zoo ", "cookie:", "abandon abandon ", "(", "token=[", "0x",
        "AKIA", 'b"',
    ],
)  # fmt: skip
def test_hostile_texts_take_no_time_beyond_their_length(piece: str):
    """It ends at all: with a pattern that goes back over the text it would not, for hours."""
    text = (piece * 400_000)[:400_000]
    made = event(
        message=text,
        contexts={"all": "a@b.example 10.1.2.3 fe80::1 bearer basic :// eyJ -- PRIVATE KEY AKIA0000000000000000 password="},
    )
    stored(made)


def test_a_secret_after_more_noise_than_signs_can_be_learnt_of_is_found():
    chance = random.Random(11)
    noise = "".join(chance.choices(LETTERS + " :=-_.@/'", k=2_000_000))
    assert "hunter2" not in stored(event(message=f"{noise} password=hunter2"))


@pytest.mark.parametrize("before", ["", "\n", "\t", "\x0b", "\x01", '"', "\\", "é", "7 ", "- "])
@pytest.mark.parametrize("text", ["pin: hunter2", PHRASE, "4111 1111 1111 1111", "cookie='hunter2'", "0x" + "7a" * 32])
def test_what_json_writes_in_another_way_hides_nothing(before: str, text: str):
    made = event(message=f"{before}{text}")
    secret = text.partition(" ")[2] or text
    if (before, text[:1]) != ("7 ", "4"):  # of digits that are more than a card's
        assert secret.split("=")[-1].strip("'") not in stored(made)


@pytest.mark.parametrize("name", ["pass\tword", 'api"key', "a.u.t.h.o.r.i.z.a.t.i.o.n", "to\u212aen", "user pin\n", "card\\number"])
def test_names_are_told_whatever_is_between_their_letters(name: str):
    assert "hunter2" not in stored(event(extra={"x": {name: "hunter2"}}))


def test_names_that_a_project_adds_may_have_any_letters():
    texts = ["Ключ=hunter2", "КЛЮЧ=hunter2", 'a"b\\c=hunter2']
    assert "hunter2" not in stored(event(message="\n".join(texts)), sensitive_fields=("ключ", 'a"b\\c'))


def test_a_name_begins_where_its_line_does():
    assert "hunter2" not in stored(event(message="order 7\npin=hunter2"))


@pytest.mark.parametrize("before", ["", "x ", '"', "é"])
@pytest.mark.parametrize("after", ["", " x", '"', "é", "_" * 60])
def test_a_run_of_letters_and_digits_is_seen_from_its_length_on_and_wherever_it_is(before: str, after: str) -> None:
    signs = Signs([("run", Run(51))])
    word = letters(random.Random(1), 51)

    assert signs.of(f"{before}{word}{after}".encode()) == ["run"]
    assert signs.of(f"{before}{word[1:]}{after}".encode()) == []
    assert signs.of(f"{before}{word[:25]}-{word[25:]}{after}".encode()) == []


def test_signs_are_told_in_their_order_whatever_their_kinds() -> None:
    signs = Signs([("first", "aa"), ("run", Run(4)), ("last", "b")])

    assert signs.of(b"b aaaa") == ["first", "run", "last"]
    assert signs.of(b"aaaa") == ["first", "run"]
    assert signs.of(b"cccc b") == ["run", "last"]
    assert signs.of(b"c") == []
