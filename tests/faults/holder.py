"""A client process that takes the lease of a key, says so, and then does nothing more: address, namespace and key as arguments."""

import signal
import sys

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub


def main() -> None:
    """Hold the lease until killed."""
    address, namespace, key = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        request = pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(lease=True))
        sys.stdout.write(f"{CacheServiceStub(channel).Get(request, timeout=10).result.WhichOneof('result')}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
