"""What is of a runtime, a library or a framework: names and paths by language."""

import re
import sys
from collections.abc import Sequence


def _any(words: str) -> str:
    return "|".join(words.split())


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_FOLDER = re.compile(
    "/(?:"
    rf"(?:{_any('site-packages dist-packages node_modules bower_components jspm_packages pkg/mod gems Pods rustc')}"
    rf"|{_any('[.]cargo [.]pub-cache erlang/lib elixir/lib usr/share/php lib/ruby usr/lib usr/local/go/src System/Library')}"
    rf"|go\d?[\w.-]*/src/(?:{_any('runtime net internal reflect')})|lib/python3?\.?\d*|Python3\d+/Lib|deps/[\w.-]+/(?:lib|src))/"
    ")"
)
"""Folders, anywhere in a path with / as separator, of what is installed rather than written here."""

_PYTHON = re.compile(r"/(?:lib(?:64)?/python3(?:\.\d+)?|Python3\d+/Lib)/(?!(?:site|dist)-packages/)")
"""The folder of Python's own library, but for what was installed beside it."""

_FETCHED = re.compile(r"@v\d+\.\d+\.\d+[^/]*/")
"""In the path of a file of Go: it is of a module that was fetched, which is all that a path says with -trimpath."""

_BEGINNING = re.compile(
    rf"(?:{_any('node: internal/ wasm: dart: data: deps/ <frozen evalmachine[.]<anonymous>')}"
    r"|(?:chrome|moz|safari|safari-web)-extension:|ext:|/var/runtime/|/azure-functions-host/)"
    r"|(?:native|<anonymous>|\[native code\]|\[eval\][\w-]*|<internal:[^>]*>)$"
)
_BEGIN_WITH = frozenset("<[/cdeimnsw")

_VENDOR = re.compile(r"(?:^|/)(?:vendor|third_party|third-party)/")
"""Folders for the code of others, in the languages that have them by custom; `vendor.js` of a bundle is none."""


def are_of_others(paths: Sequence[str], *, vendoring: bool) -> list[bool]:
    """Whether paths of a stack are of what is installed, or of a runtime. vendoring: in a language with folders for the code of
    others."""
    in_folder, begins = _FOLDER.search, _BEGINNING.match
    found = [
        path[:5] == "/lib/"
        or ("/" in path and in_folder(path) is not None)
        or (path[:1] in _BEGIN_WITH and begins(path) is not None)
        for path in paths
    ]
    if vendoring and ("vendor/" in (text := "\n".join(paths)) or "third" in text):  # a search of each is dear, and few have it
        found = [known or _VENDOR.search(path) is not None for known, path in zip(found, paths, strict=True)]
    return found


def is_of_python(path: str) -> bool:
    """Whether a path is of Python's own library, wherever that is installed."""
    return "ython3" in path and _PYTHON.search(path.replace("\\", "/")) is not None


def is_fetched(path: str) -> bool:
    """Whether a path of Go is of a module that was fetched."""
    return "@v" in path and _FETCHED.search(path) is not None


PYTHON = sys.stdlib_module_names

JAVA = re.compile(
    r"(?:_COROUTINE|java|javax|jdk|sun|com\.sun|kotlin|kotlinx|scala|groovy|jakarta|akka|clojure|dalvik|android|androidx|com\.android|libcore"
    rf"|org\.(?:{_any('springframework apache hibernate eclipse junit codehaus jboss wildfly slf4j jetbrains gradle postgresql')}"
    rf"|{_any('mockito aspectj reactivestreams jooq flywaydb quartz mongodb redisson glassfish')})"
    rf"|io\.(?:{_any('netty grpc micrometer reactivex vertx quarkus micronaut opentelemetry sentry ktor undertow lettuce')})"
    rf"|com\.(?:{_any('fasterxml zaxxer mysql mongodb squareup netflix intellij ibm oracle datadog amazonaws bumptech')})"
    rf"|com\.google\.(?:{_any('android common gson inject protobuf firebase api cloud crypto')})"
    r"|software\.amazon|ch\.qos|feign|redis\.clients|reactor|rx|okhttp3|okio|retrofit2|net\.bytebuddy|leakcanary)\."
)

