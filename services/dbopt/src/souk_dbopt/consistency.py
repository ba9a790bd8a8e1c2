"""Consistency tokens: places in the log of a PostgreSQL cluster, which a read can ask to have seen."""

import re
from dataclasses import dataclass, field

from souk_dbopt.exceptions import ConsistencyTokenInvalidError

POSITION = """CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,
    extract(epoch FROM pg_postmaster_start_time())::float8"""
"""Two columns: how far a server is, and when it was started. In the statement of a read they are asked after its snapshot was
taken, and so cover what it saw."""
EVERYTHING = 2**64 - 1
"""As the `lsn` of a position: more than a replica ever has, so that only the primary will do."""
_TOKEN = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,8})-([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to here in one cluster's log, on one of its timelines."""

    system: int
    """The cluster's system identifier."""
    timeline: int
    """Grows with each promotion of a replica."""
    lsn: int
    """Bytes of log."""
    token: str = field(init=False, repr=False, compare=False)
    """As a caller has it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", f"{self.system:x}-{self.timeline:x}-{self.lsn:x}")

    def __str__(self) -> str:
        return self.token

    def is_past(self, other: "Position") -> bool:
        """Whether it is known to be of a later moment. Not where they are the same: a server is past the end of a transaction a
        little before others can see what it wrote."""
        return (self.system, self.timeline) == (other.system, other.timeline) and self.lsn > other.lsn

    @classmethod
    def parse(cls, token: str) -> "Position | None":
        """The place that a token names; None for the empty one. ConsistencyTokenInvalidError."""
        if not token:
            return None
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise ConsistencyTokenInvalidError("the consistency token is malformed")
        return cls(*(int(part, 16) for part in found.groups()))
