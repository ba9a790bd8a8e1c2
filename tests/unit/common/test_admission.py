"""Limits on work in flight."""

import grpc
import pytest
from souk_common.admission import Admission
from souk_common.errors import ServiceError
from souk_common.testing import FakeClock


def admission(**limits: float) -> tuple[Admission, FakeClock]:
    clock = FakeClock()
    chosen = {"max_rpcs": 10, "max_per_caller": 5, "per_second": 0.0, **limits}
    return Admission(clock=clock, **chosen), clock  # type: ignore[arg-type]


def refused(limits: Admission, caller: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        limits.enter(caller)
    return caught.value


def test_an_overloaded_server_is_unavailable_and_says_when_to_come_again() -> None:
    limits, _ = admission(max_rpcs=2)
    limits.enter("a")
    limits.enter("b")
    error = refused(limits, "c")
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert ("grpc-retry-pushback-ms", "500") in error.trailers()
    limits.leave("a")
    limits.enter("c")
    assert (limits.in_flight, limits.rejected) == (2, 1)


def test_a_caller_over_its_share_is_refused_and_others_are_not() -> None:
    limits, _ = admission(max_per_caller=2)
    limits.enter("a")
    limits.enter("a")
    error = refused(limits, "a")
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    limits.enter("b")


def test_a_quota_refills_with_time_and_says_how_long() -> None:
    limits, clock = admission(per_second=4.0, max_per_caller=100, max_rpcs=100)
    for _ in range(4):
        limits.enter("a")
    error = refused(limits, "a")
    assert error.retry_delay == pytest.approx(0.25)
    clock.advance(0.25)
    limits.enter("a")
    refused(limits, "a")
    limits.enter("b")


def test_callers_that_left_are_forgotten_when_there_are_many() -> None:
    limits, _ = admission(max_rpcs=10**6, max_per_caller=10**6)
    for number in range(25_000):
        limits.enter(str(number))
        limits.leave(str(number))
    assert len(limits._callers) <= 10_000
    assert limits.in_flight == 0
