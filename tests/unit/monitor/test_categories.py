"""Every rule of categories.yaml, by one error that it is for and one like it that it is not for."""

from datetime import UTC, datetime

import pytest
from souk.monitor.v1 import error_pb2 as pb
from souk_monitor.categories import GAP, Category, classify, rules
from souk_monitor.events import Event, ExceptionInfo, Level, Source

CASES: dict[str, tuple[str, str]] = {
    # rule: what it is for, and what it is not for, as "Type: message", "module.Type: message" or ": message"
    "resource.out-of-memory": ("java.lang.OutOfMemoryError: Java heap space", "OrderError: the memory of sku 12 is sold out"),
    "resource.disk-full": ("OSError: [Errno 28] No space left on device", "OSError: no space left in basket"),
    "resource.descriptors": (": accept4: too many open files", ": too many open orders"),
    "resource.stack-overflow": ("RangeError: Maximum call stack size exceeded", "RangeError: Maximum cart size exceeded"),
    "resource.threads": ("RuntimeError: can't start new thread", "RuntimeError: can't start new order"),
    "resource.crash": ("SIGSEGV: Segfault", "SignalError: no signal"),
    "blockchain.insufficient-funds": ("Error: insufficient funds for gas * price + value", "Error: insufficient stock for order"),
    "blockchain.nonce": ("Error: nonce too low: next nonce 12, tx nonce 11", "Error: nonce missing in page policy"),
    "blockchain.reverted": ("ContractLogicError: execution reverted: not owner", "Error: migration was undone"),
    "blockchain.gas": ("Error: intrinsic gas too low", "Error: pressure of gas too low in tank"),
    "blockchain.wallet": ("Error: MetaMask: User rejected the request.", "Error: seller rejected the offer"),
    "blockchain.node": ("web3.exceptions.BlockNotFound: block 12", "shop.exceptions.BlockNotFound: block 12"),
    "payment.declined": (
        "OrderError: card of order 17 was declined",
        "Error: card of order 17 was designed. The offer was declined",
    ),
    "payment.duplicate": ("Error: Keys for idempotency key abc were used with other parameters", "Error: keys of the piano"),
    "payment.webhook": ("SignatureVerificationError: no match", "SignatureMissing: no match"),
    "payment.provider": ("stripe.error.APIConnectionTrouble: unexpected", "stripes.error.Other: unexpected"),
    "database.pool-exhausted": (
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached",
        "shop.PoolTableSold: pool limit of size 5",
    ),
    "database.deadlock": ("DeadlockDetectedError: process 12 waits", "Error: a dead lock on the door"),
    "database.serialization": (
        "Error: could not serialize access due to concurrent use",
        "Error: could not serialise the order",
    ),
    "database.lock-timeout": ("Error: Lock wait timeout exceeded; try restarting transaction", "Error: the lock was bought"),
    "database.unique": ('Error: duplicate key value violates unique constraint "orders_pkey"', "Error: unique hand-made bowl"),
    "database.constraint": ("Error: insert or update violates foreign key constraint", "Error: violates the house rules"),
    "database.schema": ('Error: relation "orders" does not exist', "Error: the seller does not exist"),
    "database.timeout": ("Error: canceling statement due to statement timeout", "Error: canceling order"),
    "database.read-only": ("Error: cannot execute INSERT in a read-only transaction", "Error: the book is read only"),
    "database.unreachable": ('Error: connection to server at "db", port 5432 failed: x', "Error: the system starts up"),
    "database.other": ("psycopg.errors.Odd: something", "psycho.errors.Odd: something"),
    "cache.memory": ("Error: OOM command not allowed when used memory > 'maxmemory'.", "Error: command not allowed"),
    "cache.moved": ("Error: CLUSTERDOWN Hash slot not served", "Error: seller has moved to Berlin"),
    "cache.unreachable": ("redis.exceptions.Odd: something", "rediscovered.exceptions.Odd: something"),
    "rate-limit.exceeded": ("Error: 429 Too Many Requests", "Error: requests for 429 shoes"),
    "auth.token-expired": ("TokenExpiredError: jwt expired", "VoucherExpired: the voucher"),
    "auth.token-invalid": ("JsonWebTokenError: jwt malformed", "Error: invalid voucher"),
    "auth.forbidden": ("AccessDeniedException: User is not authorized to perform", "Error: access granted"),
    "auth.credentials": ('Error: password authentication failed for user "shop"', "Error: password too short for a poem"),
    "storage.access": ("Error: SignatureDoesNotMatch", "Error: signature on the painting"),
    "storage.missing-object": ("Error: NoSuchKey: The specified key does not exist.", "Error: the specified colour is sold out"),
    "storage.permission": ("PermissionError: [Errno 13] Permission denied: '/data'", "Error: permission slip"),
    "storage.object-store": ("botocore.exceptions.Odd: x", "boto.odd.Odd: x"),
    "media.too-large": ("Error: Input image exceeds pixel limit", "Error: image of a pixel"),
    "media.unreadable": ("UnidentifiedImageError: cannot identify image file <_io.BytesIO>", "Error: cannot identify seller"),
    "media.conversion": ("Error: ffmpeg exited with code 1", "Error: the seller exited"),
    "network.dns": ("Error: getaddrinfo ENOTFOUND db.internal", "Error: address of seller unknown"),
    "network.tls": ("Error: certificate verify failed: unable to get local issuer", "Error: certificate of authenticity lost"),
    "network.refused": ("Error: connect ECONNREFUSED 10.0.0.1:80", "Error: the buyer refused"),
    "network.reset": ("Error: socket hang up", "Error: socket wrench sold out"),
    "network.unreachable": ("TypeError: Failed to fetch", "Error: the dog fetched it"),
    "timeout.deadline": ("Error: context deadline exceeded", "Error: the deadline of the auction is near"),
    "timeout.read": ("Error: Read timed out. (read timeout=30)", "Error: read the manual"),
    "timeout.cancelled": ("Error: context canceled", "Error: order cancelled by buyer"),
    "concurrency.deadlock": ("runtime.Error: all goroutines are asleep - deadlock!", "Error: all sellers are asleep"),
    "concurrency.race": ("runtime.Error: concurrent map writes", "Error: the map of Rome"),
    "external.unavailable": ("Error: 503 Service Unavailable", "Error: colour unavailable"),
    "external.http": ("Error: Request failed with status code 418", "Error: request of buyer 418"),
    "external.grpc": ("Error: rpc error: code = Unknown desc = x", "Error: code = blue"),
    "configuration.missing-module": ("ModuleNotFoundError: No module named 'shop'", "Error: no model named shop"),
    "configuration.version": ("NoSuchMethodError: com.acme.Orders.place", "Error: no such method of payment"),
    "configuration.setting": ("Error: environment variable SHOP_DSN", "Error: variable shipping costs"),
    "serialization.json": ("SyntaxError: Unexpected token < in JSON at position 0", "Error: Jason is at position 0"),
    "serialization.text": ("Error: 'utf-8' codec can't decode byte 0xff in position 0", "Error: decoder ring sold out"),
    "serialization.binary": ("Error: incorrect header check", "Error: incorrect header colour"),
    "validation.schema": ("ValidationError: 2 validation errors for Order", "Error: valid order"),
    "validation.number": ("ValueError: invalid literal for int() with base 10: 'x'", "ValueError: a literal translation"),
    "validation.date": ("ValueError: time data 'x' does not match format '%Y'", "ValueError: the shoes do not match"),
    "not-found.route": ("Error: No route matches [GET] /x", "Error: no socks match"),
    "not-found.file": ("FileNotFoundError: [Errno 2] No such file or directory: 'x'", "Error: directory of sellers"),
    "not-found.record": ("Error: sql: no rows in result set", "Error: no rows of trees"),
    "programming.assertion": ("AssertionError: total", "AssertiveSeller: total"),
    "programming.none": ("Odd: Cannot read properties of undefined (reading 'id')", "Odd: cannot read the label"),
    "programming.name": ("ReferenceError: x is not defined", "Reference: page 12"),
    "programming.index": ("IndexError: list index out of range", "Error: index finger"),
    "programming.arithmetic": ("ZeroDivisionError: division by zero", "Error: division of labour"),
    "programming.type": ("Odd: unsupported operand type(s) for +: 'int' and 'str'", "Odd: unsupported shoe"),
    "programming.syntax": ("SyntaxError: missing )", "TaxError: missing"),
    "programming.state": ("java.lang.IllegalStateException: closed", "LegalStatement: closed"),
    "payment.failed": (": payment for order 17 failed", ": payment reminder for order 17 was sent"),
    "blockchain.other": (": transaction 0xab was not mined within 50 blocks", ": transaction of order 12 is complete"),
    "storage.failed": (": upload of photo 12.jpg failed", ": upload of photo 12 began"),
    "serialization.parse": (": could not parse the feed of supplier 9", ": could parse the feed"),
    "external.failed": (": failed to send SMS to buyer 12", ": SMS was sent to buyer 12"),
    "concurrency.conflict": (": cart 12 was modified by another session", ": cart 12 was modified by its buyer"),
    "auth.refused": (": user 17 is not allowed to edit listing 99", ": user 17 edits listing 99"),
    "validation.value": (": price cannot be negative: -12.50", ": price went down by 12.50"),
    "not-found.thing": (": seller 77 not found", ": seller 77 was found by 30 buyers"),
}


