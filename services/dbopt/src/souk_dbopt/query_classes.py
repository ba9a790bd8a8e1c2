"""Classes of queries. Each has its own connections, whose session settings are made once, when they are opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_COMMON = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "client_min_messages": "warning",
    "idle_in_transaction_session_timeout": "30s",
    "random_page_cost": "1.1",  # of SSDs and of memory; with the default of 4 a page of a category is read from the index of all
}


@dataclass(frozen=True, slots=True)
class QueryClass:
    """What queries of one kind run with."""

    name: str
    description: str
    timeout: float
    """Seconds after which PostgreSQL ends a statement. A query may have less."""
    is_write: bool
    """Whether its sessions may write; those of others are read only."""
    own_settings: Mapping[str, str]
    """Besides those that all classes have."""

    def settings(self) -> dict[str, str]:
        """What asyncpg takes as server_settings."""
        return {
            **_COMMON,
            "statement_timeout": f"{round(self.timeout * 1000)}ms",
            "default_transaction_read_only": "off" if self.is_write else "on",
            **self.own_settings,
        }


_ALL = (
    QueryClass("lookup", "a few rows by their key", 2.0, False, {"jit": "off"}),
    QueryClass(
        "listing",
        "a page by optional filters; planned for each call, so that those not given are gone, and the index fits the rest",
        5.0,
        False,
        {"jit": "off", "plan_cache_mode": "force_custom_plan"},
    ),
    QueryClass(
        "search",
        "full-text search; planned for each call, for how many rows a word finds decides the plan",
        5.0,
        False,
        {"jit": "off", "plan_cache_mode": "force_custom_plan", "work_mem": "16MB"},
    ),
    QueryClass(
        "analytics",
        "figures over many rows",
        60.0,
        False,
        {"plan_cache_mode": "force_custom_plan", "work_mem": "64MB"},
    ),
    QueryClass("write", "changes; waits for a row for 5 s at the most", 10.0, True, {"jit": "off", "lock_timeout": "5s"}),
)
CLASSES: Mapping[str, QueryClass] = MappingProxyType({each.name: each for each in _ALL})
"""By name."""
