"""Places in programs, whatever way a frame of them came in."""

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from souk_monitor.events import Frame
from souk_monitor.frames import counting, place_of, places_of, stack_of
from souk_monitor.functions import short_type
from souk_monitor.in_app import NO_RULES, InAppRules, in_app, is_in_app
from souk_monitor.paths import _named, _plain, is_minified, place_of_path
from souk_monitor.stack_text import parse

PATHS = {
    "/srv/app/shop/orders.py": "shop/orders",
    "/srv/app/releases/20261126101500/orders.py": "orders",
    "/data/shop-1.2.3/orders.py": "orders",
    "/data/app/shop-1.2.3/orders.py": "shop/orders",
    "/app/main.py": "main",
    "/srv/myproject/main.py": "main",
    "/srv/cart/models.py": "cart/models",
    "/app/cart/models.py": "cart/models",
    "/srv/order/current/models.py": "models",
    "/Users/node/src/cart/index.js": "cart/index",
    "/usr/src/order/index.js": "order/index",
    "/var/www/routes/web.php": "routes/web",
    "/var/www/html/routes/web.php": "routes/web",
    "/app/hooks/use-CartItem.js": "hooks/use-CartItem",
    "/app/db/fetch-getOrder.js": "db/fetch-getOrder",
    "/app/jobs/job-k8s-sync.js": "jobs/job-k8s-sync",
    "/app/routes/api-v2-order.js": "routes/api-v2-order",
    "/app/test/cart.e2e-spec.ts": "test/cart.e2e-spec",
    "/app/src/chunks/loadText.js": "loadText",
    "/app/themes/theme-blue/index.js": "theme-blue/index",
    "https://shop.example/bundles/cart.php": "cart",
    "https://cdn.example/npm/vue@3": "npm/vue@3",
    "/srv/shop-blue/main.py": "main",
    "/Users/bob/Documents/projects/shop/src/main.py": "main",
    "/var/www/shop/releases/20261126101500/app/models/cart.rb": "models/cart",
    "/nix/store/0c1d2e3f-shop-1.2/lib/main.rb": "main",
    "C:\\Users\\bob\\source\\repos\\shop\\src\\main.js": "main",
    "D:\\shop\\main.js": "main",
    "file:///C:/inetpub/shop/cart/main.js": "cart/main",
    "/srv/app/shop-pr-12/main.py": "shop/main",
    "/app/packages/cart/src/index.js": "cart/index",
    "/usr/src/app/apps/cart/src/main.ts": "cart/main",
    "cart/src/main.py": "cart/main",
    "/app/packages/@shop/cart/src/http/handlers/index.js": "cart/handlers/index",
    "/app/packages/cart/src/main/index.js": "cart/index",
    "/app/packages/cart/handlers/index.js": "handlers/index",
    "webpack:///./packages/cart/src/index.js": "cart/index",
    "https://shop.example/packages/cart/src/index.js": "cart/index",
    "https://cdn.shop.example/build-77/static/js/cart.js": "cart",
    "/app/__init__.py": "__init__",
    "C:\\deploy\\app\\shop\\orders.py": "shop/orders",
    "/srv/app/shop/__init__.py": "shop",
    "shop/orders/__init__.py": "shop/orders",
    "https://cdn.shop.example/static/js/main.5f3a2b1c.js?v=12#x": "main",
    "https://shop.example/assets/index-BdQq_8x2.js": "index",
    "https://shop.example/_next/static/chunks/pages/cart-0a1b2c3d4e.js": "pages/cart",
    "https://shop.example/_next/static/chunks/pages/order/%5Bid%5D-0f3c1a2b3d4e5f60.js": "order/[id]",
    "https://shop.example/_next/static/chunks/src_app_cart_page_tsx_1f2e3d4c._.js": "src_app_cart_page_tsx",
    "https://shop.example/_next/static/chunks/%5Broot-of-the-server%5D__f265a1e2._.js": "[root-of-the-server]",
    "/srv/app/.next/server/chunks/[root-of-the-server]__f265a1e2._.js": "server/[root-of-the-server]",
    "https://shop.example/_next/static/chunks/4bd1b696-0f3c1a2b3d4e5f60.js": "*",
    "https://shop.example/_app/immutable/nodes/3.BxY_kq2Z.js": "nodes/*",
    "https://shop.example/_app/immutable/chunks/Dk2pQ9aZ.js": "*",
    "https://shop.example/assets/index-DiwrgTda.js": "index",
    "https://shop.example/main-K2DSHQZP.js": "main",
    "https://shop.example/js/shop-checkout.js": "shop-checkout",
    "https://shop.example/js/jquery.fancyBox.js": "jquery.fancyBox",
    "https://shop.example/components/CartItem.js": "components/CartItem",
    "https://shop.example/static/cart.facade.js": "cart.facade",
    "https://shop.example/products/red-shoes-42": "<page>",
    "https://shop.example/cart.html?from=mail": "<page>",
    "https://shop.example/": "<page>",
    "blob:https://shop.example/0b0e7f6e-0000-4000-8000-0a1b2c3d4e5f": "<blob>",
    "webpack:///./src/components/Cart.tsx": "components/Cart",
    "app:///index.bundle.js": "index",
    "file:///srv/app/shop/cart.mjs": "shop/cart",
    "https://shop.example/5f3a2b1c9d.js": "*",
    "12.chunk.js": "*",
    "/srv/app/api/v2/orders.js": "v2/orders",
    "orders.service.ts": "orders.service",
    "/srv/app/shop/orders/feedface.js": "orders/*",
    "/srv/shop_blue/orders/views.py": "orders/views",
    "/app/shop_blue/views.py": "shop/views",
    "/app/.next/server/chunks/kDuJpQaZ.js": "server/*",
    "/srv/app/packages/cart/src/pages/view.ts": "cart/pages/view",
    "shop/orders.py?debug": "shop/orders",
    "/tmp/ipykernel_1/shop/views.py": "<notebook>",
    "/tmp/ipykernel_123/456.py": "<notebook>",
    "<ipython-input-12-abc>": "<notebook>",
    "<string>": "<string>",
    "": "",
}


