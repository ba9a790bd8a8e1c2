"""Stacks as loggers, runtimes and libraries print them around what their language does: what a person reads in them."""

from typing import NamedTuple

import pytest
from souk_monitor import stack_text


class Said(NamedTuple):
    """An exception of a text."""

    type: str
    """With its module."""
    value: str
    functions: tuple[str, ...]
    """The call that was made last is the last."""


def said(text: str) -> list[Said]:
    return [
        Said(".".join(filter(None, (one.module, one.type))), one.value, tuple(frame.function for frame in one.frames))
        for one in stack_text.parse(text)
    ]


PYTHON_WITHIN_A_LOG = """
    Traceback (most recent call last):
      File "/srv/shop/orders.py", line 3, in place
        charge()
      File "/srv/shop/pay.py", line 4, in charge
        raise ValueError("declined")
    ValueError: declined
"""
PYTHON_OF_ANOTHER_PROCESS = """concurrent.futures.process._RemoteTraceback:\x20
\"\"\"
Traceback (most recent call last):
  File "/srv/shop/work.py", line 4, in work
    return 1 / n
ZeroDivisionError: division by zero
\"\"\"

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/main.py", line 9, in run
    print(future.result())
ZeroDivisionError: division by zero
"""
PYTHON_IN_COLOUR = """Traceback (most recent call last):
  File \x1b[35m"/srv/shop/a.py"\x1b[0m, line \x1b[35m3\x1b[0m, in \x1b[35mplace\x1b[0m
    \x1b[31mf\x1b[0m\x1b[1;31m()\x1b[0m
\x1b[1;35mZeroDivisionError\x1b[0m: \x1b[35mdivision by zero\x1b[0m
"""
NODE_WITHIN_A_LOG = """[10:00:00.123] ERROR (7): request failed
    err: {
      "stack":
          PaymentError: declined
              at charge (/srv/pay.js:4:11)
              at async place (/srv/orders.js:12:3)
    }"""
NODE_CAUSED_BY = """OrderError: order 7
    at place (/srv/orders.js:12:3)
caused by: PaymentError: declined
    at charge (/srv/pay.js:4:11)
Caused by: Error: connect ECONNREFUSED
    at connect (node:net:1:2)"""
DENO = """error: Uncaught (in promise) PaymentError: declined
    at charge (file:///srv/pay.ts:3:9)"""
