"""Serving one application: ports, TLS, health, reflection, signals, drain."""

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import grpc
import orjson
import structlog
import uvloop
from grpc_health.v1 import health_pb2_grpc
from starlette.types import ASGIApp

from souk_common import reflection, telemetry
from souk_common.admission import Admission
from souk_common.auth import Authenticator
from souk_common.errors import ErrorTable
from souk_common.handlers import Collector
from souk_common.health import Dependency, Health, HealthServicer
from souk_common.http import HttpServer, Measured
from souk_common.lifetime import Policy
from souk_common.rpc import Dispatcher
from souk_common.settings import ServiceSettings, unknown_variables
from souk_common.telemetry import Telemetry, names, process
from souk_common.telemetry.tracing import context_of_calls

log = structlog.get_logger(__name__)
S = TypeVar("S", bound=ServiceSettings)

END_BEFORE_GRACE = 1.0
"""Calls that are still in flight this long before the grace is over are ended with UNAVAILABLE, so that their callers try
elsewhere."""

FRAME_BYTES = 1024 * 1024
"""The largest HTTP/2 frame taken: gRPC's 16 KiB cost streams of bytes a fifth of their rate (docs/architecture.md)."""
HEAP_KEPT_BYTES = 16 * 1024 * 1024
SWITCH_SECONDS = 0.001
"""How long a thread (of a store, of the log) may keep the interpreter from the event loop. Python's own 5 ms, times the threads
that want it, would be the loop's lag."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One proto service."""

    add: Callable[[Any, Any], None]
    """The generated add_…Servicer_to_server."""
    servicer: object
    service: str
    """Its full name."""


@dataclass(frozen=True, slots=True)
class Application:
    """What a service hands over to be served."""

    name: str
    registrations: Sequence[Registration]
    errors: ErrorTable = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)
    """Full method name -> scope that a caller needs where auth is on."""
    dependencies: Sequence[Dependency] = ()
    http: ASGIApp | None = None
    long_lived: frozenset[str] = frozenset()
    """Full names of methods whose streams end only when something ends them."""
    http_streams: frozenset[str] = frozenset()
    """Paths of HTTP whose answers end only when something ends them. `http` bounds how many there are: they are no part of the
    limit of requests in flight, and none is slow."""
    on_drain: Callable[[], Awaitable[None]] | None = None
    """Called when the service begins to stop."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a service listens, as host:port."""

    grpc: str
    http: str | None = None
    health: str | None = None


class StartError(Exception):
    """The service cannot start; the text says why and what to do."""


OpenApp = Callable[[S, Telemetry], AbstractAsyncContextManager[Application]]


