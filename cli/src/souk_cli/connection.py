"""How a command reaches a service: the options that all of them share."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from souk.client import CacheClient, ClientConfig, DbClient, ImagingClient, MonitorClient, SoukError

from souk_cli.display import as_json, print_json, show_error

DEFAULT_ADDRESS = "127.0.0.1:50051"
Address: TypeAlias = Annotated[
    str, typer.Option("--address", envvar="SOUK_IMAGING_ADDRESS", help="Where the imaging service listens, as host:port.")
]
CACHE_ADDRESS = "127.0.0.1:50052"
CacheAddress: TypeAlias = Annotated[
    str, typer.Option("--address", envvar="SOUK_CACHE_ADDRESS", help="Where the cache service listens, as host:port.")
]
DB_ADDRESS = "127.0.0.1:50053"
DbAddress: TypeAlias = Annotated[
    str, typer.Option("--address", envvar="SOUK_DBOPT_ADDRESS", help="Where the dbopt service listens, as host:port.")
]
MONITOR_ADDRESS = "127.0.0.1:50054"
MonitorAddress: TypeAlias = Annotated[
    str, typer.Option("--address", envvar="SOUK_MONITOR_ADDRESS", help="Where the monitor service listens, as host:port.")
]
Token: TypeAlias = Annotated[
    str | None, typer.Option("--token", envvar="SOUK_TOKEN", show_envvar=True, help="Token to call with.", show_default=False)
]
TlsCa: TypeAlias = Annotated[
    Path | None,
    typer.Option("--tls-ca", envvar="SOUK_TLS_CA", help="PEM file of the authorities of the server's certificate: speak TLS."),
]
TlsCert: TypeAlias = Annotated[
    Path | None,
    typer.Option("--tls-cert", envvar="SOUK_TLS_CERT", help="PEM file of a certificate to show to the server (mTLS): speak TLS."),
]
TlsKey: TypeAlias = Annotated[
    Path | None, typer.Option("--tls-key", envvar="SOUK_TLS_KEY", help="PEM file of that certificate's private key.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PROGRESS_BYTES = 256 * 1024
"""A progress bar moves this often."""


def config_of(address: str, token: str | None, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None) -> ClientConfig:
    """The client's configuration; a usage error where the options contradict each other."""
    if bool(tls_cert) != bool(tls_key):
        raise typer.BadParameter("--tls-cert and --tls-key are given together, or not at all")
    try:
        return ClientConfig(
            target=address,
            token=token or None,
            tls_ca_file=tls_ca,
            tls_cert_file=tls_cert,
            tls_key_file=tls_key,
            chunk_bytes=PROGRESS_BYTES,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def with_client(
    config: ClientConfig, work: Callable[[ImagingClient], Coroutine[None, None, None]], *, json: bool = False, about: str = ""
) -> None:
    """Run `work` with a client. An error of the call, or of a file, is shown, and ends the command with 1."""

    async def run() -> None:
        async with ImagingClient(config=config) as client:
            await work(client)

    _run(run(), config, json=json, about=about, interrupted=130)


def with_cache(
    config: ClientConfig,
    work: Callable[[CacheClient], Coroutine[None, None, None]],
    *,
    json: bool = False,
    about: str = "",
    endless: bool = False,
) -> None:
    """Run `work` with a client of the cache, as with_client does. endless: Ctrl-C is how it ends, with 0."""

    async def run() -> None:
        async with CacheClient(config=config) as client:
            await work(client)

    _run(run(), config, json=json, about=about, interrupted=0 if endless else 130)


def with_db(
    config: ClientConfig,
    work: Callable[[DbClient], Coroutine[None, None, None]],
    *,
    json: bool = False,
    about: str = "",
    endless: bool = False,
) -> None:
    """Run `work` with a client of dbopt, as with_cache does."""

    async def run() -> None:
        async with DbClient(config=config) as client:
            await work(client)

    _run(run(), config, json=json, about=about, interrupted=0 if endless else 130)


def with_monitor(
    config: ClientConfig,
    work: Callable[[MonitorClient], Coroutine[None, None, None]],
    *,
    json: bool = False,
    about: str = "",
    endless: bool = False,
) -> None:
    """Run `work` with a client of monitor, as with_cache does."""

    async def run() -> None:
        async with MonitorClient(config=config) as client:
            await work(client)

    _run(run(), config, json=json, about=about, interrupted=0 if endless else 130)


def _run(work: Coroutine[None, None, None], config: ClientConfig, *, json: bool, about: str, interrupted: int) -> None:
    try:
        asyncio.run(work)
    except (SoukError, OSError) as error:
        if json:
            print_json({"error": as_json(error, config.target)})
        else:
            show_error(error, about=about, address=config.target)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(interrupted) from None
