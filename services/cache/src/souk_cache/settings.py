"""The settings of the cache. Each is an environment variable: SOUK_CACHE_ and the field's name in capitals."""

import socket
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from souk_common.settings import OperationSettings


class CacheSettings(OperationSettings):
    """What the cache can be told, besides what every service can."""

    model_config = SettingsConfigDict(env_prefix="SOUK_CACHE_")

    port: int = Field(50052, ge=0, le=65535, description="Port of gRPC. 0: a free one.")
    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=100,
        description="Name of this replica, in logs and in the ids of its operations; another one on each node.",
    )
    log_success_ratio: float = Field(
        0.001, ge=0, le=1, description="Share of fast, successful calls that get a log line. Errors and slow calls always do."
    )

    # The shared state
    redis_url: SecretStr | None = Field(
        None, description="redis://host:6379/0, shared by all nodes. Unset: this node is alone, and keeps everything in its memory."
    )
    redis_cluster: bool = Field(False, description="The URL names one server of a Redis Cluster. Give it `partitions`, too.")
    redis_timeout: float = Field(
        1.0, gt=0, le=60, description="Seconds that Redis has for an answer, with the connection that it may need first."
    )
    redis_connections: int = Field(8, ge=1, le=1000, description="Pipelines to Redis at once.")
    partition: str = Field(
        "souk",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Nodes with the same name share one cache; goes into every Redis key.",
    )
    read_lease: float = Field(
        2.0,
        ge=0.1,
        le=60,
        description="Seconds that a node may serve its memory after its last beat, and so the longest that an invalidation waits "
        "for one that is gone. The same on every node.",
    )

    partitions: int = Field(
        1, ge=1, le=256, description="Orders of mutations that keys are spread over, in a Redis Cluster. The same on every node."
    )
    client_lease: float = Field(
        5.0,
        ge=0.1,
        le=300,
        description="Seconds that a near cache in a client may serve after its last ping, and so how much longer an invalidation "
        "with level CLIENTS waits for one that is gone. The same on every node.",
    )
    watch_queue: int = Field(
        1000, ge=1, description="Invalidations that wait for a near cache that is slow, before it is told to drop everything."
    )

    # Memory
    memory_bytes: int = Field(256 * 1024 * 1024, gt=0, description="Bytes of values that this node keeps in memory.")
    memory_entries: int = Field(1_000_000, gt=0, description="Values that this node keeps in memory, at the most.")

    # Warming
    warm_concurrency: int = Field(8, ge=1, le=64, description="Values that one warming loads at once where it does not say.")
    warm_time_limit: float = Field(600.0, gt=0, description="Seconds that a warming may take where it does not say.")
    max_warm_time_limit: float = Field(21_600.0, gt=0, description="Seconds that a warming may say that it may take, at the most.")
    hot_keys: int = Field(
        20_000,
        ge=0,
        le=100_000,
        description="Keys that are read most, kept in Redis so that nodes which start can warm them. 0: none are.",
    )

    # Policy
    namespaces_file: Path | None = Field(None, description="YAML file with namespaces of your own.")
