"""`souk up`: all services of this machine with one command, and an orderly end."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from souk_cli.display import err, out
from souk_cli.engines import EngineError
from souk_cli.services import Service, installed, ports_of
from souk_cli.supervisor import ChildError, Supervisor
from souk_cli.visible import escape


def up(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]…", help="Which services. Default: all there are.")] = None,
    state: Annotated[Path, typer.Option("--state", envvar="SOUK_STATE", help="Folder that everything is kept in.")] = Path(
        ".state"
    ),
    port: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=PORT", help="Port of gRPC, as imaging=50061. 0: a free one.")
    ] = None,
    http_port: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=PORT", help="Port of HTTP, as imaging=8082. 0: a free one.")
    ] = None,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Free ports for everything.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="File that gets the addresses as JSON once all are ready; removed at the end.")
    ] = None,
) -> None:
    """Start services, show where they are, and stop them together on Ctrl-C. A service's own settings come from SOUK_<NAME>_…

    Exits with 0 after a clean stop, and with 1 where a service could not start, died, or did not stop.
    """
    services = _services(names or [])
    environment = _environment(services, port or [], http_port or [], free_ports=free_ports)
    raise typer.Exit(asyncio.run(_run(services, state.absolute(), environment, ready_file)))


async def _run(services: list[Service], folder: Path, environment: dict[str, str], ready_file: Path | None) -> int:
    supervisor = Supervisor(folder, environment)
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            supervisor.hurry()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    failures: list[ChildError] = []
    try:
        with _locked(folder):
            _check_ports(services, environment)
            try:
                await _first(_serve(supervisor, services, folder, ready_file), stopping.wait())
                err.print("[dim]Stopping …[/]")
            except ChildError as error:
                failures.append(error)
            finally:  # also where the terminal is gone, and printing fails
                failures += await supervisor.stop()
                _tell_others(ready_file, None)
    except (RefusedError, EngineError, OSError) as error:
        err.print(f"[red]✗[/] {escape(str(error))}")
        return 1
    for failure in failures:
        _show_failure(failure)
    if not failures:
        err.print("[dim]Stopped.[/]")
    return 1 if failures else 0


async def _serve(supervisor: Supervisor, services: list[Service], folder: Path, ready_file: Path | None) -> None:
    with err.status(f"Starting {', '.join(service.name for service in services)} …"):
        await supervisor.start(services)
    _show(supervisor, folder)
    _tell_others(ready_file, supervisor)
    await supervisor.watch(lambda child, line: err.print(f"[yellow]{child.service.name}[/] {escape(line)}"))


def _tell_others(ready_file: Path | None, supervisor: Supervisor | None) -> None:
    """Write where everything is, all at once; or take it away."""
    if ready_file is None:
        return
    if supervisor is None:
        ready_file.unlink(missing_ok=True)
        return
    told = {child.service.name: child.addresses for child in supervisor.children}
    if supervisor.owner_dsns:
        told["postgres"] = supervisor.owner_dsns
    if supervisor.sentry_dsn:
        told["monitor"] = {**told["monitor"], "sentry_dsn": supervisor.sentry_dsn}
    written = ready_file.with_name(f".{ready_file.name}.tmp")
    written.write_text(json.dumps(told))
    written.replace(ready_file)


async def _first(*works: Coroutine[None, None, object]) -> None:
    """Wait for the first of these to end, and end the others. Raises what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class RefusedError(Exception):
    """Nothing was started; the text says why and what to do."""


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the state folder, which two of us would spoil."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError(f"another `souk up` uses {folder}; stop it, or choose another folder with --state") from None
        yield


def _check_ports(services: list[Service], environment: dict[str, str]) -> None:
    told = {**os.environ, **environment}
    for service in services:
        for port in ports_of(service, told):
            if not port.is_free(told.get(f"{service.prefix}HOST") or "127.0.0.1"):
                raise RefusedError(
                    f"port {port.number}, which {service.name} wants, is in use. Choose another with "
                    f"{port.option} {service.name}=PORT (0: a free one), or stop what uses it"
                )


def _services(names: list[str]) -> list[Service]:
    known = installed()
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no service {name}; there are: {', '.join(known)}", param_hint="SERVICE")
    return [known[name] for name in dict.fromkeys(names or known)]


def _environment(services: list[Service], ports: list[str], http_ports: list[str], *, free_ports: bool) -> dict[str, str]:
    """What the options change for the services."""
    environment: dict[str, str] = {}
    for service in services if free_ports else ():
        environment |= {f"{service.prefix}PORT": "0", f"{service.prefix}HTTP_PORT": "0"}
    named = {service.name: service for service in services}
    for option, setting, values in (("--port", "PORT", ports), ("--http-port", "HTTP_PORT", http_ports)):
        for value in values:
            name, _, number = value.partition("=")
            if name not in named or not number.isdigit() or int(number) > 65535:
                raise typer.BadParameter(f"must be SERVICE=PORT, as {services[0].name}=0, and not {value}", param_hint=option)
            environment[f"{named[name].prefix}{setting}"] = number
    for service in services:
        environment |= _public_url(service, {**os.environ, **environment})
    return environment


def _public_url(service: Service, told: Mapping[str, str]) -> dict[str, str]:
    """Where browsers of this machine reach a service, so that its URLs can be clicked; a free port is not known yet."""
    setting = f"{service.prefix}PUBLIC_URL"
    number = told.get(f"{service.prefix}HTTP_PORT") or str(service.http_port or 0)
    return {} if told.get(setting) or number == "0" else {setting: f"http://127.0.0.1:{number}"}


def _show(supervisor: Supervisor, folder: Path) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Service", "gRPC", "HTTP", "Log"):
        table.add_column(name, no_wrap=name != "Log", overflow="fold")
    for child in supervisor.children:
        http = f"http://{child.addresses['http']}" if "http" in child.addresses else "–"
        table.add_row(f"[green]●[/] {child.service.name}", child.addresses["grpc"], http, escape(str(child.log)))
    out.print(f"State is kept in {escape(str(folder))}", soft_wrap=True)
    out.print()
    out.print(table)
    out.print("\nTry:")
    for child in supervisor.children:
        for line in child.service.tries(child.addresses["grpc"]):
            out.print(f"  {escape(line)}", soft_wrap=True)
    if dsn := supervisor.owner_dsns.get("dbopt"):
        out.print(f"  souk db seed --products 10000 --dsn '{escape(dsn)}'", soft_wrap=True)
    for child in supervisor.children:
        if child.service.has_dashboard:
            out.print(f"\nDashboard: [bold]http://{escape(child.addresses['http'])}/[/]", soft_wrap=True)
    if supervisor.sentry_dsn:
        out.print(f"Sentry's SDKs report with the DSN [bold]{escape(supervisor.sentry_dsn)}[/]", soft_wrap=True)
    out.print("\n[dim]Ctrl-C stops everything.[/]")


def _show_failure(failure: ChildError) -> None:
    err.print(f"[red]✗[/] [bold]{escape(str(failure))}[/]. The end of {escape(str(failure.child.log))}:", soft_wrap=True)
    for line in failure.child.last_lines():
        err.print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
