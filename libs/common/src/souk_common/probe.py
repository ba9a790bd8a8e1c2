"""`python -m souk_common.probe ADDRESS [SERVICE]`: asks grpc.health.v1 in plaintext; exit status 0 where it is SERVING."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT = 2.0


def main(arguments: list[str]) -> int:
    """0 where the service is SERVING, 1 where it is not or does not answer, 2 where the call is wrong."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: python -m souk_common.probe ADDRESS [SERVICE]\n")
        return 2
    request = health_pb2.HealthCheckRequest(service=arguments[1] if len(arguments) == 2 else "")
    with grpc.insecure_channel(arguments[0]) as channel:
        try:
            status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT).status  # type: ignore[attr-defined]
        except grpc.RpcError as error:
            sys.stderr.write(f"{arguments[0]}: {error.code().name}\n")
            return 1
    sys.stdout.write(f"{health_pb2.HealthCheckResponse.ServingStatus.Name(status)}\n")
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
