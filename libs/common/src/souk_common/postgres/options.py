"""What a pool can be told, and what it says of itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from souk_common.postgres.errors import PostgresError
from souk_common.telemetry.metrics import Buckets

STARTUP_SETTINGS = frozenset({"application_name"})
"""What PgBouncer takes from who connects; the rest it refuses or ignores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """The limits of a pool. Times are in seconds."""

    name: str = "postgres"
    """In logs and metrics."""
    size: int = 10
    """Connections at most."""
    min_open: int = 1
    """Connections that are kept open; `size` at most."""
    max_connecting: int = 2
    """Connections that are opened at once. A server that starts processes for all who came at once answers none of them; most are
    served by those that there are before another is open."""
    slow_connect: float = 0.5
    """An attempt to connect that takes longer is not counted as one of those: it may hang."""
    max_waiting: int = 100
    """Callers that wait for a connection at once; the next is refused, without I/O."""
    acquire_timeout: float = 5.0
    """A caller waits so long for a connection."""
    connect_timeout: float = 5.0
    """For one attempt to connect, login included."""
    check_timeout: float = 1.0
    """For everything that is done to a connection between two callers: a ping, a rollback, a close. One that does not answer
    in time is replaced."""
    keep_alive: float = 30.0
    """A connection that was not used for so long is pinged, so that a dead one is found before a caller finds it."""
    idle_timeout: float = 300.0
    """One that was not used for so long is closed, down to min_open."""
    max_age: float = 3600.0
    """One that is older (give or take a tenth) is replaced: it gives back what memory its server process has gathered."""
    max_statements: int = 256
    """Prepared statements that a connection keeps; the least recently used goes."""
    reconnect_delay: float = 0.1
    """After a failed attempt to connect; doubles with each, and is shortened at random by up to a half."""
    max_reconnect_delay: float = 5.0
    """The longest of these delays."""
    server_settings: Mapping[str, str] = field(default_factory=dict)
    """Of every session, as statement_timeout, work_mem, jit, plan_cache_mode, application_name: parameters of the connection,
    and behind a transaction pooler SET LOCAL."""
    behind_pooler: bool | None = None
    """Whether PgBouncer, or another that pools transactions, is between: no prepared statements, settings by SET LOCAL. None:
    each connection finds out, by one query when it is opened."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_open <= self.size or self.size < 1:
            raise ValueError("size must be at least 1, and min_open no more than size")
        if self.max_waiting < 0 or self.max_statements < 1 or self.max_connecting < 1:
            raise ValueError("max_waiting must not be negative, max_statements and max_connecting at least 1")
        spans = ("acquire_timeout", "connect_timeout", "slow_connect", "check_timeout", "keep_alive", "idle_timeout", "max_age")
        for name in spans:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        if not 0 < self.reconnect_delay <= self.max_reconnect_delay:
            raise ValueError("reconnect_delay must be more than 0, and no more than max_reconnect_delay")
        local_settings(self.server_settings)


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at one moment. Counts are since it was made."""

    name: str
    size: int
    """The most connections that it may have."""
    open: int
    """Connections that it has: free + in_use + in_care."""
    free: int
    in_use: int
    in_care: int
    """Pinged, rolled back or closed, between two callers."""
    connecting: int
    waiting: int
    """Callers that wait for a connection."""
    max_waiting: int
    """Callers that may."""
    acquired: int
    """Connections handed out."""
    waits: Buckets
    """Seconds that callers waited, of those who had to and got one."""
    service_seconds: float
    """The mean of late uses."""
    refused: int
    """Callers turned away because too many waited."""
    timeouts: int
    """Callers that no connection came free for in time."""
    connects: int
    reconnects: int
    """Connections opened in the place of lost ones."""
    failed_connects: int
    lost: int
    """Connections that ended without us."""
    replaced: int
    """Connections that we gave up, because they did not answer or could not be cleaned."""
    interrupted: int
    """Uses that ended in mid-statement: canceled, or over their time."""
    prepared: int
    """Statements prepared."""
    prepared_again: int
    """Of these, such whose plan had become invalid."""
    server_version: str
    """As 18.4; "" before the first connection."""
    behind_pooler: bool
    """PgBouncer or another was found."""
    down: PostgresError | None
    """Why nobody gets a connection; None where somebody does."""


def local_settings(settings: Mapping[str, str]) -> str:
    """SET LOCAL of all of them, but what a pooler takes as a parameter of the connection; "" where that leaves none."""
    statements = []
    for name, value in settings.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", name):
            raise ValueError(f"{name!r} is no name of a setting")
        if "\x00" in value or "\\" in value:
            raise ValueError(f"the value of {name} has a character that no setting has")
        if name not in STARTUP_SETTINGS:
            literal = value.replace("'", "''")
            statements.append(f"SET LOCAL {name} = '{literal}'")
    return "; ".join(statements)
