"""The services that `souk up` can start, and what to try on each."""

import importlib.util
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One call to try."""

    method: str
    """Full name, as "souk.imaging.v1.ImagingService/ListImages"."""
    request: str = "{}"
    """JSON."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service that can be started."""

    name: str
    grpc_port: int
    http_port: int | None
    """None: the service has no HTTP."""
    proto: str
    """The full name of its proto service."""
    examples: tuple[Example, ...]
    commands: tuple[str, ...] = ()
    """Command lines; {address} is put in."""
    folder_setting: str | None = None
    """The setting that names the folder of its files, where it keeps any."""
    redis_setting: str | None = None
    """The setting that names its Redis, where it stands on one."""
    database_setting: str | None = None
    """The setting that names its database, where it stands on one."""
    cache_setting: str | None = None
    """The setting that names the cache service, where it uses one that is there."""
    has_dashboard: bool = False
    """Its HTTP is for people."""

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"souk_{self.name}"

    @property
    def prefix(self) -> str:
        """What its environment variables begin with."""
        return f"SOUK_{self.name.upper()}_"

    def tries(self, address: str) -> list[str]:
        """Lines for a shell that work as they are."""
        lines = [f"grpcurl -plaintext {address} list {self.proto}"]
        for example in self.examples:
            data = "" if example.request == "{}" else f" -d '{example.request}'"
            lines.append(f"grpcurl -plaintext{data} {address} {example.method}")
        return [*lines, *(command.format(address=address) for command in self.commands)]


IMAGING = Service(
    name="imaging",
    grpc_port=50051,
    http_port=8081,
    proto="souk.imaging.v1.ImagingService",
    examples=(
        Example("grpc.health.v1.Health/Check", json.dumps({"service": "readiness"})),
        Example("souk.imaging.v1.ImagingService/ListImages", json.dumps({"page_size": 5})),
    ),
    commands=("souk image upload PHOTO.jpg --address {address}",),
    folder_setting="STATE_DIR",
)
CACHE = Service(
    name="cache",
    grpc_port=50052,
    http_port=None,
    proto="souk.cache.v1.CacheService",
    examples=(
        Example("souk.cache.v1.CacheService/ListNamespaces"),
        Example("souk.cache.v1.CacheService/Put", json.dumps({"namespace": "product", "key": "1", "value": "c2hvZQ=="})),
        Example("souk.cache.v1.CacheService/Get", json.dumps({"namespace": "product", "key": "1"})),
    ),
    commands=("souk cache put product 1 shoe --address {address}", "souk cache stats --watch --address {address}"),
    redis_setting="REDIS_URL",
)
DBOPT = Service(
    name="dbopt",
    grpc_port=50053,
    http_port=None,
    proto="souk.dbopt.v1.QueryService",
    examples=(
        Example("souk.dbopt.v1.QueryService/ListQueries", json.dumps({"prefix": "product."})),
        Example("souk.dbopt.v1.QueryService/ExecuteQuery", json.dumps({"name": "category.list"})),
        Example("souk.dbopt.v1.QueryService/GetPoolStatus"),
    ),
    commands=("souk db pool --address {address}",),
    database_setting="DSN",
    cache_setting="CACHE_ADDRESS",
)
MONITOR = Service(
    name="monitor",
    grpc_port=50054,
    http_port=8080,
    proto="souk.monitor.v1.ErrorService",
    examples=(
        Example(
            "souk.monitor.v1.ErrorService/ReportErrors",
            json.dumps({"reports": [{"platform": "python", "exceptions": [{"type": "ValueError", "value": "no seller 17"}]}]}),
        ),
        Example("souk.monitor.v1.ErrorService/ListIssues"),
    ),
    commands=("souk errors list --address {address}", "souk errors tail --address {address}"),
    database_setting="DSN",
    has_dashboard=True,
)
_ALL = (IMAGING, CACHE, DBOPT, MONITOR)


def installed() -> dict[str, Service]:
    """The services that are there to be started."""
    return {service.name: service for service in _ALL if importlib.util.find_spec(service.module)}


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a service is to listen on, and how to choose another."""

    service: str
    number: int
    option: str

    def is_free(self, host: str) -> bool:
        """Whether it can be listened on now."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a port in TIME_WAIT is free
            try:
                probe.bind((host, self.number))
            except OSError:
                return False
        return True


def free_port(host: str) -> int:
    """A port that can be listened on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        number: int = probe.getsockname()[1]
        return number


def ports_of(service: Service, environment: Mapping[str, str]) -> list[Port]:
    """The fixed ports that a service started with this environment will want."""
    wanted = [("PORT", service.grpc_port, "--port"), ("HTTP_PORT", service.http_port, "--http-port")]
    ports = []
    for setting, default, option in wanted:
        number = environment.get(f"{service.prefix}{setting}") or str(default or 0)
        if number.isdigit() and int(number):
            ports.append(Port(service.name, int(number), option))
    return ports
