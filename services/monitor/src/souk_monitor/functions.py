"""Names of functions and types without what compilers, runtimes and generators put into them."""

import re

ANONYMOUS = frozenset(
    (
        "",
        "?",
        "<anonymous>",
        "anonymous",
        "<unknown>",
        "<redacted>",
        "<global>",
        "global code",
        "module code",
        "eval code",
        "eval",
        "anonymous function",
    )
)
"""What a function without a name is called; all of it becomes the empty name."""

NAMELESS = frozenset(("", "<lambda>", "{closure}", "<module>", "{main}", "<main>", "<Main>$", "<top (required)>"))
"""Of what is left of names, what is none: closures, and the level of a script."""

_JS_CALLER = re.compile(r"^(?:async |new |[\w ]{1,40}\*)+")
_JS_METHOD = re.compile(r"(?:async |new )?([A-Za-z_$][\w$]*)\.([A-Za-z_$][\w$]*)").fullmatch
_JS_ALIAS = re.compile(r" \[as [^\]]*\]$")
_JS_RECEIVERS = frozenset(
    word
    for line in (
        "Object Function Module Proxy Array Map Set WeakMap WeakSet Promise String Number Boolean BigInt Symbol RegExp Date Error",
        "Timeout Immediate Socket TLSSocket Server IncomingMessage ServerResponse ClientRequest EventEmitter EventTarget Readable",
        "Writable Duplex Transform PassThrough ReadStream WriteStream ChildProcess Worker MessagePort Interface Window",
    )
    for word in line.split()
)
"""What V8 calls the object that a function is called on, where it is of the runtime: it says nothing of where the function is."""
_JAVA_NUMBERED = re.compile(r"\$\d+")
_JAVA_GENERATED = re.compile(r"\$(?:\d+|(?:HibernateProxy|ByteBuddy)(?:\$\w+)?$)")
"""Numbers of classes without a name, and names of proxies, which are others in every process."""

_GROOVY_CLOSURE = re.compile(r"_closure\d+")

_GO_CLOSURE = re.compile(r"(?:\.(?:func|gowrap|deferwrap|init)?\d+|-range\d+|-fm|\.\d+)+$")
_GO_TYPES = re.compile(r"\[[^\]]*\]+")
_CSHARP_STATE = re.compile(r"^(.*?)[.+/]?<(<\w*>\$|\w*)>(?:g__(?P<local>\w+)\|\w+|[a-z]__?\w*)$")
_CSHARP_NESTED = re.compile(r"<(<.*>[bg]__\w+(?:\|\w+)?)>d(?:__\d+)?$")
"""The state machine of a lambda or of a function in a method."""

_CSHARP_NOISE = re.compile(r"`\d+(?:\[[^\]]*\])?|<>c(?:__DisplayClass\w*)?|\[[^\]]*\]$")
_RUBY_BLOCK = re.compile(r"(?:^|(?<=[#.]))(?:block (?:\(\d+ levels\) )?in|rescue in|ensure in) ")
_RUBY_TEMPLATE = re.compile(r"(?<=\w)_{2,4}\d{6,}_\d+$")
"""What Rails calls the method of a template by, beside its path: another in every process."""

_RUBY_TOP = frozenset(
    word
    for line in (
        "Object BasicObject Kernel Array Hash Integer Float String Symbol Enumerable Enumerator Range Proc Method Module Class",
        "Comparable Struct Thread Mutex Monitor IO File Dir Set",
    )
    for word in ("", *line.split())
)
"""Classes of Ruby itself: they say nothing of where a method of the program is."""

_PHP_GENERATED = re.compile(
    r"(?<=\bContainer)[A-Za-z0-9]{7}(?=\\)|(?<=__TwigTemplate_)[0-9a-f]{16,64}|(?:(?<=Ghost)|(?<=Proxy))[0-9a-f]{7}(?=::)"
)
"""Hashes in the names of Symfony's containers, of Twig's templates and of lazy objects: others with every build."""

_RUST_NOISE = re.compile(
    r"::h[0-9a-f]{16}$|::\{\{(?:closure|impl|constructor)\}\}|::\{closure[^}]*\}|#\d+|\{\{vtable\.shim\}\}|\[[0-9a-f]{12,16}\]|::<[^>]*>$"
)
_NATIVE_CLONE = re.compile(r"(?:\.(?:cold|isra|part|constprop|llvm|lto_priv)(?:\.\d+)*|\$VARIANT\$\w+|\s*\[clone[^\]]*\])+")
_NATIVE_LAMBDA = re.compile(r"(?<=\{lambda)\([^{}]*\)#\d+|(?<=\$_)\d+|(?<=_block_invoke)_\d+$")
"""Numbers and parameters of functions without a name, in C++ and in C with blocks."""

