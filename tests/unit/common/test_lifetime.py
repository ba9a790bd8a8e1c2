"""What is done for a call whose end comes late."""

from collections.abc import AsyncIterator
from typing import Any

from opentelemetry import trace
from souk_common.admission import Admission
from souk_common.call import CURRENT, Call
from souk_common.lifetime import Lifetime, Policy
from souk_common.telemetry.metrics import Method


class Context:
    """A context that must not be asked any more once its server is gone: gRPC's would end the process."""

    gone = False

    def peer(self) -> str:
        assert not self.gone
        return "ipv4:127.0.0.1:1234"

    def time_remaining(self) -> float | None:
        assert not self.gone
        return None


async def test_a_stream_that_is_ended_with_the_loop_asks_nothing_of_a_context_that_is_gone():
    admission = Admission(max_rpcs=10, max_per_caller=5, per_second=0.0)
    policy = Policy(admission, {}, {}, None, False, trace.NoOpTracer(), 0.0, 1.0, 1.0, frozenset())
    context: Any = Context()
    calls: set[Call] = set()
    metrics = Method()

    async def stream() -> AsyncIterator[int]:
        CURRENT.set(Call("/a.B/C", 0, 0))
        async with Lifetime(policy, calls, metrics, context):
            yield 1

    responses: Any = stream()
    assert await anext(responses) == 1
    assert (len(calls), admission.in_flight) == (1, 1)
    (call,) = calls
    assert call.peer == "ipv4:127.0.0.1:1234"
    context.gone = True
    await responses.aclose()
    assert (metrics.codes, calls, admission.in_flight) == ({"CANCELLED": 1}, set(), 0)
