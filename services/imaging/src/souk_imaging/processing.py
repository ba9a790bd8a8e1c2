"""Accepted images on their way to being ready: made by workers, watched by callers, handed on when a node stops or dies."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog
from souk_common.call import add_part, part

from souk_imaging.exceptions import (
    BacklogFullError,
    ImageDeletedError,
    ImageNotFoundError,
    ImagingError,
    StoreUnavailableError,
    WorkerError,
)
from souk_imaging.images import (
    Failure,
    Image,
    ImageState,
    Original,
    Processing,
    Variant,
    VariantState,
    new_image_id,
)
from souk_imaging.library import REQUEST_ID_SECONDS, Library, Pending, RequestRecord
from souk_imaging.photos import Encoded, Finished, Job, Limits, PhotoProcessor, Priority, Probed
from souk_imaging.profiles import Profile, Profiles

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 3
"""How many workers an accepted photo may cost before it is FAILED."""
WATCH_INTERVAL = 1.0
"""How often an image that another node works on is looked at, in seconds."""


class Source(Protocol):
    """A photo in a local file."""

    path: Path

    async def remove(self) -> None:
        """Delete the file; nothing happens when it is gone."""


class Workplace(Protocol):
    """Where jobs have their local files."""

    def new_source(self) -> Source:
        """A file of its own for one photo that comes out of the store."""

    def output(self) -> contextlib.AbstractAsyncContextManager[Path]:
        """An empty folder for the variants of one job; gone at the end."""


class _TakenOverError(Exception):
    """Another node has the image now, or has deleted it: this one leaves everything as it is."""


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """What the sender said of a photo that is to be accepted."""

    owner: str
    tags: tuple[str, ...]
    profile: Profile
    request_id: str = ""
    fingerprint: str = ""


@dataclass(slots=True)
class Totals:
    """What this node has done since it started."""

    photos: Counter[str] = field(default_factory=Counter)
    """By result: ready, failed."""
    bytes_in: int = 0
    bytes_out: Counter[str] = field(default_factory=Counter)
    """By format."""
    encode_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(slots=True, eq=False)
class _Work:
    """One image that this node works on."""

    image: Image
    pending: Pending
    priority: Priority
    source: Source | None
    """None: it is to be fetched from the store."""
    keep_failed: bool
    """A photo that cannot be decoded becomes FAILED; otherwise it is removed, and the waiting caller gets the error."""
    request_id: str = ""
    accepted: float = field(default_factory=time.monotonic)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, with every change of `image`."""
    done: asyncio.Future[Image] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    task: asyncio.Task[None] | None = None

    def fail(self, error: Exception) -> None:
        """Tell whoever waits; there may be nobody, so the error counts as seen."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()

    def update(self, image: Image) -> None:
        """Make a change, and tell whoever watches."""
        self.image = image
        self.changed.set()
        self.changed = asyncio.Event()


class Processor:
    """Takes accepted images to READY or FAILED. Open it as a context manager; leaving it hands unfinished images on."""

    def __init__(
        self,
        *,
        library: Library,
        workers: PhotoProcessor,
        workplace: Workplace,
        profiles: Profiles,
        limits: Limits,
        node: str,
        max_backlog: int,
        lease_seconds: float,
        describe: Callable[[ImagingError], Failure],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._library = library
        self._workers = workers
        self._workplace = workplace
        self._profiles = profiles
        self._limits = limits
        self._node = node
        self._life = f"{node}/{secrets.token_hex(4)}"
        self._max_backlog = max_backlog
        self._lease = lease_seconds
        self._describe = describe
        self._clock = clock
        self._work: dict[str, _Work] = {}
        self._keeper: asyncio.Task[None] | None = None
        self.draining = False
        self.totals = Totals()

    async def __aenter__(self) -> "Processor":
        self._keeper = asyncio.create_task(self._keep_leases(), name="imaging-leases")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.draining = True
        tasks = [work.task for work in self._work.values() if work.task]
        if self._keeper:
            tasks.append(self._keeper)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def backlog(self) -> int:
        """How many images are waiting or in work here."""
        return len(self._work)

    def admit(self) -> None:
        """Raise BacklogFullError if one more photo would be too many. Called before a photo is received."""
        if len(self._work) >= self._max_backlog:
            raise BacklogFullError(f"{len(self._work)} photos wait for a worker here; try again later")

    async def accept(self, photo: NewPhoto, original: Original, source: Source, priority: Priority) -> Image:
        """Store a photo durably and queue it. On return `source` belongs to the queue; on an error nothing is stored.

        An INTERACTIVE photo has a caller waiting by `finished`, who is told what is wrong with it; a BACKGROUND one becomes FAILED.
        """
        now = self._clock()
        image = Image(
            image_id=new_image_id(now=now),
            owner=photo.owner,
            profile=photo.profile.name,
            tags=photo.tags,
            create_time=now,
            update_time=now,
            state=ImageState.PROCESSING,
            original=original,
        )
        pending = Pending(image.image_id, photo.owner, photo.tags, "process", self._life, now + self._lease)
        request = None
        if photo.request_id:
            record = RequestRecord(image.image_id, photo.fingerprint, now + REQUEST_ID_SECONDS)
            request = (photo.request_id, record)
        try:
            async with asyncio.timeout(self._lease / 2):
                await self._library.accept(image, source.path, pending, request)
        except BaseException as error:
            with contextlib.suppress(StoreUnavailableError):
                await asyncio.shield(self._library.delete(pending))
            if isinstance(error, TimeoutError):
                raise StoreUnavailableError("the object store takes too long to store a photo") from error
            raise
        self.totals.bytes_in += original.size_bytes
        keep_failed = priority is Priority.BACKGROUND
        self._start(_Work(image, pending, priority, source, keep_failed, request_id=photo.request_id))
        return image

    async def image(self, image_id: str) -> Image | None:
        """The image as it is now, here or in the store; None where there is none."""
        work = self._work.get(image_id)
        return work.image if work else await self._library.image(image_id)

    async def finished(self, image_id: str) -> Image:
        """Wait until the image is READY or FAILED, and return it.

        Raises what is wrong with the photo where it was INTERACTIVE, ImageDeletedError if it goes away, ImageNotFoundError if it
        is not there.
        """
        if work := self._work.get(image_id):
            with contextlib.suppress(_TakenOverError):
                return await asyncio.shield(work.done)
        last: Image | None = None
        with contextlib.suppress(ImageNotFoundError):
            async for image in self.watch(image_id):
                last = image
        if last is None:
            raise ImageDeletedError("the image was deleted while it was being worked on", image_id=image_id)
        return last

    async def watch(self, image_id: str) -> AsyncGenerator[Image | None, None]:
        """Yield the image as it is, then after every change, until it is finished; None, at the end, where it was deleted.

        ImageNotFoundError where there is none to begin with.
        """
        seen: Image | None = None
        while True:
            work = self._work.get(image_id)
            changed = work.changed if work else None
            image = work.image if work else await self._library.image(image_id)
            if image is None:
                if seen is None:
                    raise ImageNotFoundError("no image has this id", image_id=image_id)
                yield None
                return
            if image != seen:
                seen = image
                yield image
            if image.finished:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_INTERVAL):
                    await changed.wait() if changed else await asyncio.Event().wait()

    async def delete(self, image_id: str) -> bool:
        """Stop the work on an image and remove every trace of it; False where there is none."""
        image = await self.image(image_id)
        if image is None:
            return False
        now = self._clock()
        pending = Pending(image_id, image.owner, image.tags, "delete", self._life, now + self._lease)
        await self._library.save_pending(pending)
        work = self._work.get(image_id)
        if work and work.task:
            work.pending = pending
            work.task.cancel()
            await asyncio.wait([work.task])
        # where another node works on it, the record stays until its lease is over: it tells that node, and whatever that node
        # wrote meanwhile is removed then
        elsewhere = work is None and not image.finished
        await self._library.delete(pending, keep_record=elsewhere)
        if work and not work.done.done():
            work.fail(ImageDeletedError("the image was deleted while it was being worked on", image_id=image_id))
        return True

    async def recover(self) -> int:
        """Take over what was left unfinished by this node's last life, or by a node that is silent; return how many images."""
        taken = 0
        for image_id in await self._library.pending_ids():
            if image_id in self._work:
                continue
            pending = await self._library.pending(image_id)
            if pending is None or not (pending.expires <= self._clock() or self._is_of_an_earlier_life(pending)):
                continue
            taken += 1
            await self._take_over(pending)
        return taken

    # Inside

    def _is_of_an_earlier_life(self, pending: Pending) -> bool:
        return pending.node != self._life and pending.node.rpartition("/")[0] == self._node

    def _start(self, work: _Work) -> None:
        self._work[work.image.image_id] = work
        work.task = asyncio.create_task(self._run(work), name=f"imaging-{work.image.image_id}")

    async def _take_over(self, pending: Pending) -> None:
        image = await self._library.image(pending.image_id)
        if pending.action == "delete" or image is None:
            await self._library.delete(pending)
            return
        if image.finished:
            await self._library.forget_pending(pending.image_id)
            return
        log.info("taking over an unfinished image", image_id=pending.image_id, from_node=pending.node)
        mine = replace(pending, node=self._life, expires=self._clock() + self._lease)
        await self._library.save_pending(mine)
        self._start(_Work(image, mine, Priority.BACKGROUND, None, keep_failed=True))

    async def _run(self, work: _Work) -> None:
        """Take one image to its end, and tell whoever waits."""
        image_id = work.image.image_id
        try:
            await self._attempts(work)
            self.totals.photos["ready"] += 1
            work.done.set_result(work.image)
        except _TakenOverError as error:
            log.info("another node has the image", image_id=image_id)
            work.fail(error)
        except ImagingError as error:
            await self._fail(work, error)
        except asyncio.CancelledError:
            if self.draining and work.pending.action == "process":
                # stopping: the next life of this node, or another one, goes on at once
                with contextlib.suppress(StoreUnavailableError):
                    await asyncio.shield(self._library.save_pending(replace(work.pending, expires=0.0)))
            raise
        except Exception as error:
            log.exception("an image could not be taken further", image_id=image_id)
            work.fail(error)
        finally:
            del self._work[image_id]
            if work.source:
                await asyncio.shield(work.source.remove())

    async def _attempts(self, work: _Work) -> None:
        """Make the variants; where nobody waits for the answer, a worker's death is not yet the photo's end."""
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

    async def _make(self, work: _Work, profile: Profile) -> None:
        if work.source is None:
            work.source = self._workplace.new_source()
            if not await self._library.fetch_original(work.image.image_id, work.source.path):
                raise ImageDeletedError("the image's original is gone", image_id=work.image.image_id)
        saver: asyncio.Task[None] | None = None
        async with self._workplace.output() as output, asyncio.TaskGroup() as stores:
            job = Job(work.image.image_id, work.source.path, output, profile, self._limits, work.priority)
            async with contextlib.aclosing(self._workers.process(job)) as events:
                async for event in events:
                    match event:
                        case Probed():
                            work.update(self._planned(work.image, event))
                            saver = stores.create_task(self._save_changes(work))
                        case Encoded():
                            stores.create_task(self._publish(work, event))
                        case Finished():
                            finished = event
                            _tell_parts(event)
        if saver is None:
            raise AssertionError("a worker finished without a probe")
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
        await self._save(work, ready)
        if await self._is_deleted_elsewhere(work):
            await self._library.delete(work.pending, keep_record=True)
            raise _TakenOverError
        await self._library.forget_pending(ready.image_id)
        work.update(ready)

    async def _save(self, work: _Work, image: Image) -> None:
        if not await self._is_still_mine(work):
            raise _TakenOverError
        await self._library.save(image)

    async def _is_deleted_elsewhere(self, work: _Work) -> bool:
        """Whether another node began to delete the image while its manifest was being written."""
        current = await self._library.pending(work.image.image_id)
        return current is not None and current.action == "delete"

    async def _is_still_mine(self, work: _Work) -> bool:
        """False where another node has deleted the image, or taken it over, since it was last looked at."""
        current = await self._library.pending(work.image.image_id)
        return current is not None and current.action == "process" and current.node == self._life

    def _planned(self, image: Image, probed: Probed) -> Image:
        original = replace(
            image.original,
            content_type=probed.content_type,
            width=probed.width,
            height=probed.height,
            frames=probed.frames,
            has_alpha=probed.has_alpha,
        )
        planned = replace(image, original=original, variants=())
        for form, width, height in probed.planned:
            planned = planned.with_variant(Variant(image.profile, form, width, height), now=self._clock())
        return planned

    async def _publish(self, work: _Work, encoded: Encoded) -> None:
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
        self.totals.encode_seconds[encoded.format.value] += encoded.encode_seconds
        if encoded.path is not None:
            with part("store"):
                await self._library.publish(work.image.image_id, variant, encoded.path)
            self.totals.bytes_out[encoded.format.value] += encoded.size_bytes
        work.update(work.image.with_variant(variant, now=self._clock()))

    async def _save_changes(self, work: _Work) -> None:
        """Keep the manifest up with the image until every variant is made; never more than one write under way."""
        while True:
            changed = work.changed
            image = work.image
            if all(variant.state is not VariantState.PENDING for variant in image.variants):
                return
            await self._save(work, image)
            if image is work.image:
                await changed.wait()

    async def _fail(self, work: _Work, error: ImagingError) -> None:
        """Make a photo that failed FAILED, or nothing; what only the store's absence stopped is taken up again when its lease is
        over."""
        image_id = work.image.image_id
        self.totals.photos["failed"] += 1
        log.warning("a photo failed", image_id=image_id, error=type(error).__name__, detail=error.message, **error.metadata)
        try:
            if isinstance(error, StoreUnavailableError) and (work.keep_failed or work.request_id):
                pass
            elif work.keep_failed and not isinstance(error, ImageDeletedError):
                failure = self._describe(error)
                failed = replace(work.image, state=ImageState.FAILED, update_time=self._clock(), failure=failure)
                await self._library.save(failed)
                await self._library.forget_pending(image_id)
                work.update(failed)
                work.done.set_result(failed)
                return
            else:
                if work.request_id:
                    await self._library.forget_request(work.image.owner, work.request_id)
                await self._library.delete(work.pending)
        except StoreUnavailableError as unavailable:
            error = unavailable
        work.fail(error)

    async def _keep_leases(self) -> None:
        """Renew what is in work here, and take over what is not in work anywhere, for as long as the service runs."""
        while True:
            try:
                await self.recover()
                await self._library.forget_old_requests()
                for work in list(self._work.values()):
                    await self._renew(work)
            except StoreUnavailableError as error:
                log.warning("leases could not be renewed", detail=error.message)
            await asyncio.sleep(self._lease / 3)

    async def _renew(self, work: _Work) -> None:
        if not await self._is_still_mine(work):
            work.fail(_TakenOverError())
            if work.task:
                work.task.cancel()
        elif work.image.image_id in self._work:
            work.pending = replace(work.pending, expires=self._clock() + self._lease)
            await self._library.save_pending(work.pending)


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