def event(text: str, level: Level = Level.ERROR, handled: bool | None = None, *, cause: str = "") -> Event:
    """An event of an exception written as `module.Type: message`, or of a message."""
    told = []
    for one in filter(None, (cause, text)):
        name, _, value = one.partition(": ")
        module, _, kind = name.lstrip(":").rpartition(".")
        told.append(ExceptionInfo(type=kind, module=module, value=value if name else one, handled=handled))
    return Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, level=level, exceptions=tuple(told))


def test_every_rule_has_a_case_and_there_are_rules_of_every_category() -> None:
    found = rules().all
    assert [rule.id for rule in found] == list(dict.fromkeys(rule.id for rule in found))
    assert {rule.id for rule in found} == set(CASES)
    assert {rule.category for rule in found} == set(Category) - {Category.UNSPECIFIED}
    assert all(rule.fix.endswith(".") and len(rule.fix) <= 200 for rule in found)


@pytest.mark.parametrize(("rule", "fits", "misses"), [(rule, *case) for rule, case in CASES.items()], ids=list(CASES))
def test_a_rule_is_for_what_it_is_for_and_not_for_what_is_like_it(rule: str, fits: str, misses: str) -> None:
    found = classify(event(fits)).fix
    assert found is not None
    assert found.rule == rule
    assert found.evidence
    other = classify(event(misses)).fix
    assert other is None or other.rule != rule


