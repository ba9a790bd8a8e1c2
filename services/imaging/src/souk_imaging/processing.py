"""Accepted images on their way to being ready: made by workers, watched by callers, handed on when a node stops or dies."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, replace

import structlog

from souk_imaging.exceptions import (
    BacklogFullError,
    ImageDeletedError,
    ImageNotFoundError,
    ImagingError,
    StoreUnavailableError,
)
from souk_imaging.images import (
    Failure,
    Image,
    ImageState,
    Original,
    new_image_id,
)
from souk_imaging.library import REQUEST_ID_SECONDS, Library, Pending, RequestRecord
from souk_imaging.making import Maker
from souk_imaging.photos import Limits, PhotoProcessor, Priority
from souk_imaging.profiles import Profile, Profiles
from souk_imaging.work import Life, Source, TakenOverError, Totals, Work, Workplace

log = structlog.get_logger(__name__)

WATCH_INTERVAL = 1.0
"""How often an image that another node works on is looked at, in seconds."""


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """What the sender said of a photo that is to be accepted."""

    owner: str
    tags: tuple[str, ...]
    profile: Profile
    request_id: str = ""
    fingerprint: str = ""


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
        life: Life,
        max_backlog: int,
        lease_seconds: float,
        describe: Callable[[ImagingError], Failure],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._library = library
        self._life = life
        self._max_backlog = max_backlog
        self._lease = lease_seconds
        self._describe = describe
        self._clock = clock
        self._work: dict[str, Work] = {}
        self._arriving = 0
        self._keeper: asyncio.Task[None] | None = None
        self.draining = False
        self.totals = Totals()
        self._maker = Maker(
            library=library,
            workers=workers,
            workplace=workplace,
            profiles=profiles,
            limits=limits,
            life=life.name,
            clock=clock,
            totals=self.totals,
        )

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

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place in the backlog for a photo that is to be received and accepted inside; BacklogFullError if there is none."""
        taken = len(self._work) + self._arriving
        if taken >= self._max_backlog:
            raise BacklogFullError(f"{taken} photos wait for a worker here, or arrive; try again later")
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

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
        pending = Pending(image.image_id, photo.owner, photo.tags, "process", self._life.name, now + self._lease)
        request = None
        if photo.request_id:
            record = RequestRecord(image.image_id, photo.fingerprint, now + REQUEST_ID_SECONDS)
            request = (photo.request_id, record)
        try:
            async with asyncio.timeout(self._lease / 2):
                await self._library.accept(image, source.path, pending, request)
        except BaseException as error:
            with contextlib.suppress(StoreUnavailableError):
                # a thread that cannot be stopped may still write: the record stays, and what comes late is removed by it
                await asyncio.shield(self._library.delete(pending, keep_record=True))
            if isinstance(error, TimeoutError):
                raise StoreUnavailableError("the object store takes too long to store a photo") from error
            raise
        self.totals.bytes_in += original.size_bytes
        keep_failed = priority is Priority.BACKGROUND
        self._start(Work(image, pending, priority, source, keep_failed, request_id=photo.request_id))
        return image

    async def image(self, image_id: str) -> Image | None:
        """The image as it is now, here or in the store; None where there is none."""
        work = self._work.get(image_id)
        if work is None:
            return await self._library.image(image_id)
        return work.image if await self._library.exists(image_id) else None

    async def finished(self, image_id: str) -> Image:
        """Wait until the image is READY or FAILED, and return it.

        Raises what is wrong with the photo where it was INTERACTIVE, ImageDeletedError if it goes away, ImageNotFoundError if it
        is not there.
        """
        if work := self._work.get(image_id):
            with contextlib.suppress(TakenOverError):
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
            image = await self.image(image_id)
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
        pending = Pending(image_id, image.owner, image.tags, "delete", self._life.name, now + self._lease)
        await self._library.save_pending(pending)
        work = self._work.get(image_id)
        if work and work.task:
            work.pending = pending
            work.task.cancel()
            await asyncio.wait([work.task])
        # the record of an image that was in work stays until its lease is over: it tells another node that works on it, and what
        # is written meanwhile, there or by a thread here that cannot be stopped, is removed then
        await self._library.delete(pending, keep_record=not image.finished)
        if work and not work.done.done():
            work.fail(ImageDeletedError("the image was deleted while it was being worked on", image_id=image_id))
        return True

    async def recover(self) -> int:
        """Take over what a life of this node that has ended, or any that is silent, left unfinished; return how many images.

        That another life has the name of this node says nothing: two services of one name may run beside each other.
        """
        taken = 0
        ended = await self._life.ended()
        for image_id in await self._library.pending_ids():
            if image_id in self._work:
                continue
            try:
                pending = await self._library.pending(image_id)
                if pending is not None and (pending.expires <= self._clock() or pending.node in ended):
                    taken += 1
                    await self._take_over(pending)
            except StoreUnavailableError:
                raise
            except Exception:  # a record that is being written, or is none, keeps nobody from the others
                log.exception("an unfinished image could not be taken over", image_id=image_id)
        await self._life.forget(ended)
        return taken

    # Inside

    def _start(self, work: Work) -> None:
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
        mine = replace(pending, node=self._life.name, expires=self._clock() + self._lease)
        await self._library.save_pending(mine)
        self._start(Work(image, mine, Priority.BACKGROUND, None, keep_failed=True))

    async def _run(self, work: Work) -> None:
        """Take one image to its end, and tell whoever waits."""
        image_id = work.image.image_id
        try:
            await self._maker.make(work)
            self.totals.photos["ready"] += 1
            work.done.set_result(work.image)
        except TakenOverError as error:
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

    async def _fail(self, work: Work, error: ImagingError) -> None:
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
                failed = replace(work.image, state=ImageState.FAILED, variants=(), update_time=self._clock(), failure=failure)
                await self._maker.finish(work, failed)
                work.done.set_result(failed)
                return
            elif not await self._maker.is_mine(work):
                raise TakenOverError
            else:
                if work.request_id:
                    await self._library.forget_request(work.image.owner, work.request_id)
                await self._library.delete(work.pending)
        except (StoreUnavailableError, TakenOverError) as instead:
            work.fail(instead)
            return
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
            except Exception:
                log.exception("leases could not be renewed")  # and are the next time, or no photo would be finished any more
            await asyncio.sleep(self._lease / 3)

    async def _renew(self, work: Work) -> None:
        if not await self._maker.is_mine(work):
            work.fail(TakenOverError())
            if work.task:
                work.task.cancel()
        elif work.image.image_id in self._work:
            work.pending = replace(work.pending, expires=self._clock() + self._lease)
            await self._library.save_pending(work.pending)
