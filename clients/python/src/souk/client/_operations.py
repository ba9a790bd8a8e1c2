"""Operations: work of a service that goes on after its call has returned."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

import grpc
from souk.client._backoff import Backoff
from souk.client._calls import responses, typed
from souk.client._config import ClientConfig
from souk.client._errors import NotFoundError, UnavailableError, from_failure
from souk.client._trace import with_trace
from souk.common.v1 import operations_pb2 as pb
from souk.common.v1 import operations_pb2_grpc

T = TypeVar("T")
P = TypeVar("P")
OVER = frozenset({pb.OPERATION_STATE_SUCCEEDED, pb.OPERATION_STATE_FAILED, pb.OPERATION_STATE_CANCELLED})
"""The states that are an operation's last."""
TRIES, TRIES_PER_NODE = 16, 8
"""How often an operation is looked for before it is believed that its node is not among those of the target. The nodes are asked in
turn, together with all other calls of the channel."""


class OperationsClient:
    """The operations of a service: souk.common.v1.OperationService.

    An operation is of one node. Where the target has several, each call is made until it comes to that one; NotFoundError with the
    reason OPERATION_ELSEWHERE where it is not among them. Errors, timeouts and repeats are as in the client of the service, whose
    channel this shares.
    """

    def __init__(self, channel: grpc.aio.Channel, config: ClientConfig) -> None:
        """channel: open, and closed by whoever opened it."""
        self._stub = operations_pb2_grpc.OperationServiceStub(channel)
        self._config = config
        self._metadata = (("authorization", f"Bearer {config.token}"),) if config.token else ()

    async def get(self, operation_id: str, *, timeout: float | None = None) -> pb.Operation:
        """The operation as it is now."""
        request = pb.GetOperationRequest(operation_id=operation_id)
        answer: pb.GetOperationResponse = await self._of_its_node(self._stub.GetOperation, request, timeout)
        return answer.operation

    async def list(
        self, *, states: Iterable[pb.OperationState.ValueType] = (), page_size: int = 50, timeout: float | None = None
    ) -> AsyncGenerator[pb.Operation, None]:
        """Yield the operations of the node that answers, newest first: those in one of `states`, or all.

        With several nodes, ask each by itself: InvalidArgumentError where a page comes from another one.
        """
        wanted, token = list(states), ""
        while True:
            request = pb.ListOperationsRequest(states=wanted, page_size=page_size, page_token=token)
            page = await typed(self._stub.ListOperations(request, **self._options(timeout)))
            for operation in page.operations:
                yield operation
            token = page.next_page_token
            if not token:
                return

    async def cancel(self, operation_id: str, *, timeout: float | None = None) -> pb.Operation:
        """Stop an operation, and return it when it has let go of what it held; one that is over stays as it is."""
        request = pb.CancelOperationRequest(operation_id=operation_id)
        answer: pb.CancelOperationResponse = await self._of_its_node(self._stub.CancelOperation, request, timeout)
        return answer.operation

    async def watch(self, operation_id: str, *, timeout: float | None = None) -> AsyncGenerator[pb.Operation, None]:
        """Yield the operation as it is, then after every change, until it is over.

        Goes on by itself when the stream ends UNAVAILABLE, and does not tell twice what it told. Without a timeout it takes as long
        as the operation does. Leaving it does not stop the operation.
        """
        seen: pb.Operation | None = None
        backoff, search = Backoff(self._config, timeout), _Search()
        while seen is None or seen.state not in OVER:
            request = pb.WatchOperationRequest(operation_id=operation_id)
            call = self._stub.WatchOperation(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata))
            try:
                async with contextlib.aclosing(responses(call)) as answers:
                    async for answer in answers:
                        backoff.progress()
                        if answer.operation != seen:
                            seen = answer.operation
                            yield seen
            except UnavailableError as error:
                await backoff.wait_after(error)
            except NotFoundError as error:
                search.goes_on_after(error)
            else:
                return

    async def _of_its_node(self, call: Callable[..., Awaitable[T]], request: Any, timeout: float | None) -> T:
        backoff, search = Backoff(self._config, self._config.timeout if timeout is None else timeout), _Search()
        while True:
            try:
                return await typed(call(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata)))
            except NotFoundError as error:
                search.goes_on_after(error)

    def _options(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}


class RunningOperation(Generic[P]):
    """An operation that was started. Iterate over it to follow its progress, or await `result`; who goes away leaves it running.

    P is what the progress of such operations is told as.
    """

    def __init__(self, operations: OperationsClient, started: pb.Operation, read: Callable[[pb.Operation], P]) -> None:
        """read: what an operation says of its progress."""
        self._operations = operations
        self._read = read
        self.operation = started
        """As it was last told."""

    @property
    def operation_id(self) -> str:
        """Finds it again, also in another process."""
        return self.operation.operation_id

    @property
    def progress(self) -> P:
        """How far it was when it was last told of."""
        return self._read(self.operation)

    @property
    def over(self) -> bool:
        """It was over when it was last told of."""
        return self.operation.state in OVER

    def __aiter__(self) -> AsyncIterator[P]:
        """How far it is, whenever that changes, until it is over; then the typed error that it failed with, if it did."""
        return self._follow(None)

    async def result(self, *, timeout: float | None = None) -> P:
        """Wait until it is over; what it came to.

        Raises the typed error that it failed with, CancelledError (of this package) where it was cancelled, DeadlineExceededError
        also where it is not `over` within the timeout.
        """
        async for _ in self._follow(timeout):
            pass
        return self.progress

    async def cancel(self, *, timeout: float | None = None) -> P:
        """Stop it, and return what it came to. One that is over stays as it is."""
        self.operation = await self._operations.cancel(self.operation_id, timeout=timeout)
        return self.progress

    async def _follow(self, timeout: float | None) -> AsyncGenerator[P, None]:
        if self.over:
            yield self.progress
        else:
            async with contextlib.aclosing(self._operations.watch(self.operation_id, timeout=timeout)) as changes:
                async for self.operation in changes:
                    yield self.progress
        if self.operation.HasField("error"):
            raise from_failure(self.operation.error)


class _Search:
    """For the node that has an operation, among those that a channel calls in turn."""

    def __init__(self) -> None:
        self._tries = 0
        self._asked: set[str] = set()

    def goes_on_after(self, error: NotFoundError) -> None:
        """Raise `error` where asking again has no use."""
        self._tries += 1
        self._asked.add(error.metadata.get("answered_by", ""))
        if error.reason != "OPERATION_ELSEWHERE" or self._tries >= TRIES + TRIES_PER_NODE * len(self._asked):
            raise error