@pytest.mark.parametrize(("path", "place"), list(PATHS.items()))
def test_a_path_names_a_place_wherever_it_is_installed(path: str, place: str) -> None:
    assert place_of_path(path) == place


FOLDERS = (
    *(
        "srv",
        "opt",
        "home",
        "bob",
        "usr",
        "local",
        "src",
        "app",
        "apps",
        "packages",
        "nix",
        "store",
        "private",
        "var",
        "www",
        "code",
    ),
    *(
        "shop",
        "order_items",
        "shop_blue",
        "x_canary",
        "feedfacade",
        "releases",
        "42",
        "v1.2",
        "_app/immutable/nodes",
        "ipykernel_1",
    ),
)
FILES = (
    *("main.py", "views.py", "order_items.ts", "checkout.js", "__init__.py", "a.min.js", "cart.py?x"),
    *("feedfacade.js", "x_feedface.js", "kDuJpQaZ.js"),
)


def test_most_paths_are_placed_by_their_end_as_by_a_look_at_the_whole() -> None:
    chance, by_end = random.Random(1), 0
    for _ in range(20_000):
        folders = chance.choices(FOLDERS, k=chance.randrange(6))
        path = chance.choice(("/", "/", "", "./", "C:/", "app:///")) + "/".join((*folders, chance.choice(FILES)))
        by_end += _plain(path) != ""
        assert place_of_path(path) == _named(path)[0], path
    assert by_end > 500


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["1.", "1.2-", "_", "-a", "src/", "/apps", "a1"])
def test_a_hostile_path_is_read_in_linear_time(piece: str) -> None:
    """What is quadratic takes a quarter of a second for each."""
    for number in range(200):
        assert place_of_path(f"{number}/{piece * (900 // len(piece))}!.js")


