"""The call that is being served: who makes it, what is known of it, and what its time goes into."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import grpc
from opentelemetry.trace import INVALID_SPAN, Span

from souk_common.auth import ANONYMOUS, Principal, check_scope


class Call:
    """One rpc or HTTP request in flight. What is the same for most is the class's, so that a call sets little."""

    principal: Principal = ANONYMOUS
    peer = ""
    authorization: str | None = None
    context: "grpc.aio.ServicerContext[Any, Any] | None" = None
    task: asyncio.Task[Any] | None = None
    traced = False
    """A span is recorded for it."""
    span: Span = INVALID_SPAN
    ended = False
    """The server has ended it because it stops."""
    admitted = ""
    """Whom admission counts it for; empty before it is taken in."""
    refusal: Exception | None = None
    """Of a traced call: what gRPC ends it with."""
    responses: AsyncGenerator[Any, None] | None = None
    """Of a traced stream, within its span."""
    parts: Mapping[str, float] = MappingProxyType({})
    """Seconds, by what they went into."""

    def __init__(self, method: str, trace_id: int, span_id: int, from_caller: bool = False) -> None:
        """from_caller: the trace is its caller's, and may have other calls; else this is the first of it."""
        self.method = method
        self.trace_id = trace_id
        self.span_id = span_id
        self.from_caller = from_caller
        self.started = time.perf_counter()
        self.facts: dict[str, Any] = {}

    def remaining(self) -> float | None:
        """Seconds until the caller's deadline; None where there is none. What the call asks of others must take no longer."""
        return self.context.time_remaining() if self.context is not None else None

    def end(self) -> None:
        """End the call because the server stops; its caller gets UNAVAILABLE."""
        if self.task is not None and not self.ended:
            self.ended = True
            self.task.cancel()


CURRENT: ContextVar[Call | None] = ContextVar("souk_call", default=None)
"""The call that the running task serves."""


def current() -> Call:
    """The call that the running task serves, which is known to serve one."""
    call = CURRENT.get()
    if call is None:
        raise RuntimeError("a call without its context")
    return call


def annotate(**facts: Any) -> None:
    """Put facts into the log line of the current call; nothing happens outside of one."""
    call = CURRENT.get()
    if call is not None:
        call.facts.update(facts)


def caller() -> str:
    """The name of the principal whose call is being served; empty where nobody is asked who they are."""
    call = CURRENT.get()
    return call.principal.name if call is not None and call.principal is not ANONYMOUS else ""


def trace_id() -> str:
    """The trace of the current call, as 32 hexadecimal digits; empty outside of one."""
    call = CURRENT.get()
    return f"{call.trace_id:032x}" if call is not None else ""


def require_scope(scope: str) -> None:
    """Raise PERMISSION_DENIED where the caller of the current call lacks a scope that not every call of its method needs."""
    call = CURRENT.get()
    if call is not None:
        check_scope(call.principal, scope)


def add_part(name: str, seconds: float) -> None:
    """Say that the current call spent `seconds` on `name`; its parts are logged where it is slow."""
    call = CURRENT.get()
    if call is not None:
        call.parts = {**call.parts, name: call.parts.get(name, 0.0) + seconds}


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Measure what the body takes as a part of the current call."""
    start = time.perf_counter()
    try:
        yield
    finally:
        add_part(name, time.perf_counter() - start)
