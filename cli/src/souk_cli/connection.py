"""How a command reaches a service: the options that all of them share."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from souk.client import CacheClient, ClientConfig, DbClient, ImagingClient, MonitorClient, SoukError

from souk_cli.display import as_json, print_json, show_error


@dataclass(frozen=True, slots=True)
class Service:
    """A service that commands call."""

    name: str
    address: str
    """Where it listens unless it is told otherwise."""


IMAGING = Service("imaging", "127.0.0.1:50051")
CACHE = Service("cache", "127.0.0.1:50052")
DBOPT = Service("dbopt", "127.0.0.1:50053")
MONITOR = Service("monitor", "127.0.0.1:50054")
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


def connected(service: Service) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a connection to the service, before --json, and call it with the config they make."""
    where = typer.Option(
        "--address", envvar=f"SOUK_{service.name.upper()}_ADDRESS", help=f"Where the {service.name} service listens, as host:port."
    )
    types = {"address": Annotated[str, where], "token": Token, "tls_ca": TlsCa, "tls_cert": TlsCert, "tls_key": TlsKey}
    defaults = {"address": service.address}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=defaults.get(name))
        for name, kind in types.items()
    ]

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            command(config_of(**{name: given.pop(name) for name in types}), **given)

        signature = inspect.signature(command, eval_str=True)
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in signature.parameters.items() if name != "config"]
        before = next((index for index, each in enumerate(own) if each.name == "json"), len(own))
        parameters = [*own[:before], *options, *own[before:]]
        run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return with_options


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