def test_a_star_stands_for_few_characters_of_one_sentence() -> None:
    fits = classify(event(f"Odd: card {'x' * (GAP - 2)} was declined"))
    far = classify(event(f"Odd: card {'x' * GAP} was declined"))
    other = classify(event("Odd: card is fine; the offer was declined"))
    assert [found.category for found in (fits, far, other)] == [Category.PAYMENT, Category.UNSPECIFIED, Category.UNSPECIFIED]


def test_the_evidence_is_what_the_rule_says_and_nothing_of_what_stands_between() -> None:
    found = classify(event("Odd: card of ana@shop.example was declined")).fix
    assert found is not None
    assert found.evidence == "the message has “card … was declined”"


def test_categories_have_the_numbers_of_the_contract() -> None:
    assert {f"ERROR_CATEGORY_{one.name}": one.value for one in Category} == dict(pb.ErrorCategory.items())


def test_a_message_without_exception_is_classified_too() -> None:
    logged = Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.OTLP_LOG, message="dial tcp 10.0.0.1:80: connection refused")
    assert classify(logged).category is Category.NETWORK


def test_a_cause_decides_before_what_wraps_it_and_the_more_telling_rule_before_both() -> None:
    wrapped = classify(event("shop.OrderError: order 12", cause="asyncpg.exceptions.UniqueViolationError: x"))
    assert wrapped.category is Category.DATABASE
    telling = classify(event("shop.PaymentError: card was declined", cause="KeyError: 'x'"))
    assert telling.category is Category.PAYMENT


def test_nothing_is_said_where_no_rule_fits() -> None:
    found = classify(event("shop.Odd: quite so", Level.WARNING))
    assert (found.category, found.level, found.fix) == (Category.UNSPECIFIED, Level.WARNING, None)


@pytest.mark.parametrize(
    ("text", "level", "handled", "expected"),
    [
        ("MemoryError: x", Level.ERROR, False, Level.FATAL),
        ("MemoryError: x", Level.INFO, None, Level.INFO),
        ("ValidationError: x", Level.FATAL, False, Level.ERROR),
        ("ValidationError: x", Level.FATAL, True, Level.WARNING),
        ("ValidationError: x", Level.DEBUG, True, Level.DEBUG),
        ("ZeroDivisionError: x", Level.FATAL, True, Level.FATAL),
    ],
)
def test_the_level_is_raised_and_lowered_by_the_rule(text: str, level: Level, handled: bool | None, expected: Level) -> None:
    assert classify(event(text, level, handled)).level is expected


def test_a_message_of_any_length_is_looked_at_in_bounded_time() -> None:
    assert classify(event("Odd: " + "connection " * 1_000_000)).category is Category.UNSPECIFIED
