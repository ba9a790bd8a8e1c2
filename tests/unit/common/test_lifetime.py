"""What is done around a call, and what is left of it."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from souk_common.admission import Admission
from souk_common.call import CURRENT, Call
from souk_common.lifetime import Lifetime, Policy
from souk_common.rpc import Dispatcher
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


def a_policy() -> Policy:
    """Without auth, traces and slow calls."""
    admission = Admission(max_rpcs=10, max_per_caller=5, per_second=0.0)
    return Policy(admission, {}, {}, None, False, 0.0, 1.0, 1.0, frozenset())


async def test_a_stream_that_is_ended_with_the_loop_asks_nothing_of_a_context_that_is_gone():
    policy = a_policy()
    admission = policy.admission
    context: Any = Context()
    calls: set[Call] = set()
    metrics = Method()
    lifetime = Lifetime("/a.B/C", policy, calls, metrics)

    async def stream() -> AsyncIterator[int]:
        call = Call("/a.B/C", 0, 0)
        try:
            lifetime.begin(call, context)
            yield 1
        except BaseException as error:
            await lifetime.fail(call, context, error)
            raise

    responses: Any = stream()
    assert await anext(responses) == 1
    assert (len(calls), admission.in_flight) == (1, 1)
    (call,) = calls
    assert call.peer == "ipv4:127.0.0.1:1234"
    context.gone = True
    await responses.aclose()
    assert (metrics.codes, calls, admission.in_flight) == ({"CANCELLED": 1}, set(), 0)


async def test_a_call_that_is_over_is_gone_without_the_collector():
    async def behavior(request: object, context: object) -> object:
        return request

    handler = grpc.unary_unary_rpc_method_handler(behavior)
    dispatcher = Dispatcher({"/a.B/C": handler}, a_policy())
    seen: list[weakref.ref[Call]] = []

    async def serve() -> None:
        details: Any = SimpleNamespace(method="/a.B/C", invocation_metadata=())
        serving: Any = dispatcher.service(details)
        seen.append(weakref.ref(CURRENT.get() or pytest.fail("no call")))
        assert await serving.unary_unary("hello", Context()) == "hello"

    gc.disable()
    try:
        await asyncio.create_task(serve())
        await asyncio.sleep(0)
        assert [each() for each in seen] == [None]
    finally:
        gc.enable()
