"""The HTTP side port: a starlette app under uvicorn in the same event loop, limited, measured and drained like rpcs."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Collection, Iterator, Mapping

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from souk_common.call import CURRENT, Call
from souk_common.http_arrivals import Arrival, Arrivals, TimedProtocol
from souk_common.settings import ServiceSettings
from souk_common.telemetry import logs, names
from souk_common.telemetry.metrics import Method
from souk_common.telemetry.tracing import new_call

_STREAM = "STREAM"
_METHODS = {_STREAM, "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"}


class Measured:
    """ASGI middleware: one count, and where it is due one log line, for every request; 503 for what is over the limit, but where
    one that waits for its body can give way.

    streams: paths that are no part of the limit, are counted as the method STREAM, and are not slow however long they last.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, streams: Collection[str] = ()) -> None:
        self._app = app
        self._settings = settings
        self._streams = streams
        self._in_flight = 0
        self._arrivals = Arrivals()
        self.methods: dict[str, Method] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        call = new_call(f"{scope['method']} {scope['path'][:200]}", headers.get(b"traceparent", b"").decode("latin-1"), 0.0)
        call.traced = False  # HTTP has no spans
        call.peer = ":".join(map(str, scope.get("client") or ()))
        CURRENT.set(call)
        status = 0
        is_stream = scope["path"] in self._streams
        arrival = Arrival(receive, self._arrivals)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._in_flight += not is_stream
        try:
            if not is_stream and self._in_flight > self._settings.max_http_requests and not self._arrivals.give_way():
                await _too_many(watched)
            else:
                await self._app(scope, arrival, watched)
        except asyncio.CancelledError:
            status = 499  # the client has gone
            raise
        except Exception:
            if arrival.gave_way and status:
                return  # the application has answered one whose client is gone
            status = 500
            raise
        finally:
            self._arrivals.end(arrival)
            self._in_flight -= not is_stream
            self._finish(call, _STREAM if is_stream else scope["method"], status)

    def _finish(self, call: Call, method: str, status: int) -> None:
        seconds = time.perf_counter() - call.started
        counted = self.methods.setdefault(method if method in _METHODS else "OTHER", Method())
        counted.record(str(status), seconds)
        slow = seconds > self._settings.slow_seconds and method != _STREAM
        failed = status >= 500
        if failed or slow or random.random() < self._settings.log_success_ratio:  # noqa: S311 — a sample, not a secret
            logs.call_line(call, event=names.EVENT_HTTP, code=str(status), seconds=seconds, slow=slow, failed=failed, more={})


class HttpServer(uvicorn.Server):
    """uvicorn that leaves the signals to the service."""

    def __init__(self, app: ASGIApp, *, grace: float, head_timeout: float, head_bytes: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Protocol", (TimedProtocol,), {"head_timeout": head_timeout, "head_bytes": head_bytes}),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_keep_alive=30,
                timeout_graceful_shutdown=max(1, round(grace)),
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the service drains by itself."""
        yield

    def bind(self, host: str, port: int) -> str:
        """Take the port and return the address; OSError where it cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=2048)
        self._socket.setblocking(False)
        return f"[{host}]:{self._socket.getsockname()[1]}" if ":" in host else f"{host}:{self._socket.getsockname()[1]}"

    async def open(self) -> None:
        """Serve from now on."""
        if self._socket is None:
            raise RuntimeError("bind first")
        self._serving = asyncio.create_task(self.serve(sockets=[self._socket]), name="http")
        while not self.started and not self._serving.done():
            await asyncio.sleep(0.005)
        if self._serving.done():
            self._serving.result()

    async def close(self) -> None:
        """Take no more requests, and let those in flight finish."""
        self.should_exit = True
        if self._serving:
            await self._serving


async def _too_many(send: Send) -> None:
    headers = [(b"retry-after", b"1"), (b"content-type", b"text/plain"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
