"""A failed call becomes a typed error, whatever it brings."""

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from souk.client import (
    CancelledError,
    DataLossError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    SoukError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    from_failure,
)
from souk.client._errors import from_rpc_error
from souk.common.v1 import errors_pb2

Code = grpc.StatusCode


def failed(code: Code, details: str = "", *trailers: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details)


def status(code: Code, *details: object) -> tuple[str, bytes]:
    message = status_pb2.Status(code=code.value[0], message="said")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        message.details.append(packed)
    return "grpc-status-details-bin", message.SerializeToString()


def test_every_part_of_a_rich_error_arrives():
    info = error_details_pb2.ErrorInfo(reason="IMAGE_NOT_FOUND", domain="souk.imaging.v1", metadata={"image_id": "01"})
    request = error_details_pb2.BadRequest()
    request.field_violations.add(field="spec.owner", description="must be short")
    request.field_violations.add(field="tags", description="must be few")
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2, nanos=500_000_000))
    error = from_rpc_error(failed(Code.NOT_FOUND, "no such image", status(Code.NOT_FOUND, retry, request, info)))
    assert type(error) is NotFoundError
    assert (error.code, error.reason, error.domain) == (Code.NOT_FOUND, "IMAGE_NOT_FOUND", "souk.imaging.v1")
    assert error.message == "no such image"
    assert error.metadata == {"image_id": "01"}
    assert error.field_violations == (FieldViolation("spec.owner", "must be short"), FieldViolation("tags", "must be few"))
    assert error.retry_delay == 2.5
    assert str(error) == "no such image [IMAGE_NOT_FOUND]"


def test_an_error_without_details_has_its_class_by_its_code():
    error = from_rpc_error(failed(Code.UNIMPLEMENTED, "what?"))
    assert type(error) is UnimplementedError
    assert (error.reason, error.domain, error.metadata, error.field_violations, error.retry_delay) == ("", "", {}, (), None)


def test_an_internal_error_shows_the_id_that_the_log_has():
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain="souk.common.v1", metadata={"error_id": "c0ffee"})
    error = from_rpc_error(failed(Code.INTERNAL, "a fault", status(Code.INTERNAL, info)))
    assert isinstance(error, InternalError)
    assert error.error_id == "c0ffee"


def test_a_cancelled_without_a_reason_is_a_server_that_stops():
    error = from_rpc_error(failed(Code.CANCELLED, "CANCELLED"))
    assert type(error) is UnavailableError
    assert "stopping" in error.message
    info = error_details_pb2.ErrorInfo(reason="OPERATION_CANCELLED", domain="souk.common.v1")
    assert type(from_rpc_error(failed(Code.CANCELLED, "by shop", status(Code.CANCELLED, info)))) is CancelledError


def test_the_pushback_trailer_is_the_retry_delay_where_there_is_no_retry_info():
    assert from_rpc_error(failed(Code.UNAVAILABLE, "", ("grpc-retry-pushback-ms", "1500"))).retry_delay == 1.5
    assert from_rpc_error(failed(Code.UNAVAILABLE, "", ("grpc-retry-pushback-ms", "soon"))).retry_delay is None
    assert from_rpc_error(failed(Code.UNAVAILABLE, "", ("grpc-retry-pushback-ms", "-1"))).retry_delay is None


def test_details_of_another_status_are_not_believed():
    info = error_details_pb2.ErrorInfo(reason="IMAGE_NOT_FOUND", domain="souk.imaging.v1")
    error = from_rpc_error(failed(Code.UNAVAILABLE, "a proxy says so", status(Code.NOT_FOUND, info)))
    assert isinstance(error, UnavailableError)
    assert error.reason == ""


def test_one_damaged_detail_leaves_the_others_readable():
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="souk.common.v1")
    message = status_pb2.Status.FromString(status(Code.UNAVAILABLE, info)[1])
    message.details.insert(0, any_pb2.Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff\xff"))
    error = from_rpc_error(failed(Code.UNAVAILABLE, "", ("grpc-status-details-bin", message.SerializeToString())))
    assert (error.reason, error.field_violations) == ("OVERLOADED", ())


@given(st.binary(max_size=200), st.sampled_from(list(Code)))
def test_malformed_details_never_raise_anything_else(details: bytes, code: Code):
    error = from_rpc_error(failed(code, "text", ("grpc-status-details-bin", details)))
    assert isinstance(error, SoukError)
    assert error.code is code
    assert error.message == "text" or code is Code.CANCELLED


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_every_status_code_has_a_class(code: Code):
    error = from_rpc_error(failed(code))
    assert error.code is code
    assert (type(error) is UnknownError) == (code is Code.UNKNOWN)
    assert error.message


def test_a_failed_image_carries_the_error_that_a_call_would_have_raised():
    failure = errors_pb2.Failure(
        code=3, reason="IMAGE_CORRUPT", domain="souk.imaging.v1", message="cannot be decoded", metadata={"a": "b"}
    )
    error = from_failure(failure)
    assert type(error) is InvalidArgumentError
    assert (error.reason, error.message, error.metadata) == ("IMAGE_CORRUPT", "cannot be decoded", {"a": "b"})
    assert type(from_failure(errors_pb2.Failure(code=99))) is UnknownError
    assert type(from_failure(errors_pb2.Failure(code=15))) is DataLossError