JAVA_ROOT_CAUSE_FIRST = """java.net.ConnectException: refused
	at com.acme.Net.connect(Net.java:7)
	at com.acme.Db.open(Db.java:9)
	... 2 common frames omitted
Wrapped by: com.acme.DbException: cannot open
	at com.acme.Db.open(Db.java:11)
	... 1 common frames omitted
Wrapped by: com.acme.OrderException: order 7
	at com.acme.Orders.place(Orders.java:3)
	at com.acme.Main.main(Main.java:3)
"""
JAVA_CIRCULAR = """java.lang.RuntimeException: a
	at com.acme.A.a(A.java:1)
Caused by: java.lang.RuntimeException: [b]
	at com.acme.A.b(A.java:2)
	... 1 more
Caused by: [CIRCULAR REFERENCE: java.lang.RuntimeException: a]
"""
JAVA_WITHIN_A_LOG = """10:00:00,123 ERROR [com.acme.Handler] (executor-1) failed, id: 1a-1: com.acme.StockException: no stock
	at com.acme.Orders.place(Orders.java:12)
"""
GO_SERVING = """2026/11/28 10:00:00 http: panic serving 127.0.0.1:51234: assignment to entry in nil map
goroutine 34 [running]:
main.place(0x1)
	/srv/main.go:20 +0x65
"""
GO_WITH_REGISTERS = """fatal error: fault

goroutine 1 gp=0xc0000061c0 m=0 mp=0x5a1a20 [running]:
runtime.throw({0x4a0c3e?, 0x0?})
	/usr/local/go/src/runtime/panic.go:1067 +0x48 fp=0xc00006ee58 sp=0xc00006ee28 pc=0x46a2e8
main.place()
	/srv/main.go:9 +0x1d fp=0xc00006ef50 sp=0xc00006eed8 pc=0x48a51d
"""
CSHARP_WITH_CODES = """System.Net.Http.HttpRequestException: Connection refused (pay:443)
 ---> System.Net.Sockets.SocketException (111): Connection refused
   at System.Net.Sockets.Socket.Connect(EndPoint remote)
   --- End of inner exception stack trace ---
   at Shop.Pay.Charge(Int32 id) in /src/Pay.cs:line 22
"""
CSHARP_WITH_HEXADECIMAL_CODES = """Npgsql.PostgresException (0x80004005): 23505: duplicate key
   at Shop.Pay.Charge(Int32 id) in /src/Pay.cs:line 22
"""
CSHARP_GENERIC = """Acme.LostException`1[[System.Int32, System.Private.CoreLib, Version=8.0.0.0]]: lost 7
   at Acme.Store`1.Get(TKey key) in /src/Store.cs:line 12
"""
CSHARP_WITHIN_A_LOG = """2026-11-28 10:00:00.123 +00:00 [ERR] Order failed
Shop.PaymentException: card declined
   at Shop.Pay.Charge(Int32 id) in /src/Pay.cs:line 22
"""
MONO = """NullReferenceException: Object reference not set to an instance of an object
  at Shop.Cart.Add (Shop.Item item) [0x00012] in /Assets/Shop/Cart.cs:12\x20
  at Shop.Ui.OnClick () [0x00001] in <a1b2c3d4e5f6>:0\x20
"""
RAILS = """ActiveRecord::RecordNotFound (Couldn't find Order with 'id'=7):
 \x20
app/controllers/orders_controller.rb:12:in `show'
app/middleware/trace.rb:7:in `call'
"""
RUBY_ON_WINDOWS = """C:/shop/lib/cart.rb:12:in 'Cart#total': undefined method 'x' for nil (NoMethodError)
	from C:/shop/main.rb:3:in '<main>'
"""
MONOLOG = r"""[2026-11-28 10:00:00] shop.ERROR: no {"exception":"[object] (App\\OrderException(code: 0): no at /srv/Orders.php:29)
[stacktrace]
#0 /srv/index.php(12): App\\Orders->place(7)
#1 {main}

[previous exception] [object] (PDOException(code: 23000): duplicate at /srv/Db.php:80)
[stacktrace]
#0 /srv/Orders.php(20): PDOStatement->execute()
#1 {main}
"} """
PHP_OF_AN_ARGUMENT = """TypeError: App\\Cart::add(): no Item, called in /srv/Orders.php on line 12 and defined in /srv/Cart.php:7
Stack trace:
#0 /srv/Orders.php(12): App\\Cart->add(NULL)
#1 {main}"""
RUST_BACKTRACE = """   0: shop::pay::charge
             at ./src/pay.rs:3:5
   1: shop::main
             at ./src/main.rs:12:9
"""
RUST_WITHOUT_FILES = """   0: shop::pay::charge
   1: shop::main
   2: core::ops::function::FnOnce::call_once
"""
ANYHOW = """Error: failed to charge order 7

Caused by:
    0: connection failed
    1: Connection refused (os error 111)

Stack backtrace:
   0: shop::pay::charge
             at ./src/pay.rs:12:9
   1: shop::main
             at ./src/main.rs:4:5
"""
EYRE = """Error:\x20
   0: failed to charge
   1: Connection refused (os error 111)

Location:
   src/pay.rs:12

  ━━━━━━━━━━━━━━━━━━━━━━ BACKTRACE ━━━━━━━━━━━━━━━━━━━━━━
   8: shop::pay::charge
      at /srv/src/pay.rs:12
   9: shop::main
      at /srv/src/main.rs:4
"""
RUST_TWO_PANICS = """thread 'main' panicked at src/a.rs:1:1:
first
stack backtrace:
   0: shop::a
             at ./src/a.rs:1:1
thread 'main' panicked at src/b.rs:2:2:
second
stack backtrace:
   0: shop::b
             at ./src/b.rs:2:2
"""
FLUTTER = """══╡ EXCEPTION CAUGHT BY WIDGETS LIBRARY ╞═══════════════════════════════
The following StateError was thrown building CartPage(dirty, state:
_CartPageState#1a2b3):
Bad state: No element

The relevant error-causing widget was:
  CartPage CartPage:file:///srv/lib/main.dart:20:9

When the exception was thrown, this was the stack:
#0      List.first (dart:core-patch/growable_array.dart:343:5)
#1      _CartPageState.build (package:shop/cart.dart:33:22)
"""
PLUG = """#PID<0.512.0> running ShopWeb.Endpoint (stream id 1) terminated
Request: GET /orders/7
** (exit) an exception was raised:
    ** (Ecto.NoResultsError) expected at least one result
        (shop 0.1.0) lib/shop/orders.ex:9: anonymous fn/2 in Shop.Orders.place/1
        (shop 0.1.0) lib/shop/web.ex:12: Shop.Web.show/2
"""
DECLINED = Said("ValueError", "declined", ("place", "charge"))
DIVIDED = ("ZeroDivisionError", "division by zero")
CODED = Said("System.Net.Sockets.SocketException", "Connection refused", ("Connect",))
CHARGED = ("shop::main", "shop::pay::charge")
TEXTS: dict[str, tuple[str, list[Said]]] = {
    "python, within a log": (PYTHON_WITHIN_A_LOG, [DECLINED]),
    "python, of another process": (PYTHON_OF_ANOTHER_PROCESS, [Said(*DIVIDED, ("work",)), Said(*DIVIDED, ("run",))]),
    "python, in colour": (PYTHON_IN_COLOUR, [Said(*DIVIDED, ("place",))]),
    "node, within a log": (NODE_WITHIN_A_LOG, [Said("PaymentError", "declined", ("place", "charge"))]),
    "node, causes of libraries": (
        NODE_CAUSED_BY,
        [
            Said("Error", "connect ECONNREFUSED", ("connect",)),
            Said("PaymentError", "declined", ("charge",)),
            Said("OrderError", "order 7", ("place",)),
        ],
    ),
    "deno": (DENO, [Said("PaymentError", "declined", ("charge",))]),
    "java, the root cause first": (
        JAVA_ROOT_CAUSE_FIRST,
        [
            Said("java.net.ConnectException", "refused", ("main", "open", "open", "connect")),
            Said("com.acme.DbException", "cannot open", ("main", "open")),
            Said("com.acme.OrderException", "order 7", ("main", "place")),
        ],
    ),
    "java, in a circle": (
        JAVA_CIRCULAR,
        [Said("java.lang.RuntimeException", "[b]", ("a", "b")), Said("java.lang.RuntimeException", "a", ("a",))],
    ),
    "java, within a log": (JAVA_WITHIN_A_LOG, [Said("com.acme.StockException", "no stock", ("place",))]),
    "go, within a log": (GO_SERVING, [Said("", "assignment to entry in nil map", ("place",))]),
    "go, with registers": (GO_WITH_REGISTERS, [Said("runtime.Error", "fault", ("place", "throw"))]),
    "c#, with codes": (
        CSHARP_WITH_CODES,
        [CODED, Said("System.Net.Http.HttpRequestException", "Connection refused (pay:443)", ("Charge",))],
    ),
    "c#, with hexadecimal codes": (
        CSHARP_WITH_HEXADECIMAL_CODES,
        [Said("Npgsql.PostgresException", "23505: duplicate key", ("Charge",))],
    ),
    "c#, generic": (
        CSHARP_GENERIC,
        [Said("Acme.LostException`1[[System.Int32, System.Private.CoreLib, Version=8.0.0.0]]", "lost 7", ("Get",))],
    ),
    "c#, within a log": (CSHARP_WITHIN_A_LOG, [Said("Shop.PaymentException", "card declined", ("Charge",))]),
    "mono": (
        MONO,
        [Said("NullReferenceException", "Object reference not set to an instance of an object", ("OnClick", "Add"))],
    ),
    "ruby, of rails": (RAILS, [Said("ActiveRecord.RecordNotFound", "Couldn't find Order with 'id'=7", ("call", "show"))]),
    "ruby, on windows": (
        RUBY_ON_WINDOWS,
        [Said("NoMethodError", "undefined method 'x' for nil", ("<main>", "Cart#total"))],
    ),
    "php, of monolog": (
        MONOLOG,
        [
            Said("PDOException", "duplicate", ("{main}", "PDOStatement->execute")),
            Said("App.OrderException", "no", ("{main}", "App\\Orders->place")),
        ],
    ),
    "php, of an argument": (
        PHP_OF_AN_ARGUMENT,
        [
            Said(
                "TypeError",
                "App\\Cart::add(): no Item, called in /srv/Orders.php on line 12",
                ("{main}", "App\\Cart->add"),
            )
        ],
    ),
    "rust, a backtrace": (RUST_BACKTRACE, [Said("", "", CHARGED)]),
    "rust, without files": (RUST_WITHOUT_FILES, [Said("", "", ("core::ops::function::FnOnce::call_once", *CHARGED))]),
    "rust, after a message": (f"declined\n{RUST_BACKTRACE}", [Said("", "declined", CHARGED)]),
    "rust, of anyhow": (
        ANYHOW,
        [
            Said("", "Connection refused (os error 111)", ()),
            Said("", "connection failed", ()),
            Said("", "failed to charge order 7", CHARGED),
        ],
    ),
    "rust, of anyhow with one cause": (
        "no\n\nCaused by:\n    refused\n\nStack backtrace:\n   0: shop::main\n",
        [Said("", "refused", ()), Said("", "no", ("shop::main",))],
    ),
    "rust, of eyre": (EYRE, [Said("", "Connection refused (os error 111)", ()), Said("", "failed to charge", CHARGED)]),
    "rust, a panic while another is handled": (RUST_TWO_PANICS, [Said("panic", "first", ("shop::a",))]),
    "flutter": (FLUTTER, [Said("StateError", "Bad state: No element", ("_CartPageState.build", "List.first"))]),
    "elixir, an exit for an exception": (
        PLUG,
        [Said("Ecto.NoResultsError", "expected at least one result", ("show/2", "place/1"))],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_as_a_person_reads_it(name: str) -> None:
    text, expected = TEXTS[name]
    assert said(text) == expected


@pytest.mark.parametrize("name", TEXTS)
def test_the_language_of_a_text_is_known(name: str) -> None:
    language = name.partition(",")[0]
    names = {"node": "javascript", "deno": "javascript", "c#": "csharp", "mono": "csharp", "flutter": "dart"}
    assert stack_text.language_of(TEXTS[name][0]) == names.get(language, language)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (RUST_BACKTRACE, ("./src/pay.rs", 3)),
        (MONO, ("/Assets/Shop/Cart.cs", 12)),
        (MONOLOG, ("/srv/Orders.php", 29)),
        ("Error: x\n    at f (address at index.android.bundle:1:4711)", ("index.android.bundle", 1)),
        ("g@https://shop.example/app.js line 3 > eval:1:1\nf@https://shop.example/app.js:9:1", ("https://shop.example/app.js", 3)),
    ],
)
def test_the_place_of_the_last_call_is_read(text: str, place: tuple[str, int]) -> None:
    frame = stack_text.parse(text)[-1].frames[-1]
    assert (frame.file, frame.line) == place


