"""What an error of a call says, as any client can read it."""

from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Failure:
    """Of one call."""

    code: str
    reason: str = ""
    """Of its ErrorInfo; '' where the server did not say, as when it is gone."""
    retry_after: float | None = None
    """Of its RetryInfo, in seconds."""
    message: str = field(default="", compare=False)


def failure(error: grpc.aio.AioRpcError) -> Failure:
    """Read google.rpc.Status from the trailers."""
    reason, retry_after = "", None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    reason = info.reason
                elif detail.Unpack(retry):
                    retry_after = retry.retry_delay.ToMicroseconds() / 1e6
    return Failure(error.code().name, reason, retry_after, error.details() or "")
