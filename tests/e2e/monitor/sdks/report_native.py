"""Reports the failures of the shop by the native rpc, with the stack as Python prints it: `report_native.py HOST:PORT`."""

import sys
import traceback

import grpc
import shop
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc


def report(error: Exception) -> pb.ErrorReport:
    text = "".join(traceback.format_exception(error))
    exception = pb.ExceptionReport(type=type(error).__name__, value=str(error), stack_text=text)
    return pb.ErrorReport(platform="python", exceptions=[exception])


def main(address: str) -> None:
    reports: list[pb.ErrorReport] = []
    shop.fail_in_every_way(lambda _, error: reports.append(report(error)))
    with grpc.insecure_channel(address) as channel:
        stub = error_pb2_grpc.ErrorServiceStub(channel)
        results = stub.ReportErrors(pb.ReportErrorsRequest(project="shop", reports=reports)).results
    assert all(result.HasField("accepted") for result in results)


if __name__ == "__main__":
    main(sys.argv[1])