def test_an_anonymous_function_of_elixir_is_of_the_module_that_it_is_in() -> None:
    assert [frame.module for frame in stack_text.parse(PLUG)[-1].frames] == ["Shop.Web", "Shop.Orders"]


@pytest.mark.parametrize(
    ("platform", "text", "expected"),
    [
        ("node", "Überlauf: x\n    at pay (/srv/pay.js:1:2)", [("Überlauf", "x")]),
        ("node", "<ref *1> Error: x\n    at pay (/srv/pay.js:1:2) {\n  error: [Circular *1]\n}", [("Error", "x")]),
        ("node", "AggregateError: mixed\n    at pay (/srv/pay.js:1:2) {\n  [errors]: [ 'a', 1 ]\n}", [("AggregateError", "mixed")]),
        ("node", "AggregateError: mixed\n    at pay (/srv/pay.js:1:2) {\n  [errors]: [Array]\n}", [("AggregateError", "mixed")]),
        ("node", "[MarketError: no stock]", [("MarketError", "no stock")]),
        ("node", "[MarketError: no stock] {\n  code: 'GONE'\n}", [("MarketError", "no stock")]),
        (
            "java",
            "org.xml.sax.SAXParseException; systemId: file:/x.xml; lineNumber: 1; columnNumber: 9; x\n\tat shop.A.b(A.java:3)\n",
            [("SAXParseException", "x")],
        ),
    ],
)
def test_types_and_messages_are_read_however_they_are_printed(platform: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert [(each.type, each.value) for each in stack_text.parse(text, platform)] == expected
