"""Pairs of errors that are one issue, and pairs that are two: made at random, family by family, without the code that judges them.

An error is a dict of what a reporter sends: platform, message, and exceptions (causes first) with frames (the call made last last).
"""

import copy
import random
import uuid
from collections.abc import Callable
from typing import Any

Error = dict[str, Any]
Family = Callable[[random.Random, Error], "Error | tuple[Error, Error]"]
"""What becomes of an error; or two of it, where both are to differ from it."""

WORDS = [
    "cart",
    "order",
    "seller",
    "buyer",
    "basket",
    "stock",
    "price",
    "photo",
    "search",
    "review",
    "wallet",
    "refund",
    "parcel",
    "invoice",
    "voucher",
    "courier",
    "shelf",
    "label",
]
VERBS = [
    "place",
    "load",
    "find",
    "reserve",
    "charge",
    "refund",
    "publish",
    "resize",
    "count",
    "check",
    "merge",
    "split",
    "import",
    "export",
    "notify",
    "settle",
]
TYPES = {
    "python": ["ValueError", "KeyError", "LookupError", "RuntimeError", "StockError", "OrderError"],
    "node": ["TypeError", "RangeError", "StockError", "OrderError", "PaymentError"],
    "java": ["IllegalStateException", "StockException", "OrderException", "SQLException"],
    "go": ["*orders.StockError", "*orders.OrderError", "*net.OpError"],
    "ruby": ["KeyError", "ArgumentError", "StockError", "OrderError"],
    "javascript": ["TypeError", "RangeError", "CartError"],
}
LIBRARIES = {
    "python": ("/srv/venv/lib/python3.11/site-packages/django/core/handlers/{0}.py", "django.core.handlers.{0}"),
    "node": ("/srv/app/node_modules/express/lib/{0}.js", ""),
    "java": ("Dispatcher.java", "org.springframework.web.servlet.{0}"),
    "go": ("/usr/local/go/src/net/http/{0}.go", "net/http"),
    "ruby": ("/usr/local/bundle/gems/rack-3.1.8/lib/rack/{0}.rb", ""),
    "javascript": ("webpack:///./node_modules/react/lib/{0}.js", ""),
}
FAILED = {
    "python": [("gaierror", "[Errno -2] db-{}"), ("ConnectionRefusedError", "[Errno 111] {}"), ("ConnectionResetError", "{}")],
    "node": [
        ("Error", "connect ECONNREFUSED 10.0.0.{}:5432"),
        ("Error", "getaddrinfo ENOTFOUND db-{}.internal"),
        ("Error", "read ECONNRESET"),
        ("SocketError", "other side closed after {} bytes"),
    ],
    "java": [("ConnectException", "refused by 10.0.0.{}"), ("UnknownHostException", "db-{}"), ("SocketTimeoutException", "{} ms")],
    "ruby": [("Errno::ECONNREFUSED", "10.0.0.{}"), ("Socket::ResolutionError", "db-{}"), ("IO::TimeoutError", "{} ms")],
}
"""What fails within libraries, below what the application is told."""
TRIED = {
    "python": [
        *("KeyError", "AttributeError", "TypeError", "ValueError", "UnicodeDecodeError", "NotImplementedError", "ImportError"),
        *("ModuleNotFoundError", "queue.Empty", "queue.Full", "asyncio.QueueEmpty", "BlockingIOError", "ssl.SSLWantReadError"),
        *("ssl.SSLWantWriteError", "anyio.WouldBlock", "anyio.EndOfStream"),
    ],
    "ruby": ["KeyError", "IO::WaitReadable", "IO::WaitWritable", "IO::EAGAINWaitReadable", "OpenSSL::SSL::SSLErrorWaitReadable"],
}
"""What libraries try first, and how they wait."""
CLASSES = ["Cart", "Order", "Seller", "Basket"]
RECEIVERS = ["Object", "Module", "Function", "Proxy", "process", "global", "exports", "Timeout", "Socket"]
"""What V8 says that a function was called on, where that is no class of the program."""


