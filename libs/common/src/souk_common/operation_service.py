"""The servicer of souk.common.v1.OperationService, over the operations of a node."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from souk.common.v1 import operations_pb2 as pb
from souk.common.v1 import operations_pb2_grpc as pb_grpc

from souk_common.call import caller
from souk_common.errors import FieldViolation, invalid_fields
from souk_common.operations import Operation, Operations, State
from souk_common.paging import page_position, page_token, page_token_refused
from souk_common.server import Registration

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
SERVICE = "souk.common.v1.OperationService"
LONG_LIVED = frozenset({f"/{SERVICE}/WatchOperation"})
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 200
MAX_ID_LENGTH = 128
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_STATES: Mapping[State, pb.OperationState.ValueType] = {
    State.PENDING: pb.OPERATION_STATE_PENDING,
    State.RUNNING: pb.OPERATION_STATE_RUNNING,
    State.SUCCEEDED: pb.OPERATION_STATE_SUCCEEDED,
    State.FAILED: pb.OPERATION_STATE_FAILED,
    State.CANCELLED: pb.OPERATION_STATE_CANCELLED,
}
_BY_NUMBER = {number: state for state, number in _STATES.items()}


def scopes(service: str) -> dict[str, str]:
    """The scopes that a service asks for, by full method names. service: what its scopes begin with, as "cache"."""
    read = {f"/{SERVICE}/{name}": f"{service}.read" for name in ("GetOperation", "ListOperations", "WatchOperation")}
    return {**read, f"/{SERVICE}/CancelOperation": f"{service}.write"}


def registration(operations: Operations) -> Registration:
    """What a service that has operations serves beside its own."""
    return Registration(pb_grpc.add_OperationServiceServicer_to_server, OperationServicer(operations), SERVICE)


def request_id(value: str) -> list[FieldViolation]:
    """What is wrong with a request_id, which may be empty."""
    if value and not _REQUEST_ID.fullmatch(value):
        return [FieldViolation("request_id", "must be 1 to 128 visible ASCII characters")]
    return []


class OperationServicer(pb_grpc.OperationServiceServicer):
    """Maps each rpc to one call of the registry."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetOperation(self, request: pb.GetOperationRequest, context: Context) -> pb.GetOperationResponse:
        """See the proto."""
        _check_id(request.operation_id)
        return pb.GetOperationResponse(operation=message(self._operations.get(request.operation_id)))

    async def ListOperations(self, request: pb.ListOperationsRequest, context: Context) -> pb.ListOperationsResponse:
        """See the proto."""
        states = _states(request)
        size = request.page_size or DEFAULT_PAGE_SIZE
        good_for = (self._operations.life, sorted(set(request.states)))  # one filter, on one node, in one of its lives
        position = page_position(request.page_token, *good_for)
        if not position.isdecimal() and position:
            raise page_token_refused()
        found = self._operations.list(states, before=int(position) if position else None, size=size + 1)
        token = page_token(str(found[size - 1].number), *good_for) if len(found) > size else ""
        return pb.ListOperationsResponse(operations=map(message, found[:size]), next_page_token=token)

    async def CancelOperation(self, request: pb.CancelOperationRequest, context: Context) -> pb.CancelOperationResponse:
        """See the proto."""
        _check_id(request.operation_id)
        return pb.CancelOperationResponse(
            operation=message(await self._operations.cancel(request.operation_id, principal=caller()))
        )

    async def WatchOperation(self, request: pb.WatchOperationRequest, context: Context) -> AsyncIterator[pb.WatchOperationResponse]:
        """See the proto."""
        _check_id(request.operation_id)
        async with contextlib.aclosing(self._operations.watch(request.operation_id)) as changes:
            async for operation in changes:
                yield pb.WatchOperationResponse(operation=message(operation))


def message(operation: Operation) -> pb.Operation:
    """An operation as callers see it."""
    progress = operation.progress
    return pb.Operation(
        operation_id=operation.operation_id,
        method=operation.method,
        target=operation.target,
        principal=operation.principal,
        state=_STATES[operation.state],
        create_time=_timestamp(operation.create_time),
        start_time=_timestamp(operation.start_time),
        end_time=_timestamp(operation.end_time),
        deadline_time=_timestamp(operation.deadline_time),
        progress=pb.OperationProgress(total=progress.total, done=progress.done, unit=progress.unit, counts=progress.counts),
        error=operation.error.failure() if operation.error is not None else None,
    )


def _timestamp(seconds: float | None) -> Timestamp | None:
    if seconds is None:
        return None
    made = Timestamp()
    made.FromMicroseconds(round(seconds * 1e6))
    return made


def _check_id(operation_id: str) -> None:
    if not 0 < len(operation_id) <= MAX_ID_LENGTH or not operation_id.isprintable():
        raise invalid_fields([FieldViolation("operation_id", "must be the id of an operation, as it was told")])


def _states(request: pb.ListOperationsRequest) -> set[State]:
    violations = []
    if not all(number in _BY_NUMBER for number in request.states):
        violations.append(FieldViolation("states", "must be states that an operation can have"))
    if not 0 <= request.page_size <= MAX_PAGE_SIZE:
        violations.append(FieldViolation("page_size", f"must be 0 to {MAX_PAGE_SIZE}"))
    if violations:
        raise invalid_fields(violations)
    return {_BY_NUMBER[number] for number in request.states}
