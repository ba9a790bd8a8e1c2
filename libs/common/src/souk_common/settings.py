"""The settings that all services share. Each is an environment variable: the service's prefix and the field's name in capitals."""

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

S = TypeVar("S", bound="ServiceSettings")


OF_CLIENTS = "ADDRESS"
"""What a variable with the prefix of a service ends with that is for its clients: where they find it."""


class SettingsInvalidError(Exception):
    """Settings cannot be used. The text has a line for each, by the name of its variable."""


def from_environment(kind: type[S]) -> S:
    """The settings of a service. Raises SettingsInvalidError, which names everything that is wrong."""
    prefix = kind.model_config.get("env_prefix", "")
    try:
        return kind()
    except ValidationError as error:
        raise SettingsInvalidError("\n".join(problems(error, lambda where: f"{prefix}{'_'.join(where).upper()}"))) from error
    except SettingsError as error:  # a list or a mapping that is no JSON; the text names the field in quotes
        field = str(error).partition('"')[2].partition('"')[0]
        raise SettingsInvalidError(f'{prefix}{field.upper()}: must be JSON, as ["one", "two"]') from error


def unknown_variables(kind: type["ServiceSettings"], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with the prefix of a service that are none of its settings, and so do nothing; each with the most alike that is
    one, or "" where none is alike."""
    prefix = kind.model_config.get("env_prefix", "")
    known = [name.upper() for name in kind.model_fields]
    unknown = {}
    for variable in sorted(environment):
        name = variable.upper().removeprefix(prefix)
        if prefix and variable.upper().startswith(prefix) and name not in (*known, OF_CLIENTS):
            unknown[variable] = "".join(f"{prefix}{near}" for near in difflib.get_close_matches(name, known, n=1))
    return unknown


def problems(error: ValidationError, name: Callable[[list[str]], str]) -> list[str]:
    """What is wrong, a line each. name: what the place of a value is called, where there is one."""
    return [
        f"{name([str(part) for part in each['loc']])}: {each['msg']}" if each["loc"] else each["msg"].removeprefix("Value error, ")
        for each in error.errors()
    ]


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach a port that is bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ServiceSettings(BaseSettings):
    """What every service can be told. A service's own settings derive from it and set `env_prefix`."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    # Server
    host: str = Field("127.0.0.1", description="Address that gRPC listens on.")
    port: int = Field(0, ge=0, le=65535, description="Port of gRPC. 0: a free one, which the log and the ready file tell.")
    http_host: str | None = Field(None, description="Address that HTTP listens on. Default: host.")
    http_port: int = Field(0, ge=0, le=65535, description="Port of HTTP, where the service has it. 0: a free one.")
    health_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for grpc.health.v1 in plaintext, for probes that speak no TLS. Unset: none.",
    )
    reflection: bool = Field(True, description="Serve gRPC reflection.")
    allow_plaintext: bool = Field(False, description="Serve plaintext on an address that others can reach.")
    max_message_bytes: int = Field(4 * 1024 * 1024, gt=0, description="Largest message taken, in bytes.")
    max_connection_age: float = Field(
        1800.0,
        gt=0,
        description="Seconds after which a connection is asked to come again, so that clients spread over replicas.",
    )
    max_connection_age_grace: float = Field(120.0, gt=0, description="Seconds that calls of such a connection may still take.")
    ready_file: Path | None = Field(None, description="File that gets the bound addresses as JSON, once the service listens.")

    # Shutdown
    drain_delay: float = Field(
        0.0,
        ge=0,
        description="Seconds between readiness NOT_SERVING and the end of taking calls, for load balancers to notice.",
    )
    drain_grace: float = Field(25.0, ge=0, description="Seconds that calls in flight get to finish at shutdown.")

    # TLS
    tls_cert_file: Path | None = Field(None, description="PEM file of the server's certificate chain. Set: gRPC speaks TLS.")
    tls_key_file: Path | None = Field(None, description="PEM file of its private key.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of client certificates. Set: every client must show one (mTLS)."
    )

    # Auth
    auth_file: Path | None = Field(
        None,
        description="YAML file of principals with their token hashes and certificate names. Set: calls must be authorised.",
    )
    auth_reload_interval: float = Field(5.0, gt=0, description="Seconds between looks at whether the auth file has changed.")

    # Admission
    max_rpcs: int = Field(1000, gt=0, description="Calls in flight at the most. One more gets UNAVAILABLE.")
    max_rpcs_per_caller: int = Field(
        500, gt=0, description="Calls in flight of one caller at the most. One more gets RESOURCE_EXHAUSTED."
    )
    rpcs_per_second_per_caller: float = Field(
        0.0, ge=0, description="Calls a second that one caller may make; bursts of one second's worth. 0: no quota."
    )
    max_http_requests: int = Field(
        256,
        gt=0,
        description="HTTP requests in flight at the most. One more gets 503, but where one that waits for its body gives way.",
    )
    http_head_timeout: float = Field(
        10.0, gt=0, le=300, description="Seconds in which the head of an HTTP request must come, or its connection is closed."
    )

    http_head_bytes: int = Field(
        64 * 1024,
        ge=8192,
        description="Bytes of the head of an HTTP request that come before its end, at the most. Beyond it the answer is 431.",
    )

    # Telemetry
    otlp_endpoint: str | None = Field(
        None, description="OTLP/gRPC collector of traces and metrics, as http://host:4317. Unset: none."
    )
    monitor_endpoint: str | None = Field(
        None,
        description="Where monitor, or another that takes OTLP/gRPC logs and traces, is told of the errors that are logged and "
        "the calls that are traced, as http://monitor:50054; https:// is TLS. Unset: nowhere.",
    )
    monitor_token: SecretStr | None = Field(None, description="Token to call it with. It needs the scope monitor.report.")
    trace_ratio: float = Field(0.01, ge=0, le=1, description="Share of calls without a caller's decision that are traced.")
    metrics_interval: float = Field(15.0, gt=0, description="Seconds between exports of metrics.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error.")
    log_success_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of fast, successful calls that get a log line. Errors and slow calls always do.",
    )
    slow_seconds: float = Field(0.1, gt=0, description="A call that takes longer is logged with its parts.")

    @property
    def http_address(self) -> str:
        """Address that HTTP listens on."""
        return self.http_host or self.host

    def _monitor_is_here(self) -> bool:
        return is_loopback(urlsplit(self.monitor_endpoint or "").hostname or "")

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        prefix = self.model_config.get("env_prefix", "")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError(f"{prefix}TLS_CERT_FILE and {prefix}TLS_KEY_FILE are set together, or not at all")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError(f"{prefix}TLS_CLIENT_CA_FILE needs {prefix}TLS_CERT_FILE and {prefix}TLS_KEY_FILE")
        if self.monitor_token and not (self.monitor_endpoint or "").startswith("https://") and not self._monitor_is_here():
            raise ValueError(
                f"without TLS {prefix}MONITOR_TOKEN could be read on the way: {prefix}MONITOR_ENDPOINT must begin with https://, "
                "or be of this machine"
            )
        if not self.tls_cert_file and not self.allow_plaintext and not is_loopback(self.host):
            raise ValueError(
                f"{prefix}HOST={self.host} can be reached from other machines, and without TLS every call could be read and "
                f"changed on the way: set {prefix}TLS_CERT_FILE and {prefix}TLS_KEY_FILE, or {prefix}ALLOW_PLAINTEXT=true where "
                "something else protects the connection"
            )
        return self


class OperationSettings(ServiceSettings):
    """What a service is told that has operations (souk_common.operations)."""

    max_operations: int = Field(
        16, gt=0, le=10_000, description="Operations at work at once. One more gets RESOURCE_EXHAUSTED, and RetryInfo."
    )
    max_kept_operations: int = Field(1000, ge=0, le=100_000, description="Operations that are over and can still be asked about.")
    operation_retention: float = Field(3600.0, ge=0, description="Seconds that an operation can be asked about when it is over.")