def in_app_frame(chance: random.Random, platform: str, number: int) -> Error:
    """A frame of the application; none of one stack is like another."""
    word, other, verb = chance.choice(WORDS), chance.choice(WORDS), chance.choice(VERBS)
    line = chance.randint(1, 900)
    name = f"{verb}{'_' if platform == 'python' else ''}{other}{'abcdefgh'[number]}"
    if platform == "python":
        return {"function": name, "module": f"shop.{word}.views", "abs_path": f"/srv/app/shop/{word}/views.py", "line": line}
    if platform == "javascript":
        path = f"https://shop.example/shop/{word}.js"
        return {"function": name, "abs_path": path, "file": path, "line": line, "column": 3}
    if platform == "ruby":
        kind = chance.choice(CLASSES)
        return {"function": f"{kind}#{name}", "abs_path": f"/srv/app/lib/shop/{word}.rb", "line": line}
    if platform == "node":
        return {
            "function": chance.choice([name, f"{chance.choice(CLASSES)}.{name}"]),
            "abs_path": f"/srv/app/shop/{word}.js",
            "file": f"/srv/app/shop/{word}.js",
            "line": line,
            "column": 3,
        }
    if platform == "java":
        kind = word.title()
        return {"function": name, "module": f"com.acme.{other}.{kind}", "file": f"{kind}.java", "line": line}
    return {
        "function": f"(*{word.title()}).{name.title()}",
        "module": f"github.com/acme/{word}",
        "abs_path": f"/srv/{word}/a.go",
        "line": line,
    }


def library_frame(chance: random.Random, platform: str) -> Error:
    path, module = LIBRARIES[platform]
    word = chance.choice(WORDS)
    return {
        "function": chance.choice(VERBS),
        "module": module.format(word),
        "abs_path": path.format(word) if "/" in path else "",
        "file": path.format(word),
        "line": chance.randint(1, 900),
    }


def error(chance: random.Random, platform: str = "") -> Error:
    """Any error with a stack: library frames outside, then those of the application. Some came of another within libraries."""
    platform = platform or chance.choice(list(TYPES))
    frames = [library_frame(chance, platform) for _ in range(chance.randint(0, 4))]
    frames += [in_app_frame(chance, platform, number) for number in range(chance.randint(2, 6))]
    frames += [library_frame(chance, platform) for _ in range(chance.randint(0, 2))]
    kind = chance.choice(TYPES[platform])
    raised = {"type": kind, "value": f"no {chance.choice(WORDS)} of {chance.randint(1, 99)}", "frames": frames}
    within = [failed(chance, platform, chance.choice(FAILED[platform]))] if platform in FAILED and chance.random() < 0.4 else []
    return {"platform": platform, "exceptions": [*within, raised]}


def failed(chance: random.Random, platform: str, kind: tuple[str, str]) -> Error:
    """What happened within libraries alone."""
    frames = [library_frame(chance, platform) for _ in range(chance.randint(1, 3))]
    return {"type": kind[0], "value": kind[1].format(chance.randint(1, 254)), "frames": frames}


def frames_of(told: Error) -> list[Error]:
    return told["exceptions"][-1]["frames"]


def is_library(frame: Error) -> bool:
    path = frame.get("abs_path", "")
    return (
        "site-packages" in path
        or "node_modules" in path
        or "/usr/local/go/" in path
        or "/gems/" in path
        or "springframework" in frame.get("module", "")
    )


def own(told: Error) -> list[Error]:
    return [frame for frame in frames_of(told) if not is_library(frame)]


def other_lines(chance: random.Random, told: Error) -> Error:
    for frame in frames_of(told):
        frame["line"] = chance.randint(1, 5000)
        frame["column"] = chance.randint(1, 200)
    return told


def other_release_path(chance: random.Random, told: Error) -> Error:
    root = chance.choice(
        [
            "/srv/app/releases/20261126101500",
            "/opt/app/current",
            "/app",
            "C:\\deploy\\app",
            "/data/deploy/app/v1.22.3",
            "/var/www/a1b2c3d4",
        ]
    )
    for frame in own(told):
        for field in ("abs_path", "file"):
            if frame.get(field, "").startswith("/srv/app"):
                path = root + frame[field].removeprefix("/srv/app")
                frame[field] = path.replace("/", "\\") if root.startswith("C:") else path
    return told


ROOTS = [
    "/app",
    "/srv/app",
    "/srv/myproject",
    "/srv/shop-blue",
    "/srv/shop-green/current",
    "/opt/shop-pr-{}",
    "/opt/apps/shop/releases/{}",
    "/usr/src/app",
    "/var/www/shop-v1.{}",
    "/var/task",
    "/data/deploy/shop",
    "C:\\shop",
    "C:\\inetpub\\shop-{}",
]
EXTENSIONS = {"python": ".py", "node": ".js", "ruby": ".rb"}


