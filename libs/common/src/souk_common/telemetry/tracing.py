"""Whether a call is traced, decided before anything is spent on it; the span of one that is, and the ids of one that is not."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from souk_common.call import CURRENT
from souk_common.telemetry import names

_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_EMPTY = Context()
_LENGTH = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@dataclass(slots=True)
class Decision:
    """What was decided for one call."""

    sampled: bool
    trace_id: int
    span_id: int
    """Of the caller; a new one where the caller has none."""
    from_caller: bool
    """The trace is the caller's, and may have other calls."""


def decide(traceparent: str | None, ratio: float) -> Decision:
    """Follow the caller's traceparent (W3C Trace Context); without one, or with one that is malformed, sample by `ratio`."""
    if traceparent is not None and len(traceparent) >= _LENGTH and traceparent[2] == "-":
        try:
            trace_id, span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
            sampled = bool(int(traceparent[53:55], 16) & 1)
        except ValueError:
            trace_id = span_id = 0
            sampled = False
        if trace_id and span_id:
            return Decision(sampled, trace_id, span_id, True)
    return Decision(random.random() < ratio, random.getrandbits(128), random.getrandbits(64), False)  # noqa: S311 — ids, not secrets


def start(tracer: trace.Tracer, method: str, metadata: Iterable[tuple[str, str | bytes]] | None, peer: str) -> Span:
    """Start the span of a call, under its caller's, by OpenTelemetry's conventions for rpc, and make it the running task's.

    No exception is recorded on it but by who knows that it is one: gRPC ends a refused call with an exception, too.
    """
    parent = propagate.extract(dict(metadata or ()), _EMPTY)
    service, _, name = method.lstrip("/").rpartition("/")
    attributes = {
        names.RPC_SYSTEM: "grpc",
        names.RPC_SERVICE: service,
        names.METHOD: name,
        names.PEER_ADDRESS: _address(peer),
    }
    span = tracer.start_span(method, parent, SpanKind.SERVER, attributes)
    attach(trace.set_span_in_context(span, parent))
    return span


def _address(peer: str) -> str:
    """The address in what gRPC calls a peer: ipv4:10.0.0.1:4242, ipv6:%5B::1%5D:4242, unix:/path."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else rest


class _SpanOfCall(NonRecordingSpan):
    """The span of whatever call is not traced: one for all, which says what the call of the task is when somebody asks, as a client
    of another service does."""

    def get_span_context(self) -> SpanContext:
        """The caller's trace, with sampled=0."""
        call = CURRENT.get()
        if call is None:
            return INVALID_SPAN_CONTEXT
        return SpanContext(call.trace_id, call.span_id, is_remote=True, trace_flags=_UNSAMPLED)


_OF_CALL = trace.set_span_in_context(_SpanOfCall(INVALID_SPAN_CONTEXT), _EMPTY)


def attach_unsampled() -> None:
    """Give the running task, which has its CURRENT call, a context whose outgoing calls carry the caller's trace on, with
    sampled=0."""
    attach(_OF_CALL)