_OBJC_BLOCK = re.compile(r"^__\d+([-+]\[.*\])_block_invoke")
_ELIXIR_FUN = re.compile(r"^-(.+/\d+)-(?:fun|inlined|lc|lbc|after|lists\^\w+/\d+)-.*$")
"""An anonymous function, as Erlang calls it by the one that it is in."""

_SWIFT_WRAP = re.compile(
    r"^(?:@objc|@nonobjc|static|specialized|generic specialization <[^>]*> of|merged|partial apply(?: forwarder)? for|"
    r"protocol witness for|reabstraction thunk helper for|thunk for|closure #\d+(?: \([^)]*\))? in|implicit closure #\d+ in|"
    r"\(\d+\) (?:await resume|suspend resume) partial function for) "
)
_OBJC = re.compile(r"^[-+]\[([\w$]+)(?:\([\w$]*\))? ([^\]]+)\]$")


def python(name: str) -> str:
    """A Python function; nested ones by their own name."""
    return name.rpartition(".")[2] if "." in name else name


def _without_caller(name: str) -> str:
    """`Cart.add` of `async Cart.add` and `new Cart.add`."""
    name = name.removeprefix("async ")
    return _JS_CALLER.sub("", name) if " " in name or "*" in name else name


def javascript(name: str) -> str:
    """A JavaScript function as every browser would call it: `add` of `async Cart.add [as put]` and `Cart.prototype.add`."""
    if name in ANONYMOUS:
        return ""
    if name.isidentifier():
        return name
    if name[-1] == "]":
        name = _JS_ALIAS.sub("", name)
    name = _without_caller(name)
    if name.endswith(("/<", "<")) and "<anonymous>" not in name:
        return ""
    name = name.rpartition(".")[2].rpartition("/")[2].removeprefix("#")
    return "" if name in ANONYMOUS else name


def javascript_method(name: str) -> tuple[str, str]:
    """The class that V8 says a function was called on, and the function: (`Cart`, `add`) of `async Cart.add [as put]`. An empty
    class: none of the program's."""
    if found := _JS_METHOD(name):  # as most have it that are no plain names
        owner, called = found[1], found[2] if found[2] not in ANONYMOUS else ""
    else:
        owner, called = name.partition(" [")[0].rpartition(".")[0], javascript(name)
        if " " in owner:
            owner = _without_caller(owner)
        if "." in owner:
            owner = owner.removesuffix(".prototype").rpartition(".")[2]
    owner = owner.lstrip("_").rstrip("0123456789")  # as compilers call a class that mentions itself, or is there twice
    return owner if owner[:1].isupper() and owner not in _JS_RECEIVERS else "", called


def java_class(name: str) -> str:
    """A Java class without what is generated: `Orders` of `Orders$1`, `Orders$$EnhancerBySpringCGLIB$$1f2e`."""
    if "/" in name:
        name = name.rpartition("/")[2] if "$$Lambda" not in name else name.partition("$$")[0].rpartition("/")[2]
    if "$" not in name:
        return name
    name = _JAVA_GENERATED.sub("", name.partition("$$")[0])
    return _GROOVY_CLOSURE.sub("_closure", name) if "_closure" in name else name


def java(name: str) -> str:
    """A Java method: lambdas without their number, Kotlin's defaults as the method they are of."""
    if "$" not in name:
        return name
    return _JAVA_NUMBERED.sub("", name.removesuffix("$default").removesuffix("$suspendImpl"))


def go(name: str) -> str:
    """A Go function: closures without their numbers, generics without types, methods alike for values and pointers."""
    if "[" in name:
        name = _GO_TYPES.sub("", name)
    if "(" in name:
        name = name.replace("(*", "").replace("(", "").replace(")", "")
    if not (name[-1:].isdigit() or name.endswith("-fm")):  # no closure
        return name.rstrip(".")
    outer, is_closure, number = name.rpartition(".func")
    if is_closure and number.isdecimal() and outer[-1:].isalpha() and outer[-1] != "m":  # in none other, as most
        return f"{outer}.func"
    cut = _GO_CLOSURE.sub("", name)
    return f"{cut.rstrip('.')}.func" if len(cut) != len(name) and ".func" in name else cut.rstrip(".")


def is_bare_closure(name: str) -> bool:
    """Whether a name of Go is that of a closure without the function that it is in, as `func1`."""
    return name[-1:].isdigit() and _GO_CLOSURE.fullmatch(f".{name}") is not None