PLACES = [
    ("python", Frame(function="place", module="shop.orders", abs_path="/srv/app/shop/orders.py"), ("shop/orders", "place")),
    ("python", Frame(function="f.<locals>.place", module="shop.orders"), ("shop/orders", "place")),
    ("python", Frame(function="place", module="__main__", file="main.py"), ("main", "place")),
    ("javascript", Frame(function="async Cart.add [as put]", file="/srv/app/shop/cart.js"), ("shop/cart", "Cart.add")),
    ("javascript", Frame(function="Cart.add", file="https://shop.example/shop/cart.js"), ("shop/cart", "add")),
    ("javascript", Frame(function="Cart.#add", file="file:///srv/app/shop/cart.mjs"), ("shop/cart", "Cart.add")),
    ("javascript", Frame(function="Object.add", file="/srv/app/shop/cart.js"), ("shop/cart", "add")),
    ("javascript", Frame(function="new Cart", file="/srv/app/shop/cart.js"), ("shop/cart", "Cart")),
    ("javascript", Frame(function="Cart.<anonymous>", file="/srv/app/shop/cart.js"), ("shop/cart", "")),
    ("javascript", Frame(function="Cart.add", file="/srv/app/server/chunks/cart-DiwrgTda.js"), ("server/cart", "Cart.add")),
    ("javascript", Frame(function="Q.add", file="/srv/app/shop/cart.5f3a2b1c.js"), ("shop/cart", "")),
    ("javascript", Frame(function="place/<", file="/srv/app/shop/cart.js"), ("shop/cart", "")),
    ("javascript", Frame(function="Object.<anonymous>", file="/srv/app/shop/cart.js"), ("shop/cart", "")),
    ("java", Frame(function="lambda$place$0", module="com.acme.Orders$1"), ("com.acme.Orders", "lambda$place")),
    ("java", Frame(function="place", module="com.acme.Orders$$EnhancerBySpringCGLIB$$1f2e"), ("com.acme.Orders", "place")),
    ("go", Frame(function="github.com/acme/shop/orders.(*Cart).Add"), ("github.com/acme/shop/orders", "Cart.Add")),
    ("go", Frame(function="Map[...].func1.2", module="main"), ("main", "Map.func")),
    ("csharp", Frame(function="MoveNext", module="Shop.Orders+<PlaceAsync>d__3"), ("Shop.Orders", "PlaceAsync")),
    ("csharp", Frame(function="<Main>b__1", module="Shop.Program.<>c__DisplayClass0_0"), ("Shop.Program", "Main")),
    ("csharp", Frame(function="PlaceAsync { <lambda> }", module="Shop.Orders`1"), ("Shop.Orders", "PlaceAsync")),
    ("csharp", Frame(function=".ctor", module="Shop.Orders"), ("Shop.Orders", ".ctor")),
    (
        "ruby",
        Frame(function="block (2 levels) in Shop::Orders#place", abs_path="/srv/app/shop/orders.rb"),
        ("shop/orders", "Shop::Orders#place"),
    ),
    (
        "ruby",
        Frame(function="place", module="Shop::Orders", abs_path="/srv/app/shop/orders.rb"),
        ("shop/orders", "Shop::Orders#place"),
    ),
    ("ruby", Frame(function="Shop::Orders.open", abs_path="/srv/app/shop/orders.rb"), ("shop/orders", "Shop::Orders.open")),
    ("ruby", Frame(function="Object#place", abs_path="/srv/app/shop/orders.rb"), ("shop/orders", "place")),
    ("ruby", Frame(function="rescue in place", abs_path="/srv/app/shop/orders.rb"), ("shop/orders", "place")),
    ("php", Frame(function="Shop\\Orders->place"), ("Shop\\Orders", "place")),
    ("php", Frame(function="class@anonymous\x00/var/www/dummy.php0x7190ad3c35cf::run"), ("class@anonymous", "run")),
    ("php", Frame(function="Shop\\{closure}", file="/srv/app/shop/a.php"), ("shop/a", "{closure}")),
    ("rust", Frame(function="shop::orders::place::{{closure}}::h0123456789abcdef"), ("shop::orders", "place")),
    ("rust", Frame(function="<shop::Cart as shop::Sell>::sell"), ("shop::Cart", "sell")),
    ("native", Frame(function="-[Cart(Shop) add:to:]"), ("", "Cart add:to:")),
    ("native", Frame(function="shop::Cart<int>::add(std::string const&) const [clone .cold]"), ("", "shop::Cart::add")),
    ("native", Frame(function="(anonymous namespace)::place(int)"), ("", "place")),
    ("native", Frame(function="closure #1 in Cart.add(item:)"), ("", "Cart.add")),
    ("native", Frame(package="/data/app/libshop.so"), ("app/libshop", "")),
    ("", Frame(function="place", file="/srv/app/shop/a.zig"), ("shop/a", "place")),
]


@pytest.mark.parametrize(("family", "frame", "place"), PLACES, ids=range(len(PLACES)))
def test_a_frame_has_one_place_in_all_its_forms(family: str, frame: Frame, place: tuple[str, str]) -> None:
    found = place_of(frame, family)
    assert found == (place if family != "native" or place[0] == "" else found)
    assert found[1] == place[1]


