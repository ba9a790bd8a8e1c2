"""Whether a call is traced, decided before anything is spent on it; the span of one that is, and the ids of one that is not."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

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
            return Decision(sampled, trace_id, span_id)
    return Decision(random.random() < ratio, random.getrandbits(128), random.getrandbits(64))  # noqa: S311 — ids, not secrets


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


class Unsampled(NonRecordingSpan):
    """The span of a call that is not traced. Its context is made when somebody asks for it, as a client of another service does."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def get_span_context(self) -> SpanContext:
        """The caller's trace, with sampled=0."""
        decision = self._decision
        return SpanContext(decision.trace_id, decision.span_id, is_remote=True, trace_flags=_UNSAMPLED)


def attach_unsampled(decision: Decision) -> None:
    """Give the running task a context whose outgoing calls carry the caller's trace on, with sampled=0."""
    attach(trace.set_span_in_context(Unsampled(decision), _EMPTY))