DOTNET = re.compile(
    rf"(?:{_any('System Microsoft Windows Mono Newtonsoft Grpc Npgsql NUnit Xunit Serilog NLog MediatR Dapper Autofac AutoMapper')}"
    rf"|{_any('Polly Castle StackExchange MySql MySqlConnector MongoDB Hangfire MassTransit Swashbuckle FluentValidation')}"
    rf"|{_any('Google Amazon Azure Sentry OpenTelemetry UnityEngine UnityEditor FSharp Giraffe ServiceStack')})(?:\.|$)"
    r"|(?:CallSite|DynamicClass)(?:\.|$)"
)

RUST = re.compile(
    r"(?:<*&?(?:mut |dyn )?)?"
    rf"(?:{_any('std core alloc tokio hyper actix axum tower tonic rayon_core backtrace anyhow eyre color_eyre serde_json')}"
    rf"|{_any('sqlx_core test hashbrown panic_unwind')}|futures_\w+|actix_\w+)(?:\[[0-9a-f]+\])?::"
    r"|rust_begin_unwind|__rust_|_start$|main$|__libc_|clone3?$|start_thread"
)

DART = re.compile(
    rf"package:(?:{_any('flutter flutter_test flutter_web_plugins flutter_bloc bloc provider riverpod flutter_riverpod dio http')}"
    rf"|{_any('hive sqflite drift get get_it go_router async collection stream_channel stack_trace rxdart matcher test_api')}"
    rf"|{_any('firebase_core firebase_auth firebase_messaging cloud_firestore graphql web_socket_channel grpc protobuf')}"
    rf"|{_any('path_provider shared_preferences url_launcher sentry sentry_flutter sentry_dio shelf shelf_router')})/"
)

ELIXIR = _words(
    "absinthe bandit broadway cowboy cowlib db_connection ecto ecto_sql eex elixir ex_unit finch gen_stage hackney httpoison iex",
    "jason kernel logger mint mix myxql nimble_options nimble_pool oban phoenix phoenix_ecto phoenix_html phoenix_live_view",
    "phoenix_pubsub plug plug_cowboy plug_crypto poison postgrex ranch redix req sentry stdlib swoosh telemetry tesla",
    "thousand_island",
)
"""Applications, as the text of a stack names them."""

ELIXIR_MODULES = _words(
    "Absinthe Access Agent Bandit Broadway Code DBConnection Ecto Enum Finch Float GenServer GenStage HTTPoison IO Integer Jason",
    "Kernel Keyword List Map MapSet Mint Mix MyXQL Oban Phoenix Plug Poison Postgrex Process Redix Regex Registry Req Sentry",
    "Stream String Supervisor Swoosh Task Tesla ThousandIsland",
)
"""Namespaces of theirs; those of Erlang begin with a small letter."""

GO = _words(
    "archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar flag fmt go hash html",
    "image index io internal iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv strings",
    "structs sync syscall testing text time unicode unique unsafe vendor weak",
)
"""First elements of the import paths of the standard library."""

GO_EXTENDED = ("golang.org/x/", "google.golang.org/", "github.com/getsentry/sentry-go", "go.opentelemetry.io/")

NATIVE = re.compile(
    r"^(?:/usr/lib|/lib|/lib64|/System/|/system/|/apex/|/vendor/lib|C:/Windows/)|/Developer/|/usr/lib/|/RuntimeRoot/"
    rf"|(?:^|/)(?:lib(?:system_\w+|objc(?:\.A)?|swift\w*|c\+\+(?:abi|_shared)?|stdc\+\+"
    rf"|{_any('dispatch dyld c art artbase utils log binder pthread gcc_s m webviewchromium hwui skia android_runtime')})"
    r"(?:-[\d.]+)?\.(?:so|dylib)[\d.]*"
    rf"|{_any('dyld dyld_sim CoreFoundation Foundation UIKit UIKitCore CFNetwork CoreGraphics QuartzCore GraphicsServices AppKit')}"
    rf"|{_any('Security CoreData AVFoundation CoreAutoLayout FrontBoardServices WebKit WebCore JavaScriptCore')}|SwiftUI|Combine"
    r"|AudioToolbox\w*|libAudioToolboxUtility\.dylib|GameKit|GameCenter\w*|StoreKit"
    rf"|(?:{_any('ntdll kernel32 kernelbase user32 ucrtbase msvcrt combase win32u')}|vcruntime\d*)\.(?:dll|pdb)"
    r"|linux-vdso\.so\.\d|app_process(?:32|64)?|boot\.oat|boot-\w+\.oat)$",
    re.IGNORECASE,
)
"""Binaries of systems."""