LIBRARIES = [
    ("python", Frame(abs_path="/srv/venv/lib/python3.11/site-packages/a.py")),
    ("python", Frame(abs_path="/usr/lib/python3.11/json/decoder.py")),
    ("python", Frame(abs_path="/usr/local/lib/python3.12/asyncio/runners.py")),
    ("python", Frame(abs_path="<frozen importlib._bootstrap>")),
    ("python", Frame(module="asyncio.tasks", file="asyncio/tasks.py")),
    ("javascript", Frame(file="/srv/app/node_modules/a/b.js")),
    ("javascript", Frame(file="node:internal/process/task_queues")),
    ("javascript", Frame(function="Array.map", file="<anonymous>")),
    ("java", Frame(module="java.util.ArrayList")),
    ("java", Frame(module="org.springframework.web.Servlet")),
    ("java", Frame(module="kotlinx.coroutines.Dispatched")),
    ("go", Frame(module="net/http", function="(*conn).serve")),
    ("go", Frame(function="runtime.goexit")),
    ("go", Frame(module="github.com/lib/pq", abs_path="/usr/go/pkg/mod/github.com/lib/pq@v1/conn.go")),
    ("go", Frame(module="github.com/lib/pq", abs_path="/srv/app/vendor/github.com/lib/pq/conn.go")),
    ("csharp", Frame(module="System.Linq.Enumerable")),
    ("csharp", Frame(module="Microsoft.AspNetCore.Mvc")),
    ("ruby", Frame(abs_path="/usr/lib/ruby/3.1.0/net/http.rb")),
    ("ruby", Frame(abs_path="/usr/local/bundle/gems/rack-3/lib/rack.rb")),
    ("php", Frame(abs_path="/srv/app/vendor/laravel/framework/src/Illuminate/Pipeline.php")),
    ("rust", Frame(function="core::panicking::panic_fmt")),
    ("native", Frame(package="/usr/lib/system/libdispatch.dylib")),
    ("native", Frame(package="UIKitCore")),
]
OWN = [
    ("python", Frame(abs_path="/srv/app/shop/orders.py")),
    ("python", Frame(abs_path="main.py")),
    ("python", Frame(module="shop.orders", file="shop/orders.py")),
    ("javascript", Frame(file="https://shop.example/vendor.js")),
    ("javascript", Frame(file="file:///srv/app/shop/cart.mjs")),
    ("java", Frame(module="com.acme.shop.Orders")),
    ("go", Frame(module="main", function="main")),
    ("go", Frame(function="github.com/acme/shop/orders.Place")),
    ("csharp", Frame(module="SystemOfShops.Orders")),
    ("ruby", Frame(abs_path="/srv/app/lib/orders.rb")),
    ("php", Frame(abs_path="/srv/app/src/Orders.php")),
    ("rust", Frame(function="shop::orders::place")),
    ("native", Frame(package="/private/var/containers/Bundle/Shop.app/Shop")),
]


@pytest.mark.parametrize(("family", "frame"), LIBRARIES, ids=range(len(LIBRARIES)))
def test_frames_of_libraries_are_known(family: str, frame: Frame) -> None:
    assert is_in_app(frame, family) == (False, "the rules of its language")


@pytest.mark.parametrize(("family", "frame"), OWN, ids=range(len(OWN)))
def test_frames_of_the_application_are_known(family: str, frame: Frame) -> None:
    assert is_in_app(frame, family) == (True, "the rules of its language")


def test_a_whole_stack_is_told_as_its_frames_are_one_by_one() -> None:
    broken = Frame(abs_path="/srv/shop\nmore/site-packages/x.py", module="shop")
    for family in {family for family, _ in LIBRARIES}:
        stack = [frame for _, frame in (*LIBRARIES, *OWN)]
        for frames in (stack, [broken, *stack], [*stack, replace(stack[0], in_app=True)], []):
            assert in_app(frames, family) == [is_in_app(frame, family)[0] for frame in frames]


def test_the_reporter_knows_better_than_the_rules() -> None:
    assert is_in_app(Frame(abs_path="/srv/app/shop.py", in_app=False), "python") == (False, "the reporter")
    assert is_in_app(Frame(module="java.util.List", in_app=True), "java") == (True, "the reporter")


def test_the_way_into_a_program_does_not_count_but_where_it_is_all() -> None:
    entry = Frame(function="<module>", abs_path="/srv/app/shop/main.py")
    place = Frame(function="place", abs_path="/srv/app/shop/orders.py")
    assert counting(stack_of([entry, place], "python")) == [("shop/orders", "place")]
    assert counting(stack_of([entry], "python")) == [("shop/main", "<module>")]


