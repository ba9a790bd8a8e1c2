"""The composition of imaging: adapters are opened, the core is built on them, servicers are handed back."""

import contextlib
import time
from collections.abc import AsyncIterator

from souk.imaging.v1 import imaging_pb2_grpc
from souk_common.health import Dependency
from souk_common.server import Application, Registration, StartError
from souk_common.telemetry import Telemetry

from souk_imaging import telemetry
from souk_imaging.adapters import disk, profile_file
from souk_imaging.adapters.lives import Life
from souk_imaging.adapters.spool import Spool
from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.errors import ERRORS, describe, recall
from souk_imaging.gallery import Gallery
from souk_imaging.library import Library
from souk_imaging.photos import Limits
from souk_imaging.processing import Processor
from souk_imaging.rpc.imaging import ImagingServicer
from souk_imaging.rpc.mapping import ImageMapper
from souk_imaging.settings import ImagingSettings
from souk_imaging.store import ObjectStore
from souk_imaging.uploads import Uploads
from souk_imaging.web.origin import OriginOptions, origin

SERVICE = "souk.imaging.v1.ImagingService"
SCOPES = {
    f"/{SERVICE}/UploadImage": "imaging.write",
    f"/{SERVICE}/GetImage": "imaging.read",
    f"/{SERVICE}/WatchImage": "imaging.read",
    f"/{SERVICE}/ListImages": "imaging.read",
    f"/{SERVICE}/DownloadVariant": "imaging.read",
    f"/{SERVICE}/SelectVariant": "imaging.read",
    f"/{SERVICE}/DeleteImage": "imaging.write",
}
LEFT_OVER_SECONDS = 3600.0
"""Partial files older than this are of a writer that has died."""


@contextlib.asynccontextmanager
async def open_app(settings: ImagingSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    """Imaging, ready to be served. Leaving it hands unfinished photos on and closes everything."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            profiles = profile_file.load(settings.profiles_file)
            store = _open_store(settings)
            life = Life(settings.state_dir / "lives", settings.node)
            stack.callback(life.close)
            spool = Spool(settings.state_dir / "spool")
        except (ValueError, OSError) as error:
            raise StartError(str(error)) from error
        stack.push_async_callback(store.close)
        stack.callback(spool.close)
        limits = Limits(
            max_bytes=settings.max_bytes,
            max_metadata_bytes=settings.max_metadata_bytes,
            max_pixels=settings.max_pixels,
            max_progressive_pixels=settings.max_progressive_pixels,
            max_frames=settings.max_frames,
        )
        workers = await stack.enter_async_context(
            WorkerPool(
                size=settings.workers,
                concurrency=settings.worker_concurrency,
                timeout=settings.worker_timeout,
                max_memory_bytes=settings.worker_max_memory_bytes,
            )
        )
        library = Library(store)
        processor = await stack.enter_async_context(
            Processor(
                library=library,
                workers=workers,
                workplace=spool,
                profiles=profiles,
                limits=limits,
                life=life,
                max_backlog=settings.max_backlog,
                lease_seconds=settings.lease_seconds,
                describe=describe,
            )
        )
        uploads = Uploads(
            library=library,
            processor=processor,
            profiles=profiles,
            limits=limits,
            max_uploads=settings.max_uploads,
            new_spool=spool.new_source,
            recall=recall,
        )
        gallery = Gallery(library, processor, store)
        mapper = ImageMapper(settings.public_url)
        servicer = ImagingServicer(uploads, gallery, mapper, upload_idle_timeout=settings.upload_idle_timeout)
        telemetry.register(reporting.metrics, workers, processor)
        options = OriginOptions(settings.cors_origins, settings.negotiated_max_age)

        async def on_drain() -> None:
            processor.draining = True

        yield Application(
            name="imaging",
            registrations=[Registration(imaging_pb2_grpc.add_ImagingServiceServicer_to_server, servicer, SERVICE)],
            errors=ERRORS,
            scopes=SCOPES,
            dependencies=[Dependency("store", store.check)],
            http=origin(gallery, store, options),
            long_lived=frozenset({f"/{SERVICE}/WatchImage"}),
            on_drain=on_drain,
        )


def _open_store(settings: ImagingSettings) -> ObjectStore:
    if settings.s3_bucket is None:
        root = settings.state_dir / "photos"
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
        disk.sweep(root, older_than=time.time() - LEFT_OVER_SECONDS)
        return disk.DiskStore(root, sync=settings.disk_sync)
    from souk_imaging.adapters.s3 import S3Store  # here, since boto3 takes a sixth of the start

    return S3Store(
        settings.s3_bucket,
        prefix=settings.s3_prefix,
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key.get_secret_value() if settings.s3_access_key else None,
        secret_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        threads=settings.s3_threads,
        timeout=settings.s3_timeout,
    )