def run(settings: S, name: str, open_app: OpenApp[S]) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status: 0, or 1 where the service could not start. A second signal ends
    the process at once."""
    reporting = telemetry.setup(settings, name)
    for variable, nearest in unknown_variables(type(settings), os.environ).items():
        log.warning("a variable is no setting, and does nothing", variable=variable, nearest=nearest)
    sys.setswitchinterval(SWITCH_SECONDS)
    _keep_heap()
    _freeze_modules()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(settings, open_app, reporting))
    except StartError as error:
        log.error("the service cannot start", detail=str(error))  # noqa: TRY400 — the text says it all
        return 1
    finally:
        reporting.close()
    return 0


def _keep_heap() -> None:
    """Keep glibc from giving the memory of every message back and faulting it in again, which costs as much as receiving it.

    Freeing a block that was mapped raises the sizes above which it maps blocks and trims its heap, for good (mallopt(3),
    M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    bytes(HEAP_KEPT_BYTES)


def _freeze_modules() -> None:
    """Put what the imports have made, which stays for good, where the garbage collector does not look: a full collection would stop
    the process for 50 ms to visit it (bench/cache_latency.py)."""
    gc.collect()
    gc.freeze()


async def _until_signal(settings: S, open_app: OpenApp[S], reporting: Telemetry) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    async with serving(settings, open_app, reporting):
        await stop.wait()


@contextlib.asynccontextmanager
async def serving(settings: S, open_app: OpenApp[S], reporting: Telemetry) -> AsyncIterator[Addresses]:
    """Serve while the body runs, then drain: NOT_SERVING, drain delay, calls finish, the application closes."""
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings, reporting))
        health = Health(app.name, [registration.service for registration in app.registrations], app.dependencies)
        stack.push_async_callback(health.close)
        await health.open()
        collector = Collector()
        for registration in app.registrations:
            registration.add(registration.servicer, collector)
        dispatcher = Dispatcher(collector.handlers, _policy(settings, app))
        await dispatcher.open(reporting.tracer_provider)

        server = _server(settings)
        server.add_generic_rpc_handlers((dispatcher,))
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), server)
        if settings.reflection:
            services = [registration.service for registration in app.registrations]
            reflection.enable(server, [*services, "grpc.health.v1.Health"])
        servers = [server]
        addresses = {"grpc": _bind(server, settings.host, settings.port, _credentials(settings), "PORT", settings)}
        if settings.health_port is not None:
            plain = _server(settings)
            health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(health), plain)
            servers.append(plain)
            addresses["health"] = _bind(plain, settings.host, settings.health_port, None, "HEALTH_PORT", settings)
        http = None
        if app.http is not None:
            measured = Measured(app.http, settings, app.http_streams)
            http = HttpServer(
                measured,
                grace=settings.drain_grace,
                head_timeout=settings.http_head_timeout,
                head_bytes=settings.http_head_bytes,
            )
            try:
                addresses["http"] = http.bind(settings.http_address, settings.http_port)
            except OSError as error:
                raise _cannot_listen(settings, settings.http_address, settings.http_port, "HTTP_PORT") from error
            _register_http(reporting, measured)
        _register(reporting, dispatcher, health, app)
        reporting.open()
        lag = asyncio.create_task(reporting.lag.run(), name="loop-lag")
        stack.callback(lag.cancel)
        if authenticator := dispatcher.policy.authenticator:
            following = asyncio.create_task(_follow(authenticator, settings.auth_reload_interval), name="auth-file")
            stack.callback(following.cancel)
        context = context_of_calls()
        for each in servers:
            await asyncio.create_task(each.start(), context=context)
        if http:
            await asyncio.create_task(http.open(), context=context)
        bound = Addresses(**addresses)
        log.info(names.EVENT_LISTENING, **asdict(bound), pid=os.getpid())
        _write_ready_file(settings, bound)
        try:
            yield bound
        finally:
            await _drain(settings, app, health, dispatcher, servers, http)
            log.info(names.EVENT_STOPPED, **_usage(reporting))


async def _follow(authenticator: Authenticator, interval: float) -> None:
    """Read the auth file again when it changes, until cancelled. A missing or wrong one is logged once, and changes nothing."""
    refused = ""
    while True:
        await asyncio.sleep(interval)
        try:
            if authenticator.reload():
                log.info(names.EVENT_AUTH_RELOADED)
            refused = ""
        except (OSError, ValueError) as error:
            if str(error) != refused:
                refused = str(error)
                log.error(names.EVENT_AUTH_REFUSED, detail=refused)  # noqa: TRY400 — the text says it all


async def _drain(
    settings: ServiceSettings,
    app: Application,
    health: Health,
    dispatcher: Dispatcher,
    servers: Sequence[grpc.aio.Server],
    http: HttpServer | None,
) -> None:
    health.drain()
    if app.on_drain:
        await app.on_drain()
    await asyncio.sleep(settings.drain_delay)

    async def end_calls() -> None:
        await asyncio.sleep(0.05)  # so that watchers of health see NOT_SERVING
        dispatcher.end_calls(only_long_lived=True)
        health.end_watches()
        await asyncio.sleep(max(0.0, settings.drain_grace - END_BEFORE_GRACE))
        dispatcher.end_calls(only_long_lived=False)

    ending = asyncio.create_task(end_calls(), name="end-calls")
    closing = [server.stop(settings.drain_grace) for server in servers]
    if http:
        closing.append(http.close())
    await asyncio.gather(*closing)
    ending.cancel()
    if settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)


def _policy(settings: ServiceSettings, app: Application) -> Policy:
    authenticator = None
    if settings.auth_file:
        try:
            authenticator = Authenticator(settings.auth_file)
        except (OSError, ValueError) as error:
            raise StartError(f"the auth file cannot be used: {error}") from error
    return Policy(
        admission=Admission(
            max_rpcs=settings.max_rpcs,
            max_per_caller=settings.max_rpcs_per_caller,
            per_second=settings.rpcs_per_second_per_caller,
        ),
        errors=app.errors,
        scopes=app.scopes,
        authenticator=authenticator,
        mutual_tls=settings.tls_client_ca_file is not None,
        trace_ratio=settings.trace_ratio,
        log_success_ratio=settings.log_success_ratio,
        slow_seconds=settings.slow_seconds,
        long_lived=app.long_lived,
    )


