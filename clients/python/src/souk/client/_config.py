"""How a client reaches a service."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client is told. Times are in seconds, sizes in bytes."""

    target: str = "127.0.0.1:50051"
    """host:port, or a gRPC name such as dns:///imaging.souk.svc:50051, whose addresses are all used in turn."""
    token: str | None = field(default=None, repr=False)
    """Sent as `authorization: Bearer …` with every call. Refused without TLS, unless the target is this machine."""
    allow_plaintext: bool = False
    """Send the token without TLS to another machine, where something else protects the connection."""
    tls_ca_file: Path | None = None
    """PEM file of the authorities that the server's certificate must be of. Set, or with `tls`: the connection is TLS."""
    tls: bool = False
    """TLS with the authorities that gRPC knows."""
    tls_cert_file: Path | None = None
    """PEM file of the client's own certificate, for mTLS. Needs `tls_key_file`."""
    tls_key_file: Path | None = None
    """PEM file of its private key."""
    tls_server_name: str | None = None
    """The name that the server's certificate is checked for, where it is not that of the target."""
    timeout: float = 10.0
    """For a call that says nothing else."""
    upload_timeout: float = 120.0
    """For an upload or a download, all attempts together."""
    attempts: int = 4
    """How often a call that may be repeated is made, at the most; 1 to 5. A stream that has moved on counts anew."""
    initial_backoff: float = 0.1
    """Before the second attempt; doubles with each, spread by 20 %. What the server says (RetryInfo) wins where it is longer."""
    max_backoff: float = 5.0
    """Between two attempts at the most, but for what the server says."""
    chunk_bytes: int = 1024 * 1024
    """Photos are sent in pieces of so many bytes; at most 1 MiB, the fastest. Smaller ones make a progress bar smoother."""
    max_message_bytes: int = 4 * 1024 * 1024
    """Largest message taken."""
    max_request_bytes: int = 4 * 1024 * 1024
    """Largest message that the service takes (its MAX_MESSAGE_BYTES): what is more is sent in parts, where there are parts."""
    keepalive: float = 30.0
    """A connection with calls in flight that is silent for so long is asked whether it is alive."""
    keepalive_timeout: float = 10.0
    """One that does not answer for so long is given up."""
    health_service: str | None = None
    """Use only addresses that say SERVING for this name of grpc.health.v1, as "readiness". None: all that can be reached."""
    user_agent: str = "souk-client"
    """Put before gRPC's own."""

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 5:
            raise ValueError("attempts must be 1 to 5, which is the most that gRPC makes")
        if not 1 <= self.chunk_bytes <= 1024 * 1024:
            raise ValueError("chunk_bytes must be 1 to 1 MiB")
        if self.max_request_bytes < 1:
            raise ValueError("max_request_bytes must be at least 1")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file are set together, or not at all")
        if self.token is not None and not all("!" <= letter <= "~" for letter in self.token):
            raise ValueError("token must be visible ASCII characters")
        if self.token and not self.uses_tls and not self.allow_plaintext and not _stays_here(self.target):
            raise ValueError(
                f"without TLS the token could be read on the way to {self.target}: set tls or tls_ca_file, or allow_plaintext if "
                "something else protects the connection"
            )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is TLS."""
        return bool(self.tls or self.tls_ca_file or self.tls_cert_file)


def _stays_here(target: str) -> bool:
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    try:
        host = urlsplit(f"//{target.rpartition('/')[2]}").hostname
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
