"""Stacks as languages print them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_monitor import stack_text

PYTHON_SYNTAX = """Traceback (most recent call last):
  File "/srv/app/shop/rules.py", line 3, in load
    compile(text, "<rule>", "exec")
  File "<rule>", line 1
    def broken(:
               ^
SyntaxError: invalid syntax
"""

NODE_UNCAUGHT = """/srv/app/shop/orders.js:12
    throw new OutOfStockError("none of sku 12", { cause: error });
    ^

OutOfStockError: none of sku 12
    at place (/srv/app/shop/orders.js:12:11)
    at Object.<anonymous> (/srv/app/main.js:3:1)
    ... 2 lines matching cause stack trace ...
    at node:internal/main/run_main_module:36:49 {
  code: 'OUT_OF_STOCK',
  [cause]: TypeError: Cannot read properties of undefined (reading 'lines')
      at lookUp (/srv/app/shop/orders.js:4:20)
      at place (/srv/app/shop/orders.js:10:5)
      at Object.<anonymous> (/srv/app/main.js:3:1)
      at Module._compile (node:internal/modules/cjs/loader:1554:14)
      at Object..js (node:internal/modules/cjs/loader:1706:10)
      at node:internal/main/run_main_module:36:49
}

Node.js v24.1.0
"""

FIREFOX = """add@https://shop.example/static/cart.5f3a2b1c9d.js:10:12
place/<@https://shop.example/static/cart.5f3a2b1c9d.js:20:3
async*place@https://shop.example/static/cart.5f3a2b1c9d.js:19:1
@https://shop.example/static/cart.5f3a2b1c9d.js:30:1
"""

SAFARI = """TypeError: undefined is not an object (evaluating 'item.price')
add@https://shop.example/static/cart.js:10:12
[native code]
global code@https://shop.example/static/cart.js:30:5"""

JAVA = """Exception in thread "main" com.acme.shop.OrderException: order 12
\tat com.acme.shop.Orders.place(Orders.java:20)
\tat com.acme.shop.Main.main(Main.java:8)
\tSuppressed: java.io.IOException: close
\t\tat com.acme.shop.Stock.close(Stock.java:9)
\t\tat com.acme.shop.Orders.place(Orders.java:18)
\t\t... 1 more
Caused by: java.sql.SQLException: no connection
\tat com.acme.shop.Stock.reserve(Stock.java:30)
\tat com.acme.shop.Orders.place(Orders.java:17)
\t... 1 more
Caused by: java.net.ConnectException: refused
\tat java.base/java.net.Socket.connect(Socket.java:666)
\tat com.acme.shop.Stock.reserve(Stock.java:28)
\t... 2 more
"""

GO_PANIC = """panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47e1a3]

goroutine 1 [running]:
github.com/acme/shop/orders.(*Cart).Add(0xc00001c0a8, {0x1, 0x2})
\t/srv/app/orders/cart.go:12 +0x1d
main.main.func1.2(...)
\t/srv/app/main.go:8
main.main()
\t/srv/app/main.go:20 +0x85

goroutine 7 [chan receive]:
main.other()
\t/srv/app/other.go:3 +0x1
created by main.main in goroutine 1
\t/srv/app/main.go:18 +0x33
exit status 2
"""

GO_PKG_ERRORS = """connection refused
main.dial
\t/srv/app/main.go:10
main.place
\t/srv/app/main.go:20
runtime.main
\t/usr/local/go/src/runtime/proc.go:250
place order 12
main.place
\t/srv/app/main.go:22
main.main
\t/srv/app/main.go:30"""

CSHARP = """System.InvalidOperationException: order 12
 ---> System.IO.IOException: disk
   at Shop.Stock.ReadAsync(Int32 id) in /src/Shop/Stock.cs:line 30
   at Shop.Orders.<PlaceAsync>d__3.MoveNext() in /src/Shop/Orders.cs:line 17
   --- End of inner exception stack trace ---
   at Shop.Orders.<PlaceAsync>d__3.MoveNext() in /src/Shop/Orders.cs:line 20
--- End of stack trace from previous location ---
   at System.Runtime.CompilerServices.TaskAwaiter.HandleNonSuccess(Task task)
   at Shop.Program.<>c__DisplayClass0_0.<Main>b__1(String[] args) in /src/Shop/Program.cs:line 8
"""

CSHARP_AGGREGATE = """System.AggregateException: One or more errors occurred. (a) (b)
 ---> System.ArgumentException: a
   at Shop.A.Run() in /src/A.cs:line 1
   --- End of inner exception stack trace ---
   at Shop.Program.Main() in /src/Program.cs:line 8
 ---> (Inner Exception #1) System.FormatException: b
   at Shop.B.Run() in /src/B.cs:line 2<---
"""

RUBY = """/srv/app/lib/shop/orders.rb:20:in 'Shop::Orders#rescue in place': order 12 (Shop::OrderError)
\tfrom /srv/app/lib/shop/orders.rb:15:in 'Shop::Orders#place'
\tfrom /srv/app/main.rb:3:in '<main>'
/srv/app/lib/shop/stock.rb:5:in 'Hash#fetch': key not found: "sku" (KeyError)
\tfrom /srv/app/lib/shop/stock.rb:5:in 'Shop::Stock#take'
\tfrom /srv/app/lib/shop/orders.rb:16:in 'Shop::Orders#place'
\tfrom /srv/app/main.rb:3:in '<main>'
"""

RUBY_OLD = """Traceback (most recent call last):
\t2: from /srv/app/main.rb:3:in `<main>'
\t1: from /srv/app/lib/orders.rb:15:in `place'
/srv/app/lib/stock.rb:5:in `fetch': key not found: "sku" (KeyError)
"""

PHP = """PHP Fatal error:  Uncaught Shop\\StockException: none of sku 12 in /srv/app/src/Stock.php:30
Stack trace:
#0 /srv/app/src/Orders.php(17): Shop\\Stock->take('12')
#1 /srv/app/index.php(5): Shop\\Orders->place(12)
#2 {main}

Next Shop\\OrderException: order 12 in /srv/app/src/Orders.php:20
Stack trace:
#0 /srv/app/index.php(5): Shop\\Orders->place(12)
#1 {main}
  thrown in /srv/app/src/Orders.php on line 20
"""

RUST = """thread 'main' panicked at src/orders.rs:12:5:
index out of bounds: the len is 2 but the index is 5
stack backtrace:
   0: rust_begin_unwind
             at /rustc/9fc6b43126469e3858e2fe86cafb4f0fd5068869/library/std/src/panicking.rs:665:5
   1: core::panicking::panic_fmt
   2: shop::orders::place::h0123456789abcdef
             at ./src/orders.rs:12:5
   3: shop::main
             at ./src/main.rs:4:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""

DART = """Unhandled exception:
FormatException: Invalid number
#0      Orders.place (package:shop/orders.dart:12:5)
#1      main (file:///srv/app/bin/main.dart:4:3)
<asynchronous suspension>
"""

ELIXIR = """** (ArgumentError) argument error
    (stdlib 5.0) :lists.nth(3, [])
    (shop 0.1.0) lib/shop/orders.ex:12: Shop.Orders.place/1
    (shop 0.1.0) lib/shop.ex:3: Shop.run/0
"""


def told(text: str) -> list[tuple[str, str, list[str]]]:
    """Types, messages and functions, the call that was made last last."""
    return [(one.type, one.value, [frame.function for frame in one.frames]) for one in stack_text.parse(text)]


def test_a_syntax_error_of_python_has_the_frames_that_were_called() -> None:
    assert told(PYTHON_SYNTAX) == [("SyntaxError", "invalid syntax", ["load"])]


def test_a_cause_printed_by_node_comes_first_and_gives_back_the_frames_that_were_left_out() -> None:
    cause, error = stack_text.parse(NODE_UNCAUGHT)
    assert (cause.type, error.type, error.value) == ("TypeError", "OutOfStockError", "none of sku 12")
    assert [frame.function for frame in cause.frames][-2:] == ["place", "lookUp"]
    assert [frame.function for frame in error.frames] == ["", "Object..js", "Module._compile", "Object.<anonymous>", "place"]
    assert (error.frames[-1].file, error.frames[-1].line, error.frames[-1].column) == ("/srv/app/shop/orders.js", 12, 11)


@pytest.mark.parametrize(
    ("header", "kind"), [("DOMException [AbortError]", "AbortError"), ("TypeError [ERR_INVALID_ARG_TYPE]", "TypeError")]
)
def test_beside_the_class_of_an_error_node_prints_its_name_or_its_code(header: str, kind: str) -> None:
    (raised,) = stack_text.parse(f"{header}: it failed\n    at place (/srv/shop/orders.js:9:3)")
    assert (raised.type, raised.value) == (kind, "it failed")


def test_firefox_and_safari_have_stacks_without_at() -> None:
    (error,) = stack_text.parse(FIREFOX)
    assert [frame.function for frame in error.frames] == ["", "async*place", "place/<", "add"]
    assert told(SAFARI)[0][:2] == ("TypeError", "undefined is not an object (evaluating 'item.price')")


def test_causes_of_java_have_their_common_frames_and_suppressed_ones_are_told_apart() -> None:
    found = {one.type: one for one in stack_text.parse(JAVA)}
    assert [one.type for one in stack_text.parse(JAVA)][-1] == "OrderException"
    assert [frame.function for frame in found["ConnectException"].frames] == ["main", "place", "reserve", "connect"]
    assert found["ConnectException"].frames[-1].module == "java.net.Socket"
    assert found["IOException"].mechanism == "suppressed"
    assert found["SQLException"].parent_id == found["OrderException"].exception_id


def test_a_panic_of_go_has_the_goroutine_that_failed() -> None:
    (error,) = stack_text.parse(GO_PANIC)
    assert [(frame.module, frame.function) for frame in error.frames] == [
        ("main", "main"),
        ("main", "main.func1.2"),
        ("github.com/acme/shop/orders", "(*Cart).Add"),
    ]
    assert error.value == "runtime error: invalid memory address or nil pointer dereference"


def test_errors_of_go_printed_with_their_stacks_are_a_chain() -> None:
    assert told(GO_PKG_ERRORS) == [
        ("", "connection refused", ["main", "place", "dial"]),
        ("", "place order 12", ["main", "place"]),
    ]


def test_inner_exceptions_of_dotnet_come_first() -> None:
    inner, outer = stack_text.parse(CSHARP)
    assert (inner.type, outer.type, outer.value) == ("IOException", "InvalidOperationException", "order 12")
    assert [frame.function for frame in inner.frames] == ["MoveNext", "ReadAsync"]
    assert inner.frames[-1].module == "Shop.Stock"
    assert len(outer.frames) == 3


def test_aggregates_of_dotnet_have_members() -> None:
    found = stack_text.parse(CSHARP_AGGREGATE)
    assert [(one.type, one.is_group, one.parent_id) for one in reversed(found)] == [
        ("AggregateException", True, None),
        ("ArgumentException", False, 0),
        ("FormatException", False, 0),
    ]


def test_both_forms_of_ruby_are_read() -> None:
    cause, error = stack_text.parse(RUBY)
    assert (cause.type, error.type, error.module) == ("KeyError", "OrderError", "Shop")
    assert [frame.line for frame in cause.frames] == [3, 16, 5, 5]
    (old,) = stack_text.parse(RUBY_OLD)
    assert (old.type, [frame.function for frame in old.frames]) == ("KeyError", ["<main>", "place", "fetch"])


def test_a_frame_of_php_is_a_function_with_the_place_it_had_come_to() -> None:
    cause, error = stack_text.parse(PHP)
    assert (cause.type, error.type, error.value) == ("StockException", "OrderException", "order 12")
    assert [(frame.function, frame.file, frame.line) for frame in cause.frames] == [
        ("{main}", "/srv/app/index.php", 5),
        ("Shop\\Orders->place", "/srv/app/src/Orders.php", 17),
        ("Shop\\Stock->take", "/srv/app/src/Stock.php", 30),
    ]


def test_rust_dart_and_elixir_are_read() -> None:
    assert told(RUST)[0][1:] == (
        "index out of bounds: the len is 2 but the index is 5",
        ["shop::main", "shop::orders::place::h0123456789abcdef", "core::panicking::panic_fmt", "rust_begin_unwind"],
    )
    assert told(DART) == [("FormatException", "Invalid number", ["main", "Orders.place"])]
    assert told(ELIXIR) == [("ArgumentError", "argument error", ["run/0", "place/1"])]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (PYTHON_SYNTAX, "python"),
        (NODE_UNCAUGHT, "javascript"),
        (FIREFOX, "javascript"),
        (SAFARI, "javascript"),
        (JAVA, "java"),
        (GO_PANIC, "go"),
        (GO_PKG_ERRORS, "go"),
        (CSHARP, "csharp"),
        (CSHARP_AGGREGATE, "csharp"),
        (RUBY, "ruby"),
        (RUBY_OLD, "ruby"),
        (PHP, "php"),
        (RUST, "rust"),
        (DART, "dart"),
        (ELIXIR, "elixir"),
        ("no stack at all", ""),
    ],
)
def test_a_text_is_known_for_its_language_whatever_the_reporter_says(text: str, language: str) -> None:
    assert stack_text.language_of(text) == language
    assert stack_text.language_of(text, "python") == language


def test_a_text_that_is_no_stack_is_an_exception_without_frames() -> None:
    assert told("ValueError: bad quantity") == [("ValueError", "bad quantity", [])]
    assert told("order 12 has no seller") == [("", "order 12 has no seller", [])]
    assert told("  \n ") == []


PIECES = [
    *"\n\t :@()[]{}<>'\"#/\\+-|.,",
    "Traceback (most recent call last):\n",
    '  File "/a.py", line 1, in f\n',
    "  + Exception Group Traceback (most recent call last):\n",
    "  +-+---------------- 1 ----------------\n",
    "    +---------------- 2 ----------------\n",
    "    +------------------------------------\n",
    "The above exception was the direct cause of the following exception:\n",
    "    at f (a.js:1:2)\n",
    "  [cause]: Error: x\n",
    "  [errors]: [\n",
    "    ... 99999 lines matching cause stack trace ...\n",
    "\tat a.b.C.d(C.java:1)\n",
    "Caused by: a.B: c\n",
    "\tSuppressed: a.B\n",
    "\t... 99999 more\n",
    "goroutine 1 [running]:\n",
    "main.f(...)\n\t/a.go:1 +0x1\n",
    "panic: x [recovered]\n",
    "   at A.B.C() in /a.cs:line 1\n",
    " ---> (Inner Exception #0) A.B: c\n",
    "   --- End of inner exception stack trace ---\n",
    "a.rb:1:in 'f': m (E)\n\tfrom b.rb:2:in 'g'\n",
    "#0 /a.php(1): f()\n",
    "Next E: m in /a.php:1\n",
    "thread 'main' panicked at 'x', a.rs:1:1\n",
    "** (E) m\n",
    "Wrapped by: a.B: c\n",
    "caused by: E: m\n",
    "Stack backtrace:\n",
    "Caused by:\n    0: m\n",
    "   0: a::b\n             at ./a.rs:1:1\n",
    "The following E was thrown:\n",
    "  at A.B (C d) [0x1] in <a>:0 \n",
    "x: a.b.CException: m\n",
    "\x1b[1;31m",
    "é\u2028\x00\x85",
]


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.text(max_size=400), st.lists(st.sampled_from(PIECES), max_size=60).map("".join)),
    st.sampled_from(["", "python", "go", "x"]),
)
def test_no_text_whatever_makes_it_fail(text: str, platform: str) -> None:
    for one in stack_text.parse(text, platform):
        assert isinstance(one.type, str)
        assert len(one.frames) <= 1000


HOSTILE = [
    *PIECES,
    "at ((((((((((",
    "at a:1:a:1:",
    "@@@@@@@@",
    " in in in ",
    "', '",
    "((((1(1(1",
    "a.a.a.a",
    " " * 50,
    ":1:1:1",
    '"File "',
    "[object] (A(code: 0): at at ",
    "#0 (1): ",
    "\tat " + "a" * 50,
    "0: a::",
    "A[b]",
    "error: Uncaught ",
]


HEADS = [
    "",
    "Traceback (most recent call last):\n",
    "    at f (a.js:1:2)\n",
    "goroutine 1 [running]:\n",
    "#0 {main}\n",
    "\tat a.b.C.d(C.java:1)\n",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("number", "piece"), list(enumerate(HOSTILE)), ids=range(len(HOSTILE)))
def test_a_megabyte_of_hostile_text_is_read_in_linear_time(number: int, piece: str) -> None:
    """What is quadratic takes hours here, and is ended by the limit of the test."""
    found = stack_text.parse(HEADS[number % len(HEADS)] + piece * ((1 << 20) // len(piece)))
    assert all(len(one.frames) <= 1000 for one in found)