def moved(chance: random.Random, told: Error) -> Error:
    """The same program, deployed to another folder."""
    root = chance.choice(ROOTS).format(chance.randint(1, 999))
    for frame in own(told):
        path = root + frame["abs_path"].removeprefix("/srv/app")
        frame["abs_path"] = frame["file"] = path.replace("/", "\\") if root.startswith("C:") else path
    return told


def deployed_elsewhere(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """Some of its files are in the root of the program: those that it is started by."""
    for frame in own(told):
        if chance.random() < 0.5:
            frame["abs_path"] = f"/srv/app/{chance.choice(['main', 'server', 'worker', 'manage'])}{EXTENSIONS[told['platform']]}"
    return moved(chance, copy.deepcopy(told)), moved(chance, told)


def another_package(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """The same file of another package, in a folder that every package has."""
    base = chance.choice(["/srv/app/", "/app/", "/app/packages/", "/usr/src/app/apps/", "packages/", "webpack:///./packages/", ""])
    within = chance.choice(["src", "lib", "src/main", "dist"])
    if "packages/" in base or "apps/" in base:
        within += chance.choice(["", "/handlers", "/api/v1/routes"])
    both = told, copy.deepcopy(told)
    at = chance.randrange(len(own(told)))
    file = chance.choice(["index", "main", "views"]) + EXTENSIONS[told["platform"]]
    for one, package in zip(both, chance.sample(WORDS, 2), strict=True):
        frame = own(one)[at]
        frame["abs_path"] = frame["file"] = f"{base}{package}/{within}/{file}"
        frame["module"] = ""
    return both


def base64url(chance: random.Random, *, letters_alone: bool = False) -> str:
    """Eight letters of base64, and not all small: those are a word."""
    capitals, small = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
    mark = chance.choices(capitals + small + ("" if letters_alone else "0123456789-_"), k=8)
    mark[chance.randint(1, 7)] = chance.choice(capitals)
    return "".join(mark)


def mark_of(chance: random.Random, lengths: list[int]) -> str:
    """A hash in hexadecimal, sometimes without digits."""
    digits = chance.choice(["0123456789abcdef", "abcdef"])
    return "".join(chance.choices(digits, k=chance.choice(lengths)))


BUNDLES: list[Callable[[random.Random, str], str]] = [
    lambda chance, name: f"static/shop/{name}.{mark_of(chance, [8, 16, 20])}.js",
    lambda chance, name: f"static/shop/{name}.{mark_of(chance, [8, 20])}.chunk.js",
    lambda chance, name: f"_next/static/chunks/shop/{name}-{mark_of(chance, [16])}.js",
    lambda chance, name: f"_next/static/chunks/shop/{name}_{mark_of(chance, [8])}._.js",
    lambda chance, name: f"assets/shop/{name}-{base64url(chance)}.js",
    lambda chance, name: f"assets/shop/{name}-{base64url(chance, letters_alone=True)}.js",
    lambda chance, name: f"_app/immutable/shop/{name}.{base64url(chance)}.js",
    lambda chance, name: f"_astro/shop/{name}.{base64url(chance, letters_alone=True)}.js",
]
NAMELESS: list[Callable[[random.Random], str]] = [
    lambda chance: f"_app/immutable/nodes/{chance.randint(0, 40)}.{base64url(chance)}.js",
    lambda chance: f"_app/immutable/chunks/{base64url(chance)}.js",
    lambda chance: f"_nuxt/{base64url(chance, letters_alone=True)}.js",
    lambda chance: f"_next/static/chunks/{mark_of(chance, [16])}.js",
    lambda chance: f"static/js/{chance.randint(1, 999)}.{mark_of(chance, [8, 20])}.chunk.js",
    lambda chance: f"_next/static/chunks/_{mark_of(chance, [8])}._.js",
]
PLAIN = ["bundle.js", "static/main.js", "js/app.js", "vendor.js"]
HOSTS = ["https://cdn1.shop.example", "https://shop.example:8443", "http://10.0.0.7"]


def served(chance: random.Random, path: str) -> str:
    return f"{chance.choice(HOSTS)}/{path}{chance.choice(['', '?v=12', '?0a1b2c'])}"


def other_bundle(chance: random.Random, told: Error) -> Error:
    """The same bundles of another build, from another host."""
    bundler = chance.choice(BUNDLES)
    for frame in own(told):
        name = frame["abs_path"].rpartition("/")[2].removesuffix(".js")
        frame["abs_path"] = frame["file"] = served(chance, bundler(chance, name))
    return told


def other_chunk(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """Two builds, by bundlers that name a file by its hash alone."""
    builds = told, copy.deepcopy(told)
    for frames in zip(*map(own, builds), strict=True):
        bundler = chance.choice(NAMELESS)
        for frame in frames:
            frame["abs_path"] = frame["file"] = served(chance, bundler(chance))
    return builds


def other_short_names(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """Two builds, in which a minifier has named some functions."""
    builds = told, copy.deepcopy(told)
    for number in range(chance.randint(1, 4)):
        hashed = chance.choice([*BUNDLES, lambda _, name: f"static/{name}.min.js", lambda _, __: chance.choice(PLAIN)])
        for build in builds:
            path = served(chance, hashed(chance, "cart"))
            name = "".join(chance.choices("abcdefghijkABCDEFGHIJK$_", k=chance.randint(1, 3)))
            frames_of(build).insert(number, {"function": chance.choice(["{}", "{}.{}"]).format(name, name), "abs_path": path})
    return builds


def other_page(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """A script within the page of a product, and of another."""
    pages = told, copy.deepcopy(told)
    for page in pages:
        path = chance.choice(["products/{}-{}", "{}/{}.html", "{}", ""]).format(chance.choice(WORDS), chance.choice(WORDS))
        frame = own(page)[0]
        frame["abs_path"] = frame["file"] = served(chance, path)
    return pages


def nameless(chance: random.Random, told: Error) -> Error:
    """It happened in functions without a name."""
    for frame in own(told):
        frame["function"] = chance.choice(["", "?", "<anonymous>", "Object.<anonymous>", "Cart.<anonymous>"])
    return told


WORDED = [
    [
        ("TypeError", "Cannot read properties of undefined (reading '{name}')"),
        ("TypeError", "Cannot read property '{name}' of undefined"),
        ("TypeError", "Cannot set properties of undefined (setting '{name}')"),
        ("TypeError", "Cannot destructure property '{name}' of '{local}' as it is undefined."),
        ("TypeError", 'can\'t access property "{name}", {local} is undefined'),
        ("TypeError", "undefined is not an object (evaluating '{local}.{name}')"),
        ("TypeError", "undefined is not an object (evaluating '{local}.find((({local})=>{local}.{other}===1)).{name} = 1')"),
    ],
    [
        ("TypeError", "{local}.{name} is not a function"),
        ("TypeError", "(0 , {local}.{name}) is not a function"),
        ("TypeError", "{local}(...).{name} is not a function"),
        ("TypeError", "(intermediate value).{name} is not a function"),
        ("TypeError", "{local}.{name} is not a function. (In '{local}.{name}({local}.{other})', '{local}.{name}' is undefined)"),
        ("TypeError", "undefined is not a function (near '...{local}.{name}...')"),
    ],
    [
        ("TypeError", "{local}.{name} is not a constructor"),
        ("TypeError", "undefined is not a constructor (evaluating 'new {local}.{name}({local})')"),
    ],
    [
        ("TypeError", "{local}.{name} is not iterable"),
        ("TypeError", "{local}(...).{name} is not iterable"),
    ],
    [
        ("ReferenceError", "{name} is not defined"),
        ("ReferenceError", "Can't find variable: {name}"),
    ],
    [
        ("ReferenceError", "Cannot access '{name}' before initialization"),
        ("ReferenceError", "can't access lexical declaration '{name}' before initialization"),
    ],
]
"""What engines say of one failure each, of a name, local variables and another name."""
UNNAMED = [
    [
        ("TypeError", "Cannot read properties of undefined (reading 'id')"),
        ("TypeError", 'can\'t access property "id", {local} is undefined'),
        ("TypeError", "undefined is not an object (evaluating '{local}.id')"),
        ("TypeError", "undefined is not an object (evaluating '{local}.items[{local}]')"),
        ("TypeError", "{local} is undefined"),
    ],
    [
        ("TypeError", "Cannot read properties of null (reading 'id')"),
        ("TypeError", "can't access property 0, {local} is null"),
        ("TypeError", "null is not an object (evaluating '{local}.id')"),
        ("TypeError", "{local} is null"),
    ],
    [
        ("TypeError", "{local}.map is not a function"),
        ("TypeError", "{local} is not a function"),
        ("TypeError", "{local}.map is not a function. (In '{local}.map(({local})=>{local}.id)', '{local}.map' is undefined)"),
        ("TypeError", "object null is not a function"),
    ],
    [("ReferenceError", "{local} is not defined"), ("ReferenceError", "Can't find variable: {local}")],
    [
        ("ReferenceError", "Cannot access '{local}' before initialization"),
        ("ReferenceError", "can't access lexical declaration '{local}' before initialization"),
        ("ReferenceError", "Cannot access uninitialized variable."),
    ],
    [
        ("TypeError", "{local} is not iterable"),
        ("TypeError", "undefined is not iterable (cannot read property Symbol(Symbol.iterator))"),
        ("TypeError", "Spread syntax requires ...iterable[Symbol.iterator] to be a function"),
    ],
    [
        ("RangeError", "Maximum call stack size exceeded"),
        ("RangeError", "Maximum call stack size exceeded."),
        ("InternalError", "too much recursion"),
    ],
    [
        ("SyntaxError", "Unexpected token < in JSON at position 0"),
        ("SyntaxError", "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON"),
        ("SyntaxError", "Unexpected end of JSON input"),
        ("SyntaxError", "JSON.parse: unexpected character at line 1 column 1 of the JSON data"),
        ("SyntaxError", "JSON Parse error: Unrecognized token '<'"),
    ],
    [
        ("TypeError", "Failed to fetch"),
        ("TypeError", "NetworkError when attempting to fetch resource."),
        ("TypeError", "Load failed"),
    ],
    [
        ("TypeError", "Failed to fetch dynamically imported module: https://shop.example/assets/{local}-BdQq_8x2.js"),
        ("TypeError", "error loading dynamically imported module: https://shop.example/assets/{local}-BdQq_8x2.js"),
        ("TypeError", "Importing a module script failed."),
    ],
]
"""What they say of one failure each where no name is one that a person gave."""


def in_engine(chance: random.Random, told: Error, wordings: list[tuple[str, str]], name: str) -> Error:
    """Without names of functions, by any engine and of any build."""
    told = nameless(chance, copy.deepcopy(told))
    for frame in own(told):
        frame["abs_path"] = frame["file"] = served(chance, f"assets/index-{base64url(chance)}.js")
    last = told["exceptions"][-1]
    last["type"], text = chance.choice(wordings)
    local = "".join(chance.choices("abcdefghijkABCDEFGHIJK$_", k=chance.randint(1, 3)))
    last["value"] = text.format(name=name, local=local, other=chance.choice(WORDS))
    return told


def other_engine(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """One failure of a name, and one of none, as two engines and two builds say it."""
    wordings, name = chance.choice(WORDED + UNNAMED), chance.choice([*VERBS, "$root", "_items"])
    return in_engine(chance, told, wordings, name), in_engine(chance, told, wordings, name)


def another_failure_in_engine(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """Another failure, or the same of another name."""
    first, second = chance.sample(WORDED + UNNAMED, 2)
    names = chance.sample(VERBS, 2)
    if chance.random() < 0.5:
        first = second = chance.choice(WORDED)
    return in_engine(chance, told, first, names[0]), in_engine(chance, told, second, names[1])


def told_by_message(chance: random.Random, told: Error) -> Error:
    """It has no stack, or none that has a name."""
    told["exceptions"] = told["exceptions"][-1:]
    if told["platform"] in ("node", "javascript") and chance.random() < 0.5:
        return nameless(chance, told)
    frames_of(told).clear()
    return told


def other_values(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """The same sentence with other values, of an exception with a stack and without one."""
    sentence = f"{chance.choice(WORDS)} has no {chance.choice(WORDS)} for {{}} here"
    first = told if chance.random() < 0.3 else told_by_message(chance, told)
    second = copy.deepcopy(first)
    for one in (first, second):
        made = chance.choice([make for name, make in VALUES.items() if name != "list"])
        one["exceptions"][-1]["value"] = sentence.format(made(chance))
    return first, second


def another_message(chance: random.Random, told: Error) -> tuple[Error, Error]:
    """Another sentence, where the stack says nothing."""
    first = told_by_message(chance, told)
    second = copy.deepcopy(first)
    for one, (word, verb) in zip((first, second), zip(chance.sample(WORDS, 2), chance.sample(VERBS, 2), strict=True), strict=True):
        one["exceptions"][-1]["value"] = f"cannot {verb} {word} {chance.randint(1, 99)}"
    return first, second


def deeper_recursion(chance: random.Random, told: Error) -> Error:
    frames = frames_of(told)
    at = chance.choice([index for index, frame in enumerate(frames) if not is_library(frame)])
    length = chance.randint(1, min(3, sum(not is_library(frame) for frame in frames[at:])))
    cycle = [frame for frame in frames[at : at + length] if not is_library(frame)]
    for _ in range(chance.choice([1, 2, 7, 60])):
        frames[at + len(cycle) : at + len(cycle)] = copy.deepcopy(cycle)
    return told


def other_wrapper(chance: random.Random, told: Error) -> Error:
    """The same cause, wrapped by who called; in Python a cause has only the frames below the one who caught it."""
    cause = told["exceptions"][-1]
    frames = cause["frames"]
    catcher = next(index for index, frame in enumerate(frames) if not is_library(frame))
    outer = copy.deepcopy(frames[: catcher + 1])
    outer[-1]["line"] += 1
    if told["platform"] == "python":
        cause["frames"] = frames[catcher:]
    kind = chance.choice(["ServiceError", "RuntimeException", "HandlerError"])
    told["exceptions"].append({"type": kind, "value": f"cannot {chance.choice(VERBS)}", "frames": outer})
    return told


def kind_of_cause(told: Error) -> tuple[str, str]:
    """Which of FAILED an error came of."""
    cause = told["exceptions"][0]
    said = cause["value"].split()[:2]
    return next(
        one
        for one in FAILED[told["platform"]]
        if one[0] == cause["type"] and (cause["type"] != "Error" or one[1].split()[:2] == said)
    )


def other_way_of_failing(chance: random.Random, told: Error) -> Error:
    """The same failure within libraries, of other ids, told by more or fewer of them, for one address or for each of several."""
    platform, raised = told["platform"], told["exceptions"][-1]
    if len(told["exceptions"]) == 1:
        return told
    kind = kind_of_cause(told)
    cause = failed(chance, platform, kind)
    between = [failed(chance, platform, one) for one in [("PoolError", "no connection"), ("ConnectError", "cannot")]]
    told["exceptions"] = [cause, *between[: chance.randint(0, 2)], raised]
    if platform != "python" and chance.random() < 0.5:  # Sentry's SDK for Python sends no members below a wrapper
        group = failed(chance, platform, ("ExceptionGroup", "all {} addresses failed")) | {"is_group": True, "source": "cause"}
        members = [failed(chance, platform, kind) | {"parent_id": 1} for _ in range(chance.randint(1, 3))]
        told["exceptions"] = [*members, group | {"parent_id": 0}, raised]
        for number, one in enumerate(reversed(told["exceptions"])):
            one["exception_id"] = number
    return told


def other_libraries(chance: random.Random, told: Error) -> Error:
    """A framework of another version calls by other ways."""
    frames = [frame for frame in frames_of(told) if not is_library(frame)]
    for _ in range(chance.randint(1, 5)):
        frames.insert(chance.randint(0, len(frames)), library_frame(chance, told["platform"]))
    told["exceptions"][-1]["frames"] = frames
    return told


def generated_names(chance: random.Random, told: Error) -> Error:
    """Numbers and marks that compilers and proxies give."""
    for frame in own(told):
        if told["platform"] == "java":
            mark = chance.choice([f"$$EnhancerBySpringCGLIB$${chance.getrandbits(32):x}", f"${chance.randint(1, 9)}", ""])
            frame["module"] += mark
        elif told["platform"] == "node":
            forms = ["{}", "async {}", "{} [as run]"]
            if "." not in frame["function"]:
                forms += ["new {}", "async Module.{} [as run]", *(f"{receiver}.{{}}" for receiver in RECEIVERS)]
            frame["function"] = chance.choice(forms).format(frame["function"])
        elif told["platform"] == "ruby":
            frame["function"] = chance.choice(["{}", "block in {}", "block (2 levels) in {}"]).format(frame["function"])
        elif told["platform"] == "go":
            frame["function"] += chance.choice(["", "[...]", "[go.shape.int]"])
    return told


def other_thread(chance: random.Random, told: Error) -> Error:
    """Another runner below, and another host, release and thread."""
    runner = {
        "python": {"function": "run", "module": "threading", "abs_path": "/usr/lib/python3.11/threading.py"},
        "node": {"function": "process.processTicksAndRejections", "abs_path": "node:internal/process/task_queues"},
        "java": {"function": "run", "module": "java.lang.Thread", "file": "Thread.java"},
        "ruby": {"function": "run", "abs_path": "/usr/local/bundle/gems/puma-6.5.0/lib/puma/thread_pool.rb"},
        "go": {"function": "goexit", "module": "runtime", "abs_path": "/usr/local/go/src/runtime/asm_amd64.s"},
    }[told["platform"]]
    frames_of(told).insert(0, runner)
    told |= {
        "server_name": f"pod-{chance.getrandbits(20):x}",
        "release": f"shop@{chance.randint(1, 99)}",
        "transaction": chance.choice(WORDS),
    }
    return told


def other_browser(chance: random.Random, told: Error) -> Error:
    for frame in own(told):
        frame["function"] = chance.choice(["{}", "Cart.{}", "Cart.prototype.{}", "async*{}", "Object.{}"]).format(frame["function"])
    return told


def by_file_alone(chance: random.Random, told: Error) -> Error:
    """A reporter that knows the files, as a stack text does, and not the modules."""
    for frame in frames_of(told):
        frame["module"] = ""
    return told


def other_attempts(chance: random.Random, told: Error) -> Error:
    """A library had tried, or waited, before it failed."""
    for _ in range(chance.randint(1, 2)):
        tried = failed(chance, told["platform"], (chance.choice(TRIED[told["platform"]]), "{}"))
        told["exceptions"].insert(0, tried | {"source": chance.choice(["", "__context__"])})
    return told


def another_type(chance: random.Random, told: Error) -> Error:
    last = told["exceptions"][-1]
    last["type"] = chance.choice([kind for kind in TYPES[told["platform"]] if kind != last["type"]])
    return told


def another_function(chance: random.Random, told: Error) -> Error:
    frame = chance.choice(own(told))
    frame["function"] = frame["function"].rstrip(")") + "Again"
    return told


def another_class(chance: random.Random, told: Error) -> Error:
    """A method of the same name of another class in the same file."""
    frame = chance.choice(own(told))
    mark = "#" if told["platform"] == "ruby" else "."
    owner, _, name = frame["function"].rpartition(mark)
    frame["function"] = f"{chance.choice([one for one in CLASSES if one != owner])}{mark}{name}"
    return told


def another_file(chance: random.Random, told: Error) -> Error:
    """Another file or folder of the program, another class or package."""
    changes = (
        [("views", "forms")]
        if told["platform"] == "python"
        else [("shop/", "market/"), ("com.acme", "com.other"), ("com/acme", "com/other")]
    )
    frame = chance.choice(own(told))
    for field in ("abs_path", "file", "module"):
        for one, other in changes:
            frame[field] = frame.get(field, "").replace(one, other)
    return told


def one_frame_more(chance: random.Random, told: Error) -> Error:
    frames = frames_of(told)
    at = next(index for index, frame in enumerate(frames) if not is_library(frame))
    frames.insert(at + 1, in_app_frame(chance, told["platform"], 7))
    return told


def another_cause(chance: random.Random, told: Error) -> Error:
    """The same wrapper around a failure elsewhere."""
    told = other_wrapper(chance, told)
    cause = told["exceptions"][-2]
    cause["frames"] = [*cause["frames"][:1], in_app_frame(chance, told["platform"], 7)]
    return told


def another_failure_within_libraries(chance: random.Random, told: Error) -> Error:
    """The same call of a library, which failed by another cause."""
    kinds = FAILED[told["platform"]]
    if len(told["exceptions"]) > 1:
        kinds = [kind for kind in kinds if kind != kind_of_cause(told)]
    told["exceptions"] = [failed(chance, told["platform"], chance.choice(kinds)), told["exceptions"][-1]]
    return told


ALL = tuple(TYPES)
SAME: dict[str, tuple[Family, tuple[str, ...]]] = {
    "line numbers": (other_lines, ALL),
    "paths of a release": (other_release_path, ("python", "node", "ruby")),
    "folders of deployments": (deployed_elsewhere, tuple(EXTENSIONS)),
    "hashed bundles": (other_bundle, ("javascript",)),
    "chunks without a name": (other_chunk, ("javascript",)),
    "names of minifiers": (other_short_names, ("javascript",)),
    "scripts within pages": (other_page, ("javascript",)),
    "ids and addresses in messages": (other_values, ALL),
    "depth of recursion": (deeper_recursion, ALL),
    "wrappers": (other_wrapper, ("python", "node", "java", "ruby")),
    "failures within libraries": (other_way_of_failing, tuple(FAILED)),
    "attempts of libraries": (other_attempts, tuple(TRIED)),
    "libraries": (other_libraries, ALL),
    "generated names": (generated_names, ("node", "java", "go", "ruby")),
    "threads and hosts": (other_thread, ("python", "node", "java", "go", "ruby")),
    "browsers": (other_browser, ("javascript",)),
    "wordings of engines": (other_engine, ("javascript",)),
    "files without modules": (by_file_alone, ("python", "node")),
}
OTHER: dict[str, tuple[Family, tuple[str, ...]]] = {
    "another type": (another_type, ALL),
    "another message": (another_message, ALL),
    "another failure in an engine": (another_failure_in_engine, ("javascript",)),
    "another function": (another_function, ALL),
    "another class": (another_class, ("node", "ruby")),
    "another file": (another_file, ALL),
    "another package": (another_package, tuple(EXTENSIONS)),
    "one call more": (one_frame_more, ALL),
    "another cause": (another_cause, ("python", "node", "java", "ruby")),
    "another cause within libraries": (another_failure_within_libraries, tuple(FAILED)),
}


def pair(family: Family, platforms: tuple[str, ...], seed: int) -> tuple[Error, Error]:
    """An error, and one that came of it by a family."""
    chance = random.Random(f"{family.__name__} {seed}")
    first = error(chance, chance.choice(platforms))
    made = family(chance, copy.deepcopy(first))
    return made if isinstance(made, tuple) else (first, made)


VALUES: dict[str, Callable[[random.Random], str]] = {
    "uuid": lambda chance: str(uuid.UUID(int=chance.getrandbits(128))),
    "number": lambda chance: str(chance.choice([0, 7, 42, -3, 10**12, 3.25])),
    "hexadecimal": lambda chance: f"{chance.getrandbits(64):016x}",
    "address": lambda chance: f"0x{chance.getrandbits(47):x}",
    "wallet": lambda chance: "0x" + "".join(chance.choices("0123456789abcdefABCDEF", k=40)),
    "ip version 4": lambda chance: ".".join(str(chance.randint(0, 255)) for _ in range(4)),
    "ip version 6": lambda chance: ":".join(f"{chance.getrandbits(16):x}" for _ in range(8)),
    "host and port": lambda chance: (
        f"{chance.choice(['10.0.0.3', 'db.internal', 'localhost', '[::1]'])}:{chance.randint(1024, 65535)}"
    ),
    "url": lambda chance: f"https://{chance.choice(WORDS)}.example/{chance.choice(WORDS)}?id={chance.randint(1, 10**6)}",
    "e-mail": lambda chance: f"{chance.choice(WORDS)}.{chance.choice(WORDS)}@{chance.choice(WORDS)}.example",
    "date": lambda chance: (
        f"20{chance.randint(10, 39)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        f"T10:{chance.randint(10, 59)}:07.{chance.randint(100, 999)}Z"
    ),
    "date in words": lambda chance: (
        f"{chance.choice(['Mon', 'Sun'])}, {chance.randint(1, 28)} {chance.choice(['Jan', 'May', 'Dec'])} 2026"
        f" 10:{chance.randint(10, 59)}:00 GMT"
    ),
    "duration": lambda chance: chance.choice(["5ms", "12 ms", "3.2s", "40 seconds", "1h30m", "900 µs"]),
    "size": lambda chance: chance.choice(["12 bytes", "3 KiB", "4.5MB", "900 B", "2GB"]),
    "path": lambda chance: chance.choice(["/srv/{0}/{1}.py", "~/{0}/{1}", "C:\\{0}\\{1}.txt", "./{0}/{1}"]).format(
        chance.choice(WORDS), chance.choice(WORDS)
    ),
    "quoted": lambda chance: chance.choice(["'{}'", '"{}"', "`{}`", "“{}”"]).format(
        " ".join(chance.choices(WORDS, k=chance.randint(1, 3)))
    ),
    "token": lambda chance: f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx{chance.getrandbits(60):x}.s{chance.getrandbits(90):x}",
    "name in ens": lambda chance: f"{chance.choice(WORDS)}.eth",
    "hash": lambda chance: f"{chance.getrandbits(256):064x}",
    "list": lambda chance: str([chance.randint(1, 99) for _ in range(chance.randint(1, 6))]),
}


def message(value: str) -> str:
    return f"seller refused order {value} because of stock"
