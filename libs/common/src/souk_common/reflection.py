"""gRPC reflection that also finds methods, which the descriptor pool of the protobuf runtime does not know as symbols."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection


class _Pool:
    """The default pool, in which `package.Service.Method` is in the file of its service."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file of a symbol; KeyError where there is none."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            if method not in found.methods_by_name:
                raise
            return found.file


def enable(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serve reflection of `services`, by their full names, and of itself."""
    pool: Any = _Pool()
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server, pool=pool)
