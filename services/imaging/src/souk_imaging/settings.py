"""The settings of imaging. Each is an environment variable: SOUK_IMAGING_ and the field's name in capitals."""

import os
import socket
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from souk_common.settings import ServiceSettings


class ImagingSettings(ServiceSettings):
    """What imaging can be told, besides what every service can."""

    model_config = SettingsConfigDict(env_prefix="SOUK_IMAGING_")

    port: int = Field(50051, ge=0, le=65535, description="Port of gRPC. 0: a free one.")
    http_port: int = Field(8081, ge=0, le=65535, description="Port of the HTTP origin. 0: a free one.")
    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=100,
        description="Name of this replica. A restart with the same name and state_dir takes unfinished photos up again at once.",
    )

    # Where photos are
    state_dir: Path = Field(
        Path("souk-imaging"),
        description="Folder for photos (without S3) and for files in work. Its file system must have locks (flock).",
    )
    disk_sync: bool = Field(True, description="Flush every photo to the disk before it is acknowledged.")
    s3_bucket: str | None = Field(None, min_length=3, description="Bucket for photos. Unset: they are under state_dir.")
    s3_prefix: str = Field("", pattern=r"^([A-Za-z0-9._=-]+/)*$", description="Goes before every key; ends with /.")
    s3_endpoint: str | None = Field(None, description="URL of an S3-compatible store. Unset: AWS.")
    s3_region: str | None = Field(None, description="Region. Unset: as boto3 finds it.")
    s3_access_key: SecretStr | None = Field(None, description="Access key. Unset: as boto3 finds it (role, profile, environment).")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key.")
    s3_threads: int = Field(32, ge=1, le=256, description="Calls to S3 at once.")
    s3_timeout: float = Field(10.0, gt=0, description="Seconds that one read from S3 may take.")

    # Photos
    profiles_file: Path | None = Field(None, description="YAML file with profiles of your own.")
    max_bytes: int = Field(64 * 1024 * 1024, gt=0, description="Largest photo taken, in bytes.")
    max_metadata_bytes: int = Field(
        8 * 1024 * 1024,
        gt=0,
        description="Most bytes of metadata (EXIF, XMP, colour profiles, previews) before a photo's frame header.",
    )
    max_pixels: int = Field(50_000_000, gt=0, description="Most pixels of a photo, over all frames.")
    max_progressive_pixels: int = Field(
        30_000_000, gt=0, description="Most pixels of a progressive JPEG, which takes many times the memory to decode."
    )
    max_frames: int = Field(300, gt=0, description="Most frames of an animation.")

    # Work
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=128, description="Worker processes.")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Threads of libvips in each worker (VIPS_CONCURRENCY).")
    worker_timeout: float = Field(30.0, gt=0, description="Seconds that a worker may spend on one photo before it is killed.")
    worker_max_memory_bytes: int = Field(
        1536 * 1024 * 1024, ge=64 * 1024 * 1024, description="Memory that a worker may hold before it is killed."
    )
    max_backlog: int = Field(
        256,
        ge=1,
        description="Photos that may wait for a worker, or arrive; state_dir needs as many times max_bytes. "
        "One more upload gets UNAVAILABLE.",
    )
    max_uploads: int = Field(128, ge=1, description="Photos that may arrive at once. One more upload gets UNAVAILABLE.")
    upload_idle_timeout: float = Field(
        60.0, gt=0, description="Seconds without a message after which an upload ends with DEADLINE_EXCEEDED."
    )
    lease_seconds: float = Field(
        60.0, ge=1, description="Seconds of silence after which other replicas take a replica's unfinished photos over."
    )

    # Delivery
    public_url: str = Field(
        "", description="What browsers reach the HTTP origin by, as https://img.example.com; for URLs in answers."
    )
    cors_origins: tuple[str, ...] = Field(("*",), description="Sites whose scripts may read pictures, as a JSON list; * for all.")
    negotiated_max_age: int = Field(300, ge=0, description="Seconds that caches may keep the choice of a negotiated URL.")

    @model_validator(mode="after")
    def _check_store(self) -> Self:
        if bool(self.s3_access_key) != bool(self.s3_secret_key):
            raise ValueError("SOUK_IMAGING_S3_ACCESS_KEY and SOUK_IMAGING_S3_SECRET_KEY are set together, or not at all")
        return self
