"""Whether a call is traced, decided before anything is spent on it, and the ids of those that are not."""

import random
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

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
