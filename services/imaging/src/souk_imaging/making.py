"""Making the variants of one accepted image: a worker's events become stored variants, progress that others see, and a manifest."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from souk_common.call import add_part, part

from souk_imaging.exceptions import ImageDeletedError, WorkerCrashedError, WorkerError
from souk_imaging.images import Image, ImageState, Processing, Variant, VariantState
from souk_imaging.library import Library
from souk_imaging.photos import Encoded, Finished, Job, Limits, PhotoProcessor, Probed
from souk_imaging.profiles import Profile, Profiles
from souk_imaging.work import TakenOverError, Totals, Work, Workplace

MAX_ATTEMPTS = 3
"""How many workers an accepted photo may cost before it is FAILED."""


class Maker:
    """Takes one image at a time from accepted to READY, as the node whose `life` its pending record names."""

    def __init__(
        self,
        *,
        library: Library,
        workers: PhotoProcessor,
        workplace: Workplace,
        profiles: Profiles,
        limits: Limits,
        life: str,
        clock: Callable[[], float],
        totals: Totals,
    ) -> None:
        self._library = library
        self._workers = workers
        self._workplace = workplace
        self._profiles = profiles
        self._limits = limits
        self._life = life
        self._clock = clock
        self._totals = totals

    async def make(self, work: Work) -> None:
        """Make and store every variant, and the manifest that says READY.

        Raises what is wrong with the photo, WorkerError, or TakenOverError. Where nobody waits for the answer, a worker's death is
        not yet the photo's end.
        """
        profile = self._profiles.get(work.image.profile)
        while True:
            try:
                return await self._make(work, profile)
            except ExceptionGroup as group:  # of the stores that ran beside the worker
                error = _first(group)
                work.pending = replace(work.pending, attempts=work.pending.attempts + 1)
                last = not work.keep_failed or work.pending.attempts >= MAX_ATTEMPTS
                if last or not isinstance(error, WorkerError):
                    raise error from group
                await self._library.save_pending(work.pending)

    async def is_mine(self, work: Work) -> bool:
        """False where another node has deleted the image, or taken it over, since it was last looked at."""
        image_id = work.image.image_id
        current, exists = await asyncio.gather(self._library.pending(image_id), self._library.exists(image_id))
        return exists and current is not None and current.action == "process" and current.node == self._life

    async def finish(self, work: Work, image: Image) -> None:
        """Write the last manifest, and say that nothing is left to do; TakenOverError where it is another node's by now."""
        if not await self.is_mine(work):
            raise TakenOverError
        await self._library.save(image)
        # what another node has deleted meanwhile stays deleted; its record is kept, as another write of ours may be on its way
        if not await self._library.exists(image.image_id):
            await self._library.delete(work.pending, keep_record=True)
            raise TakenOverError
        await self._library.forget_progress(image.image_id)
        await self._library.forget_pending(image.image_id)
        work.update(image)

    async def _make(self, work: Work, profile: Profile) -> None:
        if work.source is None:
            work.source = self._workplace.new_source()
            if not await self._library.fetch_original(work.image.image_id, work.source.path):
                raise ImageDeletedError("the image's original is gone", image_id=work.image.image_id)
        finished: Finished | None = None
        async with self._workplace.output() as output, asyncio.TaskGroup() as stores:
            job = Job(work.image.image_id, work.source.path, output, profile, self._limits, work.priority)
            async with contextlib.aclosing(self._workers.process(job)) as events:
                async for event in events:
                    match event:
                        case Probed():
                            work.update(self._planned(work.image, event))
                            stores.create_task(self._save_changes(work))
                        case Encoded():
                            stores.create_task(self._publish(work, event))
                        case Finished():
                            finished = event
                            _tell_parts(event)
        if finished is None:
            raise WorkerCrashedError("the worker process did not finish the photo")
        total = time.monotonic() - work.accepted
        ready = replace(
            work.image,
            state=ImageState.READY,
            update_time=self._clock(),
            processing=Processing(
                queue_seconds=finished.queue_seconds,
                decode_seconds=finished.probe_seconds + finished.decode_seconds,
                worker_seconds=finished.worker_seconds,
                total_seconds=total,
                decodes=finished.decodes,
                peak_memory_bytes=finished.peak_memory_bytes,
            ),
        )
        await self.finish(work, ready)

    def _planned(self, image: Image, probed: Probed) -> Image:
        original = replace(
            image.original,
            content_type=probed.content_type,
            width=probed.width,
            height=probed.height,
            frames=probed.frames,
            has_alpha=probed.has_alpha,
            sha256=probed.sha256,
        )
        planned = replace(image, original=original, variants=())
        for form, width, height in probed.planned:
            planned = planned.with_variant(Variant(image.profile, form, width, height), now=self._clock())
        return planned

    async def _publish(self, work: Work, encoded: Encoded) -> None:
        variant = Variant(
            work.image.profile,
            encoded.format,
            encoded.width,
            encoded.height,
            VariantState.SKIPPED if encoded.path is None else VariantState.READY,
            encoded.size_bytes,
            "" if encoded.path is None else encoded.sha256[:16],
            encoded.encode_seconds,
        )
        self._totals.encode_seconds[encoded.format.value] += encoded.encode_seconds
        if encoded.path is not None:
            with part("store"):
                await self._library.publish(work.image.image_id, variant, encoded.path)
            self._totals.bytes_out[encoded.format.value] += encoded.size_bytes
        work.update(work.image.with_variant(variant, now=self._clock()))

    async def _save_changes(self, work: Work) -> None:
        """Let others see how far the image is until every variant is made; never more than one write under way."""
        while True:
            changed = work.changed
            image = work.image
            if all(variant.state is not VariantState.PENDING for variant in image.variants):
                return
            if not await self.is_mine(work):
                raise TakenOverError
            await self._library.save_progress(image)
            if image is work.image:
                await changed.wait()


def _tell_parts(finished: Finished) -> None:
    """What the photo's time went into, for the log line of the call that waits for it."""
    decode = finished.probe_seconds + finished.decode_seconds
    add_part("queue", finished.queue_seconds)
    add_part("decode", decode)
    add_part("encode", finished.worker_seconds - decode)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