def _server(settings: ServiceSettings) -> grpc.aio.Server:
    return grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_connection_age_ms", round(settings.max_connection_age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.max_connection_age_grace * 1000)),
            ("grpc.http2.max_frame_size", FRAME_BYTES),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
    )


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    try:
        pem = (settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())
        authorities = settings.tls_client_ca_file.read_bytes() if settings.tls_client_ca_file else None
    except OSError as error:
        raise StartError(f"a TLS file cannot be read: {error}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # gRPC says of a file that is none only that the port cannot be had
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    except (ssl.SSLError, ValueError) as error:
        pair = f"{settings.tls_cert_file} and {settings.tls_key_file}"
        raise StartError(f"{pair} are not the PEM files of a certificate and its key{_reason(error)}") from error
    if settings.tls_client_ca_file:
        try:
            context.load_verify_locations(settings.tls_client_ca_file)
        except ssl.SSLError as error:
            raise StartError(f"{settings.tls_client_ca_file} is no PEM file of certificates{_reason(error)}") from error
    return grpc.ssl_server_credentials([pem], authorities, require_client_auth=authorities is not None)


def _reason(error: ssl.SSLError | ValueError) -> str:
    reason = getattr(error, "reason", None)
    return f": {reason.lower().replace('_', ' ')}" if reason else ""


def _bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None,
    setting: str,
    settings: ServiceSettings,
) -> str:
    host = f"[{host}]" if ":" in host else host
    address = f"{host}:{port}"
    try:
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise _cannot_listen(settings, host, port, setting) from error
    return f"{host}:{bound}"


def _cannot_listen(settings: ServiceSettings, host: str, port: int, setting: str) -> StartError:
    prefix = settings.model_config.get("env_prefix", "")
    reason = _bind_error(host.strip("[]"), port)
    if reason is None:
        return StartError(f"{host}:{port} cannot be listened on; is it in use? Another port: {prefix}{setting}")
    whose = "HTTP_HOST" if setting == "HTTP_PORT" and settings.http_host else "HOST"
    return StartError(f"{host}:{port} cannot be listened on: {reason}. See {prefix}{whose} and {prefix}{setting}")


def _bind_error(host: str, port: int) -> str | None:
    """Why the system does not let a port be bound; None where it is in use, or was."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        return None if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    return None


def _register(reporting: Telemetry, dispatcher: Dispatcher, health: Health, app: Application) -> None:
    metrics, admission = reporting.metrics, dispatcher.policy.admission
    metrics.methods(
        names.RPC_REQUESTS,
        names.RPC_DURATION_BUCKET,
        names.RPC_DURATION_SUM,
        names.STATUS_CODE,
        names.METHOD,
        dispatcher.methods,
    )
    metrics.gauge(names.RPC_IN_FLIGHT, "{call}", "Calls in flight.", lambda: len(dispatcher.calls))
    metrics.counters(names.RPC_REJECTED, "{call}", "Calls turned away by limits.", lambda: [(admission.rejected, {})])
    metrics.gauges(
        names.DEPENDENCY_UP,
        "1",
        "1 where a dependency answers, 0 where it does not.",
        lambda: [(float(d.name not in health.down), {names.DEPENDENCY: d.name}) for d in app.dependencies],
    )


def _register_http(reporting: Telemetry, measured: Measured) -> None:
    reporting.metrics.methods(
        names.HTTP_REQUESTS,
        names.HTTP_DURATION_BUCKET,
        names.HTTP_DURATION_SUM,
        names.HTTP_STATUS_CODE,
        names.HTTP_METHOD,
        measured.methods,
    )


def _write_ready_file(settings: ServiceSettings, bound: Addresses) -> None:
    if settings.ready_file:
        written = settings.ready_file.with_suffix(".tmp")
        written.write_bytes(orjson.dumps({**asdict(bound), "pid": os.getpid()}))
        written.replace(settings.ready_file)


def _usage(reporting: Telemetry) -> dict[str, Any]:
    lag = reporting.lag.buckets
    return {
        "loop_lag_p50_ms": round(lag.quantile(0.5) * 1000, 2),
        "loop_lag_p99_ms": round(lag.quantile(0.99) * 1000, 2),
        "loop_lag_max_ms": round(lag.largest * 1000, 2),
        "cpu_seconds": round(process.cpu_seconds(), 2),
        "peak_memory_mib": process.peak_resident_bytes() >> 20,
    }
