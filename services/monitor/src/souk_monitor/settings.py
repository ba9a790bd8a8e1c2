"""The settings of monitor. Each is an environment variable: SOUK_MONITOR_ and the field's name in capitals."""

import socket

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from souk_common.settings import OperationSettings, is_loopback

DAY = 86_400.0
LONGEST = 36_500 * DAY
"""That anything can be kept; a time so long ago can be told."""
MEBIBYTE = 1024 * 1024


class MonitorSettings(OperationSettings):
    """What monitor can be told, besides what every service can."""

    model_config = SettingsConfigDict(env_prefix="SOUK_MONITOR_")

    port: int = Field(50054, ge=0, le=65535, description="Port of gRPC, OTLP's too. 0: a free one.")
    http_port: int = Field(
        8080, ge=0, le=65535, description="Port of HTTP: the dashboard, and what Sentry's SDKs send to. 0: a free one."
    )
    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=100,
        description="Name of this replica of monitor, in logs and operations.",
    )
    max_http_requests: int = Field(
        2000,
        gt=0,
        description="HTTP requests in flight at the most: an error that all processes of a fleet have comes from each of them at "
        "once. One more gets 503, but where one that waits for its body gives way.",
    )
    public_url: str = Field(
        "", max_length=500, description="Where programs reach the HTTP port, as https://monitor.example. It is in DSNs."
    )

    # PostgreSQL
    dsn: SecretStr = Field(
        ...,
        description="The database, as postgresql://souk_monitor@host:5432/souk. `souk monitor migrate` makes the role, which may "
        "change no schema.",
    )
    connections: int = Field(8, ge=2, le=1000, description="Connections for reading and for changes by people, at the most.")
    max_waiting: int = Field(200, ge=0, description="Callers that may wait for one. One more gets UNAVAILABLE.")
    acquire_timeout: float = Field(2.0, gt=0, description="Seconds that a caller waits for one, at the most.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds for a new connection.")
    statement_timeout: float = Field(15.0, gt=0, le=600, description="Seconds that one statement may take.")
    behind_pooler: bool | None = Field(
        None,
        description="Whether PgBouncer, or another that pools transactions, stands before the database. Unset: it is found out.",
    )
    check_interval: float = Field(1.0, gt=0, le=60, description="Seconds between two looks at whether the database answers.")

    # Projects
    default_project: str = Field(
        "default",
        pattern="^[a-z][a-z0-9-]{0,49}$",
        description="The project of reports that name none. It is made where it is not there.",
    )
    projects_interval: float = Field(
        5.0, gt=0, le=300, description="Seconds after which every node knows of a change of projects and keys."
    )

    # Ingest
    queue_events: int = Field(
        20_000, gt=0, description="Events that may wait to be stored. One more gets UNAVAILABLE, or HTTP 429."
    )
    queue_bytes: int = Field(64 * MEBIBYTE, gt=0, description="Bytes of bodies that may wait to be stored.")
    writers: int = Field(2, ge=1, le=16, description="Transactions that store events at once, each on a connection of its own.")
    batch_events: int = Field(500, ge=1, le=10_000, description="Events that one transaction stores at the most.")
    batch_bytes: int = Field(8 * MEBIBYTE, gt=0, description="Bytes of bodies that one transaction stores, and one event more.")
    batch_delay: float = Field(
        0.01, ge=0, le=1, description="Seconds that an event waits for others, so that they are stored together."
    )
    store_patience: float = Field(
        3.0, ge=0, le=60, description="Seconds that events are tried to be stored again, before their callers get UNAVAILABLE."
    )
    new_issues_per_hour: int = Field(
        1_000,
        ge=0,
        lt=2**31,
        description="New issues that one project may open in an hour, where it has no limit of its own. The events of more are "
        "counted in one issue of the project. 0: no limit.",
    )

    # What is taken
    event_bytes: int = Field(
        256 * 1024,
        ge=16 * 1024,
        description="Bytes of one event that are kept: beyond it other threads go first, then variables, source and contexts.",
    )
    event_message: int = Field(
        8192, ge=256, description="Characters of a message, and of the value of an exception, that are kept."
    )
    event_frames: int = Field(250, ge=10, le=1000, description="Calls of one stack that are kept: those at both of its ends.")
    event_exceptions: int = Field(
        50, ge=2, le=200, description="Exceptions of one event that are kept: those at both ends of the chain."
    )
    sentry_bytes: int = Field(
        4 * MEBIBYTE,
        gt=0,
        description="Largest request of Sentry's SDKs, in bytes, as it is sent; of an envelope with more in it, as attachments, "
        "its events.",
    )
    sentry_decompressed_bytes: int = Field(
        16 * MEBIBYTE, gt=0, description="The same of one that is compressed, once it is decompressed."
    )
    sentry_whole_bytes: int = Field(
        100 * MEBIBYTE,
        gt=0,
        description="Largest envelope with all that is in it and not kept, in bytes, as it is sent and once it is decompressed. It "
        "is read past. Never less than the two before.",
    )
    sentry_in_flight: int = Field(
        1000, gt=0, description="Requests of Sentry's SDKs that are decoded and stored at once. One more gets 429 and comes again."
    )
    sentry_in_flight_bytes: int = Field(
        16 * MEBIBYTE,
        gt=0,
        description="Bytes of such requests: as they are sent until they are decoded, then of their events. Where so many are here "
        "one more gets 429, too.",
    )
    sentry_large: int = Field(
        32,
        gt=0,
        description="Requests of Sentry's SDKs of more than 128 KiB, decompressed, that wait to be decoded, two at once. One more "
        "gets 429.",
    )
    sentry_body_timeout: float = Field(
        10.0,
        gt=0,
        le=300,
        description="Seconds that the body of a request of Sentry's SDKs may take, or each "
        "`SOUK_MONITOR_SENTRY_BYTES` of it. Later it gets 408.",
    )
    sentry_reading: int = Field(
        1000,
        gt=0,
        description="Bodies of Sentry's SDKs on their way in at once. Beyond it the oldest of whoever sends most gets 429.",
    )
    sentry_reading_bytes: int = Field(64 * MEBIBYTE, gt=0, description="Bytes of such bodies that are here. Beyond it, the same.")

    # What is kept
    retention: float = Field(
        30 * DAY,
        ge=DAY,
        le=400 * DAY,
        description="Seconds that bodies of events are kept, by the time of the event; whole days go.",
    )
    count_retention: float = Field(
        90 * DAY,
        ge=9 * DAY,
        le=LONGEST,
        description="Seconds that counts by the hour are kept, up to 36,500 days. The counts of issues stay.",
    )
    issue_retention: float = Field(
        400 * DAY,
        ge=30 * DAY,
        le=LONGEST,
        description="Seconds after its last event that an issue is kept that is resolved or ignored, up to 36,500 days; never less "
        "than bodies are.",
    )
    open_issue_retention: float = Field(
        800 * DAY,
        ge=0,
        le=LONGEST,
        description="The same of an issue that is neither resolved nor ignored; never less than of those. 0: it stays.",
    )
    release_retention: float = Field(
        800 * DAY,
        ge=0,
        le=LONGEST,
        description="Seconds after it was seen first that a release is known, up to 36,500 days, and as long as counts by the "
        "hour, an issue that has counted it, or one that was resolved in it, name it. 0: it stays.",
    )
    keep_bodies: int = Field(
        100,
        ge=1,
        description="Bodies of the first so many events of a cause are all kept; of the next so many each second, then each 4th …",
    )
    max_tag_values: int = Field(100, ge=1, le=10_000, description="Values of one tag that are counted apart, for one cause.")
    max_tags: int = Field(100, ge=1, le=1_000, description="Tags that are counted, for one cause.")
    compression_level: int = Field(1, ge=1, le=19, description="Of zstd, for bodies.")
    facet_interval: float = Field(
        2.0, gt=0, le=60, description="Seconds between two writes of counts of tags; a node that is killed loses as much of these."
    )
    request_retention: float = Field(
        DAY, ge=60, le=LONGEST, description="Seconds that the request id of a change is kept, up to 36,500 days."
    )

    # Understanding
    trend_interval: float = Field(60.0, gt=0, le=3600, description="Seconds between two looks at how the rates of issues go.")
    maintenance_interval: float = Field(300.0, gt=0, le=86_400, description="Seconds between two looks for what is past its time.")
    watch_interval: float = Field(0.5, gt=0, le=15, description="Seconds between two looks for changes, while somebody watches.")

    watch_streams: int = Field(
        200, ge=0, description="Calls of WatchIssues that this node answers at once. One more gets UNAVAILABLE."
    )

    # Dashboard
    dashboard: bool = Field(True, description="Serve the dashboard on the HTTP port.")
    session_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="What sessions of the dashboard are signed with, the same on every replica. Unset: another at each start, "
        "where auth is on.",
    )
    session_lifetime: float = Field(
        12 * 3600.0, ge=60, le=30 * DAY, description="Seconds after which one who logged in to the dashboard must do so again."
    )
    logins_per_address: int = Field(
        10, ge=0, description="Tries to log in to the dashboard, a minute, from one address. One more gets 429. 0: no limit."
    )
    logins: int = Field(100, ge=0, description="The same from all addresses together, on this node. 0: no limit.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Names that the dashboard answers to, as a JSON list: monitor.example, *.shop.example, or * for any; always to "
        "addresses, localhost and the name of the public URL. Others get 421. Unset: any, unless HTTP listens on loopback alone.",
    )
    event_streams: int = Field(
        64, ge=0, description="Pages of the dashboard that this node keeps up to date at once. One more is told to come again."
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """`allowed_hosts`, with what it is where it is not set."""
        return self.allowed_hosts or (() if is_loopback(self.http_address) else ("*",))
