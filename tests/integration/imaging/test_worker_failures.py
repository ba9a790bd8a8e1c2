"""What is wrong with one photo, or befalls one worker, is told by its own name and touches nobody else."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import making
import photos
import processes
import pytest
from souk_cli import demo_photos
from souk_imaging.adapters import workers
from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.exceptions import (
    FormatNotSupportedError,
    ImageCorruptError,
    ImageTruncatedError,
    ImagingError,
    NotAnImageError,
    PhotoError,
    TooManyBytesError,
    TooManyFramesError,
    TooManyPixelsError,
    WorkerCrashedError,
    WorkerOutOfMemoryError,
    WorkerTimedOutError,
)
from souk_imaging.photos import Event, Finished, Job

SMALL = photos.one_of_each()["jpeg"]


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    async with making.open_pool() as opened:
        yield opened


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that keeps a worker busy for a second."""
    return demo_photos.camera_jpeg(tmp_path_factory.mktemp("large") / "photo.jpg", size=(3600, 2700)).path


async def start(pool: WorkerPool, job: Job) -> tuple["asyncio.Task[list[Event]]", int]:
    """Begin a job; return when its photo is decoded and its encoders are at work, with the pid of its worker."""
    begun = asyncio.Event()
    before = {pid: _cpu_ticks(pid) for pid in pool.pids}

    async def run() -> list[Event]:
        seen: list[Event] = []
        async with contextlib.aclosing(pool.process(job)) as events:
            async for event in events:
                seen.append(event)
                begun.set()
        return seen

    task = asyncio.create_task(run())
    await begun.wait()
    return task, max(before, key=lambda pid: _cpu_ticks(pid) - before[pid])


def _cpu_ticks(pid: int) -> int:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))


# The photo is at fault


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png", "webp", "lossless", "animated", "avif", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
async def test_a_truncated_photo_is_refused_by_name(pool: WorkerPool, tmp_path: Path, name: str, share: float) -> None:
    whole = photos.one_of_each()[name]
    job = making.job(tmp_path, whole[: max(12, int(len(whole) * share))])
    with pytest.raises(ImageTruncatedError):
        await making.run(pool, job)
    assert not list(job.output.iterdir())
    assert pool.restarts == 0


