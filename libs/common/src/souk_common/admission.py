"""Limits on work in flight: a call over them is turned away before any work is done for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from souk_common.errors import ServiceError

RETRY_SECONDS = 0.5
_MAX_BUCKETS = 10_000


@dataclass(slots=True)
class _Caller:
    in_flight: int = 0
    tokens: float = 0.0
    refilled: float = 0.0


class Admission:
    """Counts calls in flight, in all and per caller, and a token bucket per caller."""

    def __init__(
        self, *, max_rpcs: int, max_per_caller: int, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max = max_rpcs
        self._max_per_caller = max_per_caller
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._callers: dict[str, _Caller] = {}
        self.in_flight = 0
        self.rejected = 0

    def enter(self, caller: str) -> None:
        """Take a call in, or raise RESOURCE_EXHAUSTED (over the caller's own quota) or UNAVAILABLE (over the server's limit)."""
        if self.in_flight >= self._max:
            raise self._reject(
                ServiceError(
                    grpc.StatusCode.UNAVAILABLE,
                    "OVERLOADED",
                    f"the server has {self.in_flight} calls in flight and takes no more",
                    retry_delay=RETRY_SECONDS,
                )
            )
        state = self._callers.get(caller)
        if state is None:
            state = self._new_caller(caller)
        if state.in_flight >= self._max_per_caller:
            raise self._reject(_quota(f"{caller} has {state.in_flight} calls in flight and may have no more", RETRY_SECONDS))
        if self._per_second:
            now = self._clock()
            state.tokens = min(self._burst, state.tokens + (now - state.refilled) * self._per_second)
            state.refilled = now
            if state.tokens < 1.0:
                wait = (1.0 - state.tokens) / self._per_second
                raise self._reject(_quota(f"{caller} may make {self._per_second:g} calls a second", wait))
            state.tokens -= 1.0
        state.in_flight += 1
        self.in_flight += 1

    def leave(self, caller: str) -> None:
        """A call that was taken in has ended."""
        self.in_flight -= 1
        self._callers[caller].in_flight -= 1

    def _new_caller(self, caller: str) -> _Caller:
        if len(self._callers) >= _MAX_BUCKETS:
            self._callers = {name: state for name, state in self._callers.items() if state.in_flight}
        state = self._callers[caller] = _Caller(tokens=self._burst, refilled=self._clock())
        return state

    def _reject(self, error: ServiceError) -> ServiceError:
        self.rejected += 1
        return error


def _quota(text: str, retry_delay: float) -> ServiceError:
    return ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text, retry_delay=retry_delay)
