"""What `souk demo` does: photos go through imaging, shoppers through the cache and dbopt, orders to PostgreSQL, errors to monitor,
and all of it is checked."""

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

import httpx
from rich.table import Table
from souk.client import ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb

from souk_cli import contact_sheet, demo_photos
from souk_cli.demo_checks import Checks, check_accounts, check_browsers, check_originals, check_variants
from souk_cli.demo_errors import Places, errors
from souk_cli.demo_orders import make_marketplace, orders
from souk_cli.demo_shop import shop
from souk_cli.display import err, out, seconds, size
from souk_cli.image_upload import Bars, Outcome, Wishes, show_outcomes, upload_all
from souk_cli.savings import savings
from souk_cli.visible import escape

TYPES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif"}
OWNER = "demo"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 45.0
BROWSERS = {
    "Chrome 140": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Safari 15": "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",
    "an old one": "image/png,image/jpeg,*/*;q=0.1",
}
"""Accept headers as they are sent for <img>. The old one knows neither WebP nor AVIF."""
LAYOUT_WIDTH = 400


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a browser got for the negotiating URL."""

    browser: str
    accept: str
    content_type: str
    location: str
    """Content-Location: the variant."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Running:
    """The services of this demo."""

    process: asyncio.subprocess.Process
    imaging: str
    http: str
    cache: str
    dbopt: str
    owner_dsn: str
    """Of the database that was made for it."""
    monitor: str
    dashboard: str
    sentry_dsn: str
    state: Path


class DemoError(Exception):
    """The demo could not go on."""


async def run(folder: Path | None, to: Path, *, stay: bool = False) -> bool:
    """The whole story, told as it happens; whether every check has passed. folder: photos to take; None: they are made.
    stay: until SIGINT or SIGTERM, before the services are stopped.

    Raises DemoError, SoukError, OSError or httpx.HTTPError where it cannot go on.
    """
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="souk-demo-") as temporary:
        await asyncio.to_thread(Path(temporary).chmod, 0o711)  # where root starts it, PostgreSQL runs as somebody else
        described = await asyncio.to_thread(_photos, folder, Path(temporary) / "photos")
        async with _services(Path(temporary) / "state", checks) as running:
            where = f"imaging {running.imaging} and {running.http}, cache {running.cache}, dbopt {running.dbopt}, "
            where += f"monitor {running.monitor} and {running.dashboard}"
            out.print(f"The services run: {where}\n", soft_wrap=True)
            async with (
                ImagingClient(running.imaging) as client,
                httpx.AsyncClient(base_url=running.http, timeout=30.0) as http,
            ):
                outcomes, took = await _upload(client, list(described))
                for outcome in outcomes:
                    checks.add(f"{outcome.path.name} became READY", outcome.image is not None, "uploaded photos became READY")
                images = {outcome.path: outcome.image for outcome in outcomes if outcome.image}
                if images:
                    sheet = contact_sheet.Sheet(to, described)
                    fetched = await _fetch_as_browsers(http, next(iter(images.values())))
                    check_originals(checks, images)
                    await check_accounts(checks, client, OWNER, list(images.values()))
                    await check_browsers(checks, client, next(iter(images.values())), fetched, LAYOUT_WIDTH)
                    await check_variants(checks, client, http, images, demo_photos.SECRETS, sheet.keep)
                    page = await asyncio.to_thread(sheet.write, images, {o.path: o.seconds for o in outcomes}, fetched, took)
                    out.print(f"\nContact sheet: [bold]{escape(str(page.absolute()))}[/]", soft_wrap=True)
            await make_marketplace(running.owner_dsn)
            await shop(running.cache, running.dbopt, checks)
            await orders(running.dbopt, checks)
            await errors(await asyncio.to_thread(_places, running), checks)
            if stay:
                await _stay(running)
    _show_checks(checks)
    return checks.passed


def _photos(folder: Path | None, made: Path) -> dict[Path, str]:
    """The photos to upload, each with what is special about it."""
    if folder is None:
        with err.status("Making photos …"):
            return {photo.path: photo.description for photo in demo_photos.write_all(made)}
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in TYPES and path.is_file())
    if not found:
        raise DemoError(f"there are no photos in {folder} ({', '.join(sorted(TYPES))})")
    return dict.fromkeys(found, "")