def csharp(module: str, name: str) -> tuple[str, str]:
    """A C# class and method: state machines and lambdas as the method that they are of."""
    whole = f"{module}.{name}" if module else name
    whole = whole.partition("(")[0].removesuffix(" { <lambda> }").replace("+", ".")
    whole = whole.removesuffix(".MoveNext")
    if "<" in whole or "`" in whole or "[" in whole:
        if "<<" in whole:
            whole = _CSHARP_NESTED.sub(r"\1", whole)
        if found := _CSHARP_STATE.match(whole):
            whole = f"{found[1]}.{found['local'] or found[2]}"
        whole = _CSHARP_NOISE.sub("", whole).replace("..", ".").rstrip(".")
    kind, _, method = whole.rpartition(".")
    if kind.endswith("."):
        kind, method = kind[:-1], f".{method}"
    return kind, method


def ruby(module: str, name: str) -> str:
    """A Ruby method with its class, where Ruby says it (since 3.4), without block and rescue."""
    while len(outer := _RUBY_BLOCK.sub("", name)) != len(name):  # `rescue in block in place`
        name = outer
    name = _RUBY_TEMPLATE.sub("", name)
    owner, mark, method = name.rpartition("#")
    if mark and method:
        return method if owner in _RUBY_TOP else name
    return name if module in _RUBY_TOP or "." in name else f"{module}#{name}"


def php(module: str, name: str) -> tuple[str, str]:
    """A PHP class and function; closures and anonymous classes without the place that they were written at."""
    whole = f"{module}::{name}" if module and "::" not in name and "->" not in name else name
    whole = _PHP_GENERATED.sub("", whole.partition("(")[0].replace("->", "::"))
    if "@anonymous" in whole:
        head, _, rest = whole.partition("@anonymous")
        whole = f"{head}@anonymous::{rest.rpartition('::')[2]}" if "::" in rest else f"{head}@anonymous"
    if "{closure" in whole:
        return "", "{closure}"
    kind, found, function = whole.rpartition("::")
    if found:
        return kind, function
    space, _, function = whole.rpartition("\\")
    return space, function


def rust(name: str) -> tuple[str, str]:
    """A Rust path and function, without hash, closures and generics."""
    name = _without_brackets(_RUST_NOISE.sub("", name), keep_first=True)
    module, _, function = name.rpartition("::")
    return module.removesuffix("::"), function


def elixir(name: str) -> str:
    """A function of Elixir or Erlang by its own name, and anonymous ones as those that they are in."""
    if found := _ELIXIR_FUN.match(name):
        name = found[1]
    return name.rpartition(".")[2]


def native(name: str) -> str:
    """A C, C++, Objective-C or Swift function, without parameters, templates and clones."""
    if block := _OBJC_BLOCK.match(name):
        name = block[1]
    if found := _OBJC.match(name):
        return f"{found[1]} {found[2]}"
    if "." in name or "$" in name or "[" in name:
        name = _NATIVE_CLONE.sub("", name)
    name = _NATIVE_LAMBDA.sub("", name)
    while found := _SWIFT_WRAP.match(name):
        name = name[found.end() :]
    if "<" in name or "(" in name:
        name = name.replace("(anonymous namespace)::", "").replace("{anonymous}::", "").replace("`anonymous namespace'::", "")
        name = _without_brackets(name.removesuffix(" const"), keep_first=False)
    return name.rpartition(" ")[2] if "operator" not in name else name


def _without_brackets(name: str, *, keep_first: bool) -> str:
    """Without what is in <…> and (…); in Rust's `<shop::Orders as Shop>::place` that at the beginning is the name of the type."""
    if keep_first and name.startswith("<"):
        name = name[1:].replace(" as ", "<", 1).replace(">::", ">>::", 1) if " as " in name else name[1:].replace(">", "", 1)
    kept: list[str] = []
    depth = 0
    for character in name:
        if character in "<(":
            depth += 1
        elif character in ">)":
            depth = max(depth - 1, 0)
        elif not depth:
            kept.append(character)
    return "".join(kept).strip()