@pytest.mark.parametrize("name", ["png", "avif", "lossless", "gif"])
async def test_a_damaged_photo_is_refused_by_name(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    damaged = bytearray(photos.one_of_each()[name])
    for at in range(len(damaged) // 3, len(damaged) - 20, 7):
        damaged[at] ^= 0x5A
    with pytest.raises(ImageCorruptError):
        await making.run(pool, making.job(tmp_path, bytes(damaged)))


@pytest.mark.parametrize(
    ("photo", "error"),
    [
        (b"", NotAnImageError),
        (b"hello world, this is no picture at all", NotAnImageError),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", FormatNotSupportedError),
        (b"II*\0" + bytes(64), FormatNotSupportedError),
        (b"%PDF-1.7\n" + bytes(64), FormatNotSupportedError),
        (photos.png_bomb(), TooManyPixelsError),
        (photos.jpeg_bomb(), TooManyPixelsError),
        (photos.webp_bomb(), TooManyPixelsError),
        (photos.avif_bomb(), TooManyPixelsError),
        (photos.jpeg_bomb(6000, progressive=True), TooManyPixelsError),
        (photos.many_frames_gif(301), TooManyFramesError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_what_cannot_be_taken_is_refused_by_name(
    pool: WorkerPool, tmp_path: Path, photo: bytes, error: type[ImagingError]
) -> None:
    with pytest.raises(error):
        await making.run(pool, making.job(tmp_path, photo))
    assert (await making.run(pool, making.job(tmp_path, SMALL))).files
    assert pool.restarts == 0


async def test_limits_are_told_with_what_was_found(pool: WorkerPool, tmp_path: Path) -> None:
    few = replace(making.LIMITS, max_pixels=100_000, max_frames=4, max_bytes=1_000_000)
    with pytest.raises(TooManyPixelsError) as pixels:
        await making.run(pool, making.job(tmp_path, SMALL, limits=few))
    assert pixels.value.metadata == {"limit_pixels": "100000", "pixels": "120000"}
    with pytest.raises(TooManyFramesError) as frames:
        await making.run(pool, making.job(tmp_path, photos.many_frames_gif(5), limits=few))
    assert frames.value.metadata == {"limit_frames": "4", "frames": "5"}
    with pytest.raises(TooManyBytesError) as size:
        await making.run(pool, making.job(tmp_path, SMALL + bytes(1_000_000), limits=few))
    assert size.value.metadata == {"limit_bytes": "1000000"}


async def test_pixels_are_counted_over_all_frames(pool: WorkerPool, tmp_path: Path) -> None:
    tight = replace(making.LIMITS, max_pixels=64 * 64 * 9)
    with pytest.raises(TooManyPixelsError):
        await making.run(pool, making.job(tmp_path, photos.many_frames_gif(10, 64), limits=tight))
    assert (await making.run(pool, making.job(tmp_path, photos.many_frames_gif(9, 64), limits=tight))).photo.frames == 9


async def test_a_loader_that_is_not_wanted_cannot_be_reached(tmp_path: Path) -> None:
    code = (
        "import sys, pyvips; from souk_imaging.worker import pipeline; pipeline.set_up()\n"
        "for path in sys.argv[1:]:\n"
        "    try: pyvips.Image.new_from_file(path).avg(); print('opened', path)\n"
        "    except pyvips.Error: pass\n"
    )
    refused = []
    for name, form in (("a.tif", "TIFF"), ("a.ppm", "PPM")):
        (tmp_path / name).write_bytes(photos.encode(demo_photos.scene(20, 20), form))
        refused.append(tmp_path / name)
    for name, text in (("a.svg", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"), ("a.csv", "1,2\n3,4\n")):
        (tmp_path / name).write_text(text)
        refused.append(tmp_path / name)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *map(str, refused), stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert (process.returncode, said) == (0, b"")


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png", "webp", "lossless", "animated", "avif", "gif"])
async def test_no_damage_does_more_than_refuse_its_own_photo(tmp_path: Path, name: str) -> None:
    good = photos.one_of_each(96, 64)[name]
    profile = replace(making.PROFILES.get("product"), sides=(64,))
    refused: list[str] = []
    async with making.open_pool() as pool:
        for bad in photos.mutations(good, 200, seed=len(good)):
            try:
                await making.run(pool, making.job(tmp_path, bad, profile))
            except PhotoError as error:
                refused.append(error.message)
        assert len(refused) > 20
        assert not [text for text in refused if "vips" in text.lower() or str(tmp_path) in text]
        assert pool.restarts == 0
        assert (await making.run(pool, making.job(tmp_path, SMALL))).files


# The worker is lost


async def test_a_worker_killed_in_mid_encode_costs_its_photo_only(tmp_path: Path, large: Path) -> None:
    async with making.open_pool(size=2) as pool:
        lost, worker = await start(pool, making.job(tmp_path, large))
        other = asyncio.create_task(making.run(pool, making.job(tmp_path, SMALL)))
        os.kill(worker, signal.SIGKILL)
        results = await asyncio.gather(lost, other, return_exceptions=True)
        assert isinstance(results[0], WorkerCrashedError)
        assert isinstance(results[1], making.Outcome)
        await processes.until(lambda: len(pool.pids) == 2 and worker not in pool.pids)
        assert pool.restarts == 1
        assert (await making.run(pool, making.job(tmp_path, large))).files


async def test_a_worker_that_hangs_is_killed_at_its_limit(tmp_path: Path, large: Path) -> None:
    async with making.open_pool(timeout=3.0) as pool:
        (worker,) = pool.pids
        hung, _ = await start(pool, making.job(tmp_path, large))
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(WorkerTimedOutError) as caught:
            await hung
        assert caught.value.metadata == {"limit_seconds": "3"}
        assert (await making.run(pool, making.job(tmp_path, SMALL))).files
        assert worker not in pool.pids


async def test_a_photo_that_takes_too_much_memory_costs_itself_only(tmp_path: Path, large: Path) -> None:
    async with making.open_pool(max_memory_bytes=80 << 20) as pool:
        with pytest.raises(WorkerOutOfMemoryError) as caught:
            await making.run(pool, making.job(tmp_path, large))
        assert caught.value.metadata == {"limit_bytes": str(80 << 20)}
        assert (await making.run(pool, making.job(tmp_path, SMALL, "avatar"))).files


async def test_an_idle_worker_that_dies_costs_nothing(pool: WorkerPool, tmp_path: Path) -> None:
    (worker,) = pool.pids
    os.kill(worker, signal.SIGKILL)
    await processes.until(lambda: pool.restarts == 1 and bool(pool.pids))
    assert (await making.run(pool, making.job(tmp_path, SMALL))).files
    assert pool.pids != [worker]


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b'{"event":"encoded"}\n', b'{"event":"failed","error":"SystemExit","message":""}\n', b"[]\n"]
)
async def test_a_worker_that_speaks_nonsense_costs_its_photo_only(
    pool: WorkerPool, tmp_path: Path, large: Path, line: bytes
) -> None:
    (worker,) = pool.pids
    told, _ = await start(pool, making.job(tmp_path, large))
    with _said_by(worker) as pipe:
        os.write(pipe, line)
    with pytest.raises(WorkerCrashedError):
        await told
    assert (await making.run(pool, making.job(tmp_path, SMALL))).files
    assert worker not in pool.pids


async def test_a_worker_that_never_ends_its_line_is_not_listened_to_for_ever(pool: WorkerPool, tmp_path: Path, large: Path) -> None:
    (worker,) = pool.pids
    told, _ = await start(pool, making.job(tmp_path, large))
    os.kill(worker, signal.SIGSTOP)  # it is ours to speak for it
    written = 0
    with _said_by(worker) as pipe:
        while not told.done():
            with contextlib.suppress(BlockingIOError):
                written += os.write(pipe, b"x" * 65536)
            await asyncio.sleep(0)
    with pytest.raises(WorkerCrashedError):
        await told
    assert written < 4 << 20
    assert (await making.run(pool, making.job(tmp_path, SMALL))).files


@contextlib.contextmanager
def _said_by(worker: int):
    """The pipe that a worker tells its events by."""
    (number,) = [
        each.name for each in Path(f"/proc/{worker}/fd").iterdir() if int(each.name) > 2 and "pipe:" in str(each.readlink())
    ]
    pipe = os.open(f"/proc/{worker}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        yield pipe
    finally:
        os.close(pipe)


# Who works when


async def test_a_job_that_is_given_up_is_stopped_at_once(pool: WorkerPool, tmp_path: Path, large: Path) -> None:
    (worker,) = pool.pids
    task, _ = await start(pool, making.job(tmp_path, large))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await processes.until(lambda: not Path(f"/proc/{worker}").exists(), timeout=1.0)
    assert (await making.run(pool, making.job(tmp_path, SMALL))).files


async def test_a_job_that_is_given_up_while_it_waits_costs_no_worker(pool: WorkerPool, tmp_path: Path, large: Path) -> None:
    (worker,) = pool.pids
    first, _ = await start(pool, making.job(tmp_path, large))
    waiting = asyncio.create_task(making.run(pool, making.job(tmp_path, SMALL)))
    last = asyncio.create_task(making.run(pool, making.job(tmp_path, SMALL)))
    await processes.until(lambda: pool.queued == 2)
    waiting.cancel()
    assert isinstance((await first)[-1], Finished)
    assert (await last).end.queue_seconds > 0
    assert pool.pids == [worker]
    assert (pool.busy, pool.queued, pool.restarts) == (0, 0, 0)


async def test_a_caller_who_waits_goes_before_work_in_the_background(pool: WorkerPool, tmp_path: Path, large: Path) -> None:
    order: list[str] = []

    async def run(name: str, job: Job) -> None:
        await making.run(pool, job)
        order.append(name)

    first, _ = await start(pool, making.job(tmp_path, large))
    async with asyncio.TaskGroup() as group:
        for name in ("background 1", "background 2"):
            group.create_task(run(name, making.job(tmp_path, SMALL, priority=making.BACKGROUND)))
        await processes.until(lambda: pool.queued == 2)
        for name in ("interactive 1", "interactive 2"):
            group.create_task(run(name, making.job(tmp_path, SMALL)))
    await first
    assert order == ["interactive 1", "interactive 2", "background 1", "background 2"]


async def test_a_worker_is_replaced_after_its_share_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "JOBS_PER_WORKER", 2)
    async with making.open_pool() as pool:
        seen = []
        for _ in range(5):
            await making.run(pool, making.job(tmp_path, SMALL, "avatar"))
            seen.append(pool.restarts)
        assert seen[-1] >= 1
        await processes.until(lambda: pool.restarts == 2 and len(pool.pids) == 1)


async def test_a_pool_that_cannot_start_says_so_and_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no interpreter starts with it
    with pytest.raises(RuntimeError, match="ended before it was ready"):
        async with making.open_pool(size=2):
            pass
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if b"souk_imaging.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_closing_ends_every_worker_and_every_wait(tmp_path: Path, large: Path) -> None:
    async with making.open_pool(size=1) as pool:
        pids = pool.pids
        working, _ = await start(pool, making.job(tmp_path, large))
        waiting = asyncio.create_task(making.run(pool, making.job(tmp_path, SMALL)))
        await processes.until(lambda: pool.queued == 1)
    results = await asyncio.gather(working, waiting, return_exceptions=True)
    assert [type(each) for each in results] == [WorkerCrashedError, WorkerCrashedError]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(WorkerCrashedError):
        await making.run(pool, making.job(tmp_path, SMALL))


_PARENT = """
import asyncio, sys
from pathlib import Path
import making

async def main():
    async with making.open_pool(size=2) as pool:
        async for event in pool.process(making.job(Path(sys.argv[1]), Path(sys.argv[2]))):
            print(*pool.pids, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_workers_die_with_the_service(tmp_path: Path, large: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PARENT,
        str(tmp_path),
        str(large),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(making.__file__).parent)},
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that they cannot see that their input has ended
    parent.kill()
    await parent.wait()
    try:
        await processes.until(lambda: not any(_runs(pid) for pid in pids), timeout=2.0)
    finally:
        for pid in filter(_runs, pids):
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_all_processes_lets_workers_finish(pool: WorkerPool, tmp_path: Path, large: Path, number: int) -> None:
    (worker,) = pool.pids
    task, _ = await start(pool, making.job(tmp_path, large))
    os.kill(worker, number)
    assert isinstance((await task)[-1], Finished)
    assert pool.pids == [worker]


async def test_the_service_itself_never_loads_libvips() -> None:
    code = "import sys, souk_imaging.app, souk_imaging.__main__; sys.exit(any('vips' in name for name in sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