async def _upload(client: ImagingClient, paths: list[Path]) -> tuple[list[Outcome], float]:
    start = time.perf_counter()
    with Bars(shown=err.is_terminal) as bars:
        outcomes = await upload_all(client, paths, Wishes(owner=OWNER, tags=("demo",)), concurrency=4, bars=bars)
    took = time.perf_counter() - start
    show_outcomes(outcomes, "")
    made = savings(*(outcome.image for outcome in outcomes if outcome.image))
    out.print(
        f"\n{len(outcomes)} photos of {size(made.original_bytes)} in {seconds(took)}. At full width they are now "
        f"{size(made.widest_bytes)}, [green]{made.saved_of_original:.0%}[/] less."
    )
    return outcomes, took


async def _fetch_as_browsers(http: httpx.AsyncClient, image: pb.Image) -> list[Fetched]:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Browser", "Got", "Bytes", "Variant"):
        table.add_column(name, justify="right" if name == "Bytes" else "left")
    fetched = []
    for browser, accept in BROWSERS.items():
        response = await http.get(f"{image.url}?w={LAYOUT_WIDTH}&dpr=2", headers={"accept": accept})
        response.raise_for_status()
        location = urljoin(str(response.url), response.headers["content-location"])
        got = Fetched(browser, accept, response.headers["content-type"], location, len(response.content))
        fetched.append(got)
        table.add_row(browser, got.content_type, size(got.size_bytes), location.rpartition("/")[2])
    out.print(f"\nOne URL, three browsers ({LAYOUT_WIDTH} CSS pixels, twice as dense): {escape(image.url)}\n", soft_wrap=True)
    out.print(table)
    return fetched


@contextlib.asynccontextmanager
async def _services(state: Path, checks: Checks) -> AsyncIterator[Running]:
    """The services, started and stopped as a user would."""
    ready, log = state / "addresses.json", state / "up.log"
    with _new(log) as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "souk_cli", "up", "imaging", "cache", "dbopt", "monitor", "--free-ports"),
            *("--state", str(state), "--ready-file", str(ready)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        await _until_ready(process, ready, log)
        told = json.loads(_text(ready))
        yield Running(
            process,
            told["imaging"]["grpc"],
            f"http://{told['imaging']['http']}",
            told["cache"]["grpc"],
            told["dbopt"]["grpc"],
            told["postgres"]["dbopt"],
            told["monitor"]["grpc"],
            f"http://{told['monitor']['http']}/",
            told["monitor"]["sentry_dsn"],
            state,
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        checks.add(f"`souk up` stopped cleanly (exit status {status})", status == 0)


async def _stay(running: Running) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    out.print(f"\n[bold]{escape(running.dashboard)}[/] shows them until Ctrl-C.", soft_wrap=True)
    await stop.wait()


def _places(running: Running) -> Places:
    return Places(
        imaging=running.imaging,
        cache=running.cache,
        cache_pid=json.loads(_text(running.state / "cache.ready.json"))["pid"],
        dbopt=running.dbopt,
        owner_dsn=running.owner_dsn,
        monitor=running.monitor,
        dashboard=running.dashboard,
        sentry_dsn=running.sentry_dsn,
    )


async def _until_ready(process: asyncio.subprocess.Process, ready: Path, log: Path) -> None:
    with err.status("Starting the services …"):
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not _is_there(ready):
                    if process.returncode is not None:
                        raise DemoError(f"the services could not start:\n{_text(log)}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DemoError(f"the services did not start:\n{_text(log)}") from None


def _new(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True)
    return log.open("wb")


def _is_there(ready: Path) -> bool:
    return ready.exists()


def _text(file: Path) -> str:
    return file.read_text(errors="replace")


def _show_checks(checks: Checks) -> None:
    out.print("\n[bold]Checked[/]")
    for line, good in checks.lines():
        out.print(f"  {'[green]✓[/]' if good else '[red]✗[/]'} {escape(line)}", soft_wrap=True)