@pytest.mark.parametrize("name", ["<listcomp>", "place.<locals>.<listcomp>"])
def test_a_comprehension_does_not_count_for_newer_interpreters_have_no_frame_for_it(name: str) -> None:
    place = Frame(function="place", abs_path="/srv/app/shop/orders.py")
    within = Frame(function=name, abs_path="/srv/app/shop/orders.py")
    assert counting(stack_of([place, within], "python")) == counting(stack_of([place], "python"))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("sqlalchemy.exc.OperationalError", "OperationalError"),
        ("f.<locals>.LocalError", "LocalError"),
        ("com.acme.Orders$StockException", "StockException"),
        ("*errors.errorString", "errorString"),
        ("Shop\\StockError", "StockError"),
        ("Shop::StockError", "StockError"),
        ("System.Collections.Generic.Odd`1[T]", "Odd"),
        ("", ""),
    ],
)
def test_a_type_is_told_without_its_module(name: str, short: str) -> None:
    assert short_type(name) == short


@pytest.mark.parametrize(
    "other",
    [
        {"function": "pay"},
        {"module": "shop.till"},
        {"abs_path": "/srv/app/shop/till.py"},
        {"file": "shop/till.py"},
        {"in_app": False},
    ],
)
def test_a_stack_that_was_seen_before_counts_as_it_did_and_another_by_itself(other: dict[str, Any]):
    first = Frame("place", "shop.orders", "shop/orders.py", "/srv/app/shop/orders.py", in_app=True)
    last = Frame("add", "shop.cart", "shop/cart.py")
    stacks = [(first, last), (replace(first, **other), last)]
    rules = InAppRules.of(("-shop.orders",))
    for _ in range(3):
        for stack, family, said in itertools.product(stacks, ("python", "ruby"), (NO_RULES, rules)):
            assert list(places_of(stack, family, said)) == counting(stack_of(stack, family, said))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://shop.example/assets/index-BdQq_8x2.js", True),
        ("https://shop.example/main.js", True),
        ("app:///index.android.bundle", True),
        ("webpack:///./src/cart/index.ts", False),
        ("app:///dist/cart/index.js", False),
        ("https://shop.example/cart/index.js", False),
        ("/app/dist/main.js", False),
    ],
)
def test_what_is_built_by_a_bundler_is_known_by_where_it_comes_from(path: str, expected: bool) -> None:
    assert is_minified(path) is expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Q.checkout", "/var/task/index.js"), ("Z.checkout", "/var/task/index.js")),
        (("_Cart.create", "/app/cart/store.js"), ("Cart2.create", "/app/cart/store.js")),
        (("Cart.restore", "app:///dist/cart/store.js"), ("Cart.restore", "/app/dist/cart/store.js")),
    ],
)
def test_a_class_is_one_whatever_builds_and_reports_it(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (place_of(Frame(function=function, abs_path=path), "javascript") for function, path in (one, other))
    assert first == second


def test_methods_of_rubys_own_classes_have_the_name_that_they_had_before_it_said_classes() -> None:
    assert place_of(Frame(function="Array#each", file="/app/m/cart.rb"), "ruby") == place_of(
        Frame(function="each", file="/app/m/cart.rb"), "ruby"
    )


def frame_of(platform: str, function: str, module: str = "", path: str = "") -> tuple[str, str]:
    return place_of(Frame(function, module, path, path), platform)


@pytest.mark.parametrize(
    ("platform", "functions"),
    {
        "Rails' templates": (
            "ruby",
            ["_app_views_show_html_erb___6592966154577878347_92450", "_app_views_show_html_erb__17878347001_8"],
        ),
        "handlers in blocks of Ruby": ("ruby", ["rescue in block in place", "place"]),
        "lambdas of minimal APIs": (
            "csharp",
            ["<<Main>$>b__0_0", "<<Main>$>b__0_1", "<<<Main>$>b__0_1>d", "<<<Main>$>b__0_7>d__2"],
        ),
        "async lambdas": ("csharp", ["<Verify>b__0", "<<Verify>b__0>d"]),
        "lambdas of C++": (
            "native",
            ["place()::{lambda(int)#1}::operator()(int) const", "place()::{lambda(long)#2}::operator()(int) const"],
        ),
        "blocks of Objective-C": ("native", ["__32-[Cart add:]_block_invoke", "__32-[Cart add:]_block_invoke_2", "-[Cart add:]"]),
        "blocks of C": ("native", ["place_block_invoke", "place_block_invoke_2"]),
        "anonymous functions of Erlang": ("elixir", ["-place/2-fun-0-", "-place/2-fun-1-", "place/2"]),
        "generics of Rust": ("rust", ["shop::place", "shop::place::<u32>", "shop[1f2e3d4c5b6a7980]::place"]),
    }.values(),
)
def test_what_is_generated_anew_is_no_part_of_a_function(platform: str, functions: list[str]) -> None:
    module = "Program" if platform == "csharp" else ""
    assert len({frame_of(platform, function, module, "/srv/shop/shop.x") for function in functions}) == 1


@pytest.mark.parametrize(
    ("platform", "modules"),
    {
        "proxies of Hibernate": (
            "java",
            ["com.acme.Seller", "com.acme.Seller$HibernateProxy$TeXOp0Yq", "com.acme.Seller$ByteBuddy$a1"],
        ),
        "closures of Groovy": ("java", ["com.acme.Orders$_place_closure1", "com.acme.Orders$_place_closure2"]),
        "containers of Symfony": ("php", [r"ContainerAbC1234\App", r"ContainerXyz9876\App"]),
        "templates of Twig": ("php", ["__TwigTemplate_" + "0a" * 16, "__TwigTemplate_" + "1b" * 16]),
        "lazy objects": ("php", ["SellerGhost0a1b2c3", "SellerGhost4d5e6f7"]),
    }.values(),
)
def test_what_is_generated_anew_is_no_part_of_a_class(platform: str, modules: list[str]) -> None:
    assert len({frame_of(platform, "load", module) for module in modules}) == 1


def test_functions_in_a_method_have_their_own_names() -> None:
    assert frame_of("csharp", "<Place>g__Check|0_0", "Shop.Orders") == ("Shop.Orders", "Check")


@pytest.mark.parametrize(
    "frame", [Frame("lambda_method143", in_app=True), Frame("UpdateDelegate", "System.Dynamic.CallSite"), Frame("CallSite.Target")]
)
def test_what_the_runtime_compiles_is_none_of_the_program(frame: Frame) -> None:
    own = Frame("Place", "Shop.Orders", "Orders.cs", in_app=frame.in_app)
    assert places_of((own, frame), "csharp") == (("Shop.Orders", "Place"),)


def test_frameworks_of_elixir_and_dart_are_none_of_the_program() -> None:
    text = """** (KeyError) key :sku not found
    (stdlib 5.2) gen_server.erl:1095: :gen_server.try_handle_call/4
    (shop 0.1.0) lib/shop/orders.ex:12: anonymous fn/2 in Shop.Orders.place/2
    (elixir 1.16.0) lib/enum.ex:2528: Enum."-reduce/3-lists^foldl/2-0-"/3
    (phoenix 1.7.11) lib/phoenix/router.ex:484: Phoenix.Router.__call__/5
"""
    (raised,) = parse(text)
    told = Frame("Shop.Orders.place/2", "Elixir.Shop.Orders", "lib/shop/orders.ex")  # as Sentry's SDK says it
    assert places_of(raised.frames, "elixir") == places_of((told,), "elixir") == (("shop/orders", "place/2"),)
    text = """#0      Cart.add (package:shop/cart.dart:12:5)
#1      _InkResponseState.handleTap (package:flutter/src/material/ink_well.dart:1171:21)
#2      DioMixin.fetch (package:dio/src/dio_mixin.dart:507:7)
"""
    (raised,) = parse(text)
    assert [name for _, name in places_of(raised.frames, "dart")] == ["Cart.add"]


@pytest.mark.parametrize(
    ("path", "place"),
    {
        "/srv/shop/app/api/orders/[id]/route.js": "orders/route",
        "<decorator-gen-12>": "<decorator-gen>",
        "/srv/shop/app/(shop)/orders/(list)/page.js": "orders/page",
        "/srv/shop/src/routes/sellers/[seller]/[...rest]/+page.server.js": "sellers/+page.server",
        "/srv/shop/app/routes/sellers/$seller/edit.js": "sellers/edit",
    }.items(),
)
def test_parameters_of_routes_are_no_places(path: str, place: str) -> None:
    assert place_of_path(path) == place


def test_a_program_of_go_that_was_fetched_itself_is_its_own() -> None:
    """As `go install github.com/acme/shop@v1.4.2` builds it."""
    own = Frame("Place", "github.com/acme/shop", "", "github.com/acme/shop@v1.4.2/shop.go")
    library = Frame("Handler.ServeHTTP", "net/http", "", "net/http/server.go")
    assert places_of((library, own), "go") == (("github.com/acme/shop", "Place"),)
