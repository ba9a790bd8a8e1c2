"""The settings of dbopt. Each is an environment variable: SOUK_DBOPT_ and the field's name in capitals."""

import socket
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from souk_common.settings import ServiceSettings

from souk_dbopt.catalogue import MAX_RESULT_BYTES
from souk_dbopt.explaining import MAX_PLAN
from souk_dbopt.query_classes import CLASSES

CONNECTIONS = {"lookup": 8, "listing": 4, "search": 4, "analytics": 2, "write": 8}


class DboptSettings(ServiceSettings):
    """What dbopt can be told, besides what every service can."""

    model_config = SettingsConfigDict(env_prefix="SOUK_DBOPT_")

    port: int = Field(50053, ge=0, le=65535, description="Port of gRPC. 0: a free one.")
    node: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=100, description="Name of this replica of dbopt, in logs."
    )

    # PostgreSQL
    dsn: SecretStr = Field(
        ...,
        description="The database, as postgresql://souk_service@host:5432/shop. `souk db migrate` makes the role, which may change "
        "no schema.",
    )
    replica_dsns: list[SecretStr] = Field(
        [],
        max_length=16,
        description="Its streaming replicas, as a JSON list. Which of all is the primary is found out: one may be promoted.",
    )
    explain_dsn: SecretStr | None = Field(
        None, description="The same as a role that may only read, for queries that callers bring to be explained. Unset: none are."
    )
    explain_timeout: float = Field(10.0, gt=0, le=600, description="Seconds that one statement to be explained may take.")
    explain_max_plan: int = Field(
        MAX_PLAN,
        ge=1_000,
        le=100_000_000,
        description="Characters of the plan of such a statement, as JSON with its constants. A larger one does not leave the "
        "database, and its caller is told.",
    )
    connections: dict[str, int] = Field(
        CONNECTIONS,
        description='Connections to each server at the most, by class of queries, as JSON, {"lookup": 16}. What is not said stays.',
    )
    max_waiting: int = Field(
        200, ge=0, description="Callers that may wait for a connection of one class. One more gets POOL_EXHAUSTED."
    )
    acquire_timeout: float = Field(2.0, gt=0, description="Seconds that a caller waits for one, at the most.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds for a new connection.")
    behind_pooler: bool | None = Field(
        None,
        description="Whether PgBouncer, or another that pools transactions, stands before the database. Unset: it is found out.",
    )

    # Replicas
    check_interval: float = Field(1.0, gt=0, le=60, description="Seconds between two looks at a server.")
    check_timeout: float = Field(0.5, gt=0, le=60, description="Seconds after which a server that does not answer is left out.")
    max_lag: float = Field(5.0, ge=0, description="Seconds that a replica may be behind the primary, and still take reads.")
    catch_up: float = Field(
        0.02,
        ge=0,
        le=10,
        description="Seconds that a read with a consistency token waits for a replica, before it goes to the primary.",
    )

    # Queries
    queries_dir: Path | None = Field(None, description="Folder with .sql files of your own, beside those that are shipped.")
    shipped_queries: bool = Field(
        True, description="Serve the queries that are shipped, which need the tables of `souk db migrate`."
    )
    max_result_bytes: int = Field(
        MAX_RESULT_BYTES,
        ge=1024,
        description="Rows that ExecuteQuery returns, and one row of StreamQuery, in bytes of JSON; less than max_message_bytes.",
    )
    stream_idle_timeout: float = Field(
        30.0, ge=1, description="Seconds after which a StreamQuery whose caller takes nothing is given up."
    )
    request_retention: float = Field(86_400.0, ge=60, description="Seconds that the request id of a write is kept.")

    popularity_interval: float = Field(
        3600.0,
        ge=0,
        description="Seconds between two turns through all products that make their popularity their views of the last 30 days; "
        "0: none.",
    )

    # What is slow
    slow_query_seconds: float = Field(0.1, ge=0, description="A query that takes as long is told to those who watch slow ones.")
    insight_interval: float = Field(
        10.0, gt=0, le=60, description="Seconds between two writes of what queries did; a node that is killed loses as much."
    )
    insight_retention: float = Field(
        14 * 86_400.0, ge=3600, description="Seconds that it is kept, with the sampled parameters. By the minute it is for a day."
    )

    # Plans
    plan_budget: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The share of the database's time that plans of what is expensive may be looked at for; 0: they are not.",
    )
    plan_interval: float = Field(
        60.0, ge=1, le=3600, description="Seconds between two looks at plans, which each node spreads by a fifth."
    )
    plans_kept: int = Field(50, ge=2, le=1000, description="Plans of one query that are kept, and its changes, and its findings.")
    repeated_calls: int = Field(
        10,
        ge=0,
        le=1000,
        description="Calls of one trace to one query, with different parameters and few rows each, that are told. 0: none are.",
    )

    # Cached results
    cache_address: str | None = Field(
        None, description="The cache service, as dns:///cache:50052. Unset: every read goes to the database."
    )
    cache_token: SecretStr | None = Field(
        None, description="Token of a principal there with the scopes cache.read and cache.write."
    )
    cache_tls_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of its certificate. Set: the connection to it is TLS."
    )
    cache_timeout: float = Field(
        0.05, gt=0, le=10, description="Seconds after which a cache that does not answer is left out, and the database is read."
    )
    outbox_poll: float = Field(
        0.1,
        gt=0,
        le=60,
        description="Seconds between two looks for what others have written; what this node writes is told to the cache at once.",
    )
    outbox_max_age: float = Field(
        10.0, gt=0, description="Seconds after which a write that the cache was not told of makes dbopt.outbox NOT_SERVING."
    )

    @field_validator("connections")
    @classmethod
    def _known_classes(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = sorted(value.keys() - CLASSES.keys())
        if unknown:
            raise ValueError(f"there is no class {', '.join(unknown)}; those there are: {', '.join(CLASSES)}")
        if any(not 1 <= count <= 1000 for count in value.values()):
            raise ValueError("a class has 1 to 1,000 connections")
        return {**CONNECTIONS, **value}
