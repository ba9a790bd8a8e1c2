"""`souk demo`: a small shop on this machine. What it does is in demo_run, which is imported when it is asked for: it needs much
that the other commands do not."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from souk.client import SoukError

from souk_cli.display import show_error


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(envvar="PHOTOS", help="Folder with photos of yours. Default: photos are made.", show_default=False),
    ] = None,
    to: Annotated[Path, typer.Option("--out", help="Folder for the contact sheet.")] = Path("build/demo"),
    stay: Annotated[bool, typer.Option("--stay", help="Leave the services running in the end, until Ctrl-C.")] = False,
) -> None:
    """Do what the users of a marketplace do, with services started for it, and check everything.

    Upload photos to a service started for it, fetch them as browsers do, and write a contact sheet; then let shoppers browse
    products through the cache while sellers change them, buyers order what is scarce from PostgreSQL, and things go wrong, on
    purpose, and are found in monitor.

    Leaves nothing running (--stay: until Ctrl-C, to look at the dashboard). Exits with 1 where a check fails.
    """
    import httpx

    from souk_cli import demo_run

    try:
        passed = asyncio.run(demo_run.run(photos, to, stay=stay))
    except (demo_run.DemoError, SoukError, OSError, httpx.HTTPError) as error:
        show_error(error)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if passed else 1)