_GENERIC = re.compile(r"[`\[ ]")
_TYPE_PARTS = re.compile(r"[.\\$/:+]+")
_GO_PLAIN = frozenset(
    (
        "errorString",
        "wrapError",
        "wrapErrors",
        "joinError",
        "withStack",
        "withMessage",
        "fundamental",
        "error",
        "panic",
        "string",
        "Error",
    )
)
_GO_RUNTIME = (
    ("index out of range", "index"),
    ("slice bounds out of range", "slice"),
    ("invalid memory address", "nil"),
    ("integer divide by zero", "division"),
    ("assignment to entry in nil map", "nil map"),
    ("interface conversion", "conversion"),
    ("makeslice", "length"),
    ("close of", "close"),
    ("send on closed channel", "closed channel"),
    ("all goroutines are asleep", "deadlock"),
    ("concurrent map", "concurrent map"),
    ("stack overflow", "stack overflow"),
    ("hash of unhashable", "unhashable"),
    ("slice length too short", "conversion"),
)


def short_type(name: str) -> str:
    """A type without its module or package, generics and decoration: `OperationalError` of `sqlalchemy.exc.OperationalError`."""
    if name.isidentifier():
        return name
    name = name.rpartition("<locals>.")[2]
    if not name.startswith("<"):
        name = name.partition("<")[0].partition("`")[0].partition("[")[0]
    parts = [part for part in _TYPE_PARTS.split(name.strip("*& ")) if part and not part.isdigit()]
    return parts[-1] if parts else name


def split_type(name: str, separator: str = ".") -> tuple[str, str]:
    """Module and type of a full name; what follows a generic type's own name is of the type: ``Acme.Lost`1[[System.Int32]]``."""
    own = _GENERIC.split(name, maxsplit=1)[0]
    module, found, kind = own.rpartition(separator)
    return (module, name[len(module) + len(found) :]) if kind else ("", name)


def go_type(name: str, message: str) -> str:
    """What kind of error it is in Go, as far as text and SDKs both can say.

    A panic's text has no type: types that say nothing of their own are none, and the runtime's errors are told by their messages.
    """
    if name and "runtime." not in name:
        short = short_type(name)
        if short not in _GO_PLAIN:
            return short
    text = message.removeprefix("runtime error: ")
    return next((kind for start, kind in _GO_RUNTIME if text.startswith(start)), "")


_SYSTEM_CODES = frozenset(
    word
    for line in (
        "E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBUSY ECANCELED ECHARSET ECONNABORTED",
        "ECONNREFUSED ECONNRESET EDESTADDRREQ EEXIST EFAULT EFBIG EFTYPE EHOSTDOWN EHOSTUNREACH EILSEQ EINTR EINVAL EIO EISCONN",
        "EISDIR ELOOP EMFILE EMLINK EMSGSIZE ENAMETOOLONG ENETDOWN ENETUNREACH ENFILE ENOBUFS ENODATA ENODEV ENOENT ENOEXEC ENOMEM",
        "ENONET ENOPROTOOPT ENOSPC ENOSYS ENOTCONN ENOTDIR ENOTEMPTY ENOTSOCK ENOTSUP ENOTTY ENXIO EOF EOPNOTSUPP EOVERFLOW EPERM",
        "EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMOTEIO EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE ESRCH ETIMEDOUT ETXTBSY",
        "EUNATCH EWOULDBLOCK EXDEV",
        "EAI_ADDRFAMILY EAI_AGAIN EAI_BADFLAGS EAI_BADHINTS EAI_CANCELED EAI_FAIL EAI_FAMILY EAI_MEMORY EAI_NODATA EAI_NONAME",
        "EAI_OVERFLOW EAI_PROTOCOL EAI_SERVICE EAI_SOCKTYPE",
        "EBADFAMILY EBADFLAGS EBADHINTS EBADNAME EBADQUERY EBADRESP EBADSTR ECANCELLED EDESTRUCTION EFILE EFORMERR ELOADIPHLPAPI",
        "ENONAME ENOTFOUND ENOTIMP ENOTINITIALIZED EREFUSED ESERVFAIL ETIMEOUT",
    )
    for word in line.split()
)
"""Codes of libuv for system calls and for names that were looked up, and of c-ares, which Node asks about names, too."""

_SYSTEM_CODE = re.compile(r"(E\w+)(?:: |$)|\w+ (E\w+)\b")
_SPAWNING = ("spawn ", "spawnSync ")


def system_code(message: str) -> str:
    """The code that a message of Node says of a system call, where the type is `Error` of whatever failed; empty: none.

    It is where no value can be before it: `ENOENT: no such file`, `connect ECONNREFUSED`, and at the end of `spawn git ENOENT`.
    """
    if message.startswith(_SPAWNING):
        code = message.rpartition(" ")[2]
    else:
        found = _SYSTEM_CODE.match(message)
        code = found[found.lastindex or 0] if found else ""
    return code if code in _SYSTEM_CODES else ""
