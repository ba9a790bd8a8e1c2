"""Whether a call is traced, decided before anything is spent on it, and the ids of those that are not."""

import contextvars
import random

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

from souk_common.call import CURRENT, Call

_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_EMPTY = Context()
_LENGTH = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def new_call(method: str, traceparent: str | None, ratio: float) -> Call:
    """A call that follows its caller's traceparent (W3C Trace Context); without one, or with one that is malformed, it has a trace
    of its own, and is traced by `ratio`."""
    if traceparent is not None and len(traceparent) >= _LENGTH and traceparent[2] == "-":
        try:
            trace_id, span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
            traced = bool(int(traceparent[53:55], 16) & 1)
        except ValueError:
            trace_id = span_id = 0
            traced = False
        if trace_id and span_id:
            call = Call(method, trace_id, span_id, from_caller=True)
            call.traced = traced
            return call
    call = Call(method, random.getrandbits(128), random.getrandbits(64))
    if random.random() < ratio:  # noqa: S311 — a sample, not a secret
        call.traced = True
    return call


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


def context_of_calls() -> contextvars.Context:
    """Where servers are started, so that the tasks of calls have it from them: the outgoing calls of a task that has a CURRENT call
    carry that one's trace on, with sampled=0. To give it to each call by itself would cost each call."""
    context = contextvars.copy_context()
    context.run(attach, _OF_CALL)
    return context


def leave_unsampled() -> None:
    """Let the running task's call be traced: its span is its caller's child, or the first of its trace."""
    attach(_EMPTY)
