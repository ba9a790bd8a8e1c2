"""`souk cache get`, `put`, `invalidate`, `stats` and `watch`; cache_operations.py has `warm`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from souk.cache.v1 import cache_pb2 as pb
from souk.client import CLIENTS, NODES, CacheClient, ClientConfig

from souk_cli.connection import CACHE, Json, connected, with_cache
from souk_cli.display import err, out, plain, print_json, seconds, size
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape, visible

Space = Annotated[str, typer.Argument(metavar="NAMESPACE", help="One of `souk cache namespaces`.")]
LOAD_WAIT = 5.0
MAX_SECONDS = 315_576_000_000.0
"""What a google.protobuf.Duration holds: 10,000 years."""
MAX_VERSION = 2**63 - 1
_COUNTS = {"reads": 0, "hit ratio": 0, "memory": 1, "Redis": 2, "negative": 8, "stale": 7, "leases": 4, "waits": 10, "fills": 5}
_COUNTS |= {"refused": 9, "loads": 6, "inval.": 3}
"""Columns of `souk cache stats`, and which are left out first."""
_POLICY = (
    *("TTL", "negative", "jitter", "stale for", "early", "without Redis", "lease", "largest", "buckets", "hottest", "aliases"),
    "loader",
)
REFRESH = 1.0
"""Seconds between two looks of `stats --watch`."""


class Level(StrEnum):
    """Who has dropped the old value when the command returns."""

    nodes = "nodes"
    clients = "clients"

    @property
    def asked(self) -> pb.InvalidationLevel.ValueType:
        """As the service is asked."""
        return CLIENTS if self is Level.clients else NODES


@connected(CACHE)
def get(
    config: ClientConfig,
    namespace: Space,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, or with --alias an alias of it, as ens:anna.eth.")],
    alias: Annotated[bool, typer.Option("--alias", help="KEY is an alias.")] = False,
    allow_stale: Annotated[bool, typer.Option("--allow-stale", help="A value past its TTL is good enough.")] = False,
    load: Annotated[bool, typer.Option("--load", help="Have the namespace's loader load it where there is none.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for the value; - for stdout.")] = None,
    json: Json = False,
) -> None:
    """Read one value. Exits with 1 where there is none."""

    async def work(client: CacheClient) -> None:
        own, other = ("", key) if alias else (key, "")
        result = await client.get(namespace, own, alias=other, allow_stale=allow_stale, load=load, wait=LOAD_WAIT if load else 0.0)
        if json:
            print_json(plain(result))
        elif result.HasField("hit"):
            _show(result.hit, output)
        elif result.HasField("negative"):
            err.print(f"[yellow]It is known that there is nothing[/] [dim](since {_ago(result.negative.age)})[/]")
        else:
            err.print("[yellow]Not cached[/]" + (" [dim](somebody loads it)[/]" if result.HasField("wait") else ""))
        if not result.HasField("hit"):
            raise typer.Exit(1)

    with_cache(config, work, json=json, about=f"{namespace} {key}")


@connected(CACHE)
def put(
    config: ClientConfig,
    namespace: Space,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key.")],
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The value; - reads stdin, @FILE a file.", show_default=False)
    ] = None,
    negative: Annotated[bool, typer.Option("--negative", help="There is nothing under this key.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="A tag that invalidates it; may be given several times.")] = None,
    alias: Annotated[list[str] | None, typer.Option(help="An alias of it, as ens:anna.eth; may be given several times.")] = None,
    ttl: Annotated[
        float | None,
        typer.Option(min=0.001, max=MAX_SECONDS, help="Seconds that it is fresh. Default: the namespace's."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=0, max=MAX_VERSION, help="Never replaces a larger one.")] = None,
    level: Annotated[Level, typer.Option(help="Who has dropped the old value when this returns.")] = Level.nodes,
    json: Json = False,
) -> None:
    """Store a value. When it returns, no node serves an older one."""
    if (value is None) != negative:
        raise typer.BadParameter("give a value ('' is an empty one), - for stdin, @FILE, or --negative: one of them")
    data = None if value is None else _value(value)

    async def work(client: CacheClient) -> None:
        made = await client.put(
            namespace, key, data, tags=tag or (), aliases=alias or (), ttl=ttl, version=version, level=level.asked
        )
        if json:
            print_json(plain(made))
        elif made.outcome == pb.FILL_OUTCOME_STORED:
            out.print(f"[green]✓[/] stored  [dim]{'that there is nothing' if data is None else size(len(data))}[/]")
        elif made.outcome == pb.FILL_OUTCOME_OLDER:
            err.print("[yellow]Not stored: there is a newer version[/]")
        else:
            err.print("[yellow]Not stored: it was invalidated meanwhile, and has no value now[/]")
        if made.outcome != pb.FILL_OUTCOME_STORED:
            raise typer.Exit(1)

    with_cache(config, work, json=json, about=f"{namespace} {key}")


@connected(CACHE)
def invalidate(
    config: ClientConfig,
    namespace: Annotated[
        str, typer.Argument(metavar="NAMESPACE", help="The namespace of the keys; not needed for tags.", show_default=False)
    ] = "",
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Keys.", show_default=False)] = None,
    alias: Annotated[list[str] | None, typer.Option(help="An alias in NAMESPACE; may be given several times.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag, over all namespaces; may be given several times.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole of NAMESPACE.")] = False,
    level: Annotated[Level, typer.Option(help="Who has dropped it when this returns.")] = Level.nodes,
    json: Json = False,
) -> None:
    """Invalidate keys, aliases, tags, or a namespace. When it returns, no node serves what was there."""
    if not (keys or alias or tag or everything):
        raise typer.BadParameter("name keys, --alias, --tag, or --all")
    if (keys or alias or everything) and not namespace:
        raise typer.BadParameter("name the namespace first")

    async def work(client: CacheClient) -> None:
        start = asyncio.get_running_loop().time()
        made = await client.invalidate(
            keys={namespace: keys or ()},
            aliases={namespace: alias or ()},
            tags=tag or (),
            namespaces=[namespace] if everything else (),
            level=level.asked,
        )
        took = asyncio.get_running_loop().time() - start
        if json:
            print_json(plain(made))
        else:
            who = "every node and near cache" if level is Level.clients else "every node"
            out.print(f"[green]✓[/] {who} has dropped it  [dim]{seconds(took)}[/]")

    with_cache(config, work, json=json)


@connected(CACHE)
def namespaces(
    config: ClientConfig,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAMESPACE", help="Only these, each with all there is.")] = None,
    json: Json = False,
) -> None:
    """List the namespaces with their policies."""

    async def work(client: CacheClient) -> None:
        known = await client.namespaces()
        unknown = set(names or ()) - {each.name for each in known}
        if unknown:
            there_are = ", ".join(each.name for each in known)
            raise typer.BadParameter(f"there is no namespace {', '.join(sorted(unknown))}; there are {there_are}")
        known = [each for each in known if not names or each.name in names]
        if json:
            print_json([plain(each) for each in known])
            return
        for each in known if names else ():
            detail = Table(box=None, show_header=False, title=f"[bold]{each.name}[/]", title_justify="left")
            for column, cell in zip(_POLICY, _policy(each), strict=True):
                detail.add_row(f"[dim]{column}[/]", cell)
            out.print(detail)
        if not names:
            out.print(_policies(known))

    with_cache(config, work, json=json)


@connected(CACHE)
def stats(
    config: ClientConfig,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show what happened on a node since it started, by namespace."""

    async def work(client: CacheClient) -> None:
        now = await client.stats()
        if not follow:
            if json:
                print_json(plain(now))
            else:
                out.print(_stats(now, None))
            return
        with contextlib.nullcontext() if json else Live(_stats(now, None), console=out, auto_refresh=False) as live:
            while True:
                before = now
                await asyncio.sleep(REFRESH)
                now = await client.stats()
                if live is None:
                    print_json(plain(now))
                else:
                    live.update(_stats(now, before), refresh=True)

    with_cache(config, work, json=json, endless=follow)


@connected(CACHE)
def watch(
    config: ClientConfig,
    spaces: Annotated[list[str], typer.Argument(metavar="NAMESPACE", help="Whose keys are of interest; tags always are.")],
    json: Json = False,
) -> None:
    """Show invalidations as they happen, until Ctrl-C."""

    def tell(told: pb.WatchResponse) -> None:
        if json:
            print_json(plain(told))
            return
        kind = told.WhichOneof("message")
        at = f"[dim]{datetime.now().astimezone():%H:%M:%S}[/]"
        if kind == "invalidation":
            out.print(f"{at}  [dim]{told.invalidation.position.sequence:>6}[/]  {escape(', '.join(_named(told.invalidation)))}")
        elif kind == "discontinuity":
            out.print(f"{at}  [dim]{told.discontinuity.position.sequence:>6}  from here on; Ctrl-C ends it[/]")
        elif kind == "leaving":
            out.print(f"{at}          [yellow]the node stops; going on at another[/]")

    async def work(client: CacheClient) -> None:
        async for told in client.watch(spaces):
            tell(told)

    with_cache(config, work, json=json, endless=True)


# What is shown


def _show(hit: pb.Hit, output: Path | None) -> None:
    if output is not None and output != Path("-"):
        output.write_bytes(hit.value)
        out.print(f"{escape(str(output))}  [dim]{size(len(hit.value))}[/]")
        return
    if output is not None or not sys.stdout.isatty():
        sys.stdout.buffer.write(hit.value)
        sys.stdout.buffer.flush()
    else:
        _show_text(hit.value)
    freshness = pb.Freshness.Name(hit.freshness).removeprefix("FRESHNESS_").lower()
    level = pb.Level.Name(hit.level).removeprefix("LEVEL_").lower()
    version = f", version {hit.version}" if hit.HasField("version") else ""
    key = f", key {escape(hit.key)}" if hit.key else ""
    err.print(f"[dim]{freshness}, {_ago(hit.age)} old, from {level}{version}{key}[/]")


def _show_text(value: bytes) -> None:
    """A value on a terminal, where it is text."""
    try:
        out.print(visible(value.decode()), markup=False, emoji=False, highlight=False, soft_wrap=True)
    except UnicodeDecodeError:
        err.print(f"[yellow]{size(len(value))} that are no text[/]: --output names a file for them")


def _policies(known: Sequence[pb.Namespace]) -> FittedTable:
    columns = (Column(name, drop=number) for number, name in enumerate(_POLICY))
    table = FittedTable(Column("namespace"), *columns, elsewhere="`souk cache namespaces NAME`")
    for each in known:
        table.add_row(each.name, *_policy(each))
    return table


def _policy(space: pb.Namespace) -> tuple[str, ...]:
    """What `souk cache namespaces` shows of one, by _POLICY."""
    strict = space.consistency == pb.CONSISTENCY_STRICT
    return (
        _span(space.ttl),
        _span(space.negative_ttl),
        f"{space.jitter:.0%}",
        _span(space.stale_for),
        f"× {space.refresh_beta:g}" if space.refresh_beta else "–",
        "strict" if strict else f"memory for {_span(space.unverified_ttl)}",
        _span(space.load_lease),
        size(space.max_value_bytes) + ("" if space.compress else ", as it is"),
        f"grace {_span(space.bucket_grace)}" if space.time_buckets else "–",
        f"{space.warm_hottest:,}" if space.warm_hottest else "–",
        ", ".join(space.alias_kinds) or "–",
        space.loader or "callers",
    )


def _stats(now: pb.GetStatsResponse, before: pb.GetStatsResponse | None) -> FittedTable:
    """before: rates are of what happened since."""
    what = "hits and reads in the last second" if before else "since the node started"
    state = "[green]coherent[/]" if now.coherent else "[red]does not know of every invalidation[/]"
    caption = (
        f"{state} · memory {now.memory_entries:,} values, {size(now.memory_bytes)}, {now.memory_evictions:,} evicted · "
        f"{now.watchers} near cache{'' if now.watchers == 1 else 's'} · {now.warming:,} to warm · {what}"
    )
    columns = (Column(name, right=True, drop=drop) for name, drop in _COUNTS.items())
    table = FittedTable(Column("namespace"), *columns, caption=f"[dim italic]{caption}[/]")
    earlier = {each.namespace: each for each in before.namespaces} if before else {}
    for each in now.namespaces:
        was = earlier.get(each.namespace, pb.NamespaceStats())
        hits = each.hits_memory + each.hits_redis - was.hits_memory - was.hits_redis
        reads = hits + each.misses + each.leases + each.waits - was.misses - was.leases - was.waits
        cells = {
            "reads": f"{reads:,}",
            "hit ratio": f"{hits / reads:.1%}" if reads else "–",
            "memory": _count(each.hits_memory - was.hits_memory),
            "Redis": _count(each.hits_redis - was.hits_redis),
            "negative": _count(each.negatives - was.negatives),
            "stale": _count(each.stale_served - was.stale_served),
            "leases": _count(each.leases - was.leases),
            "waits": _count(each.waits - was.waits),
            "fills": _count(each.fills - was.fills),
            "refused": _count(each.fills_refused - was.fills_refused),
            "loads": _count(each.loads - was.loads),
            "inval.": _count(each.invalidations - was.invalidations),
        }
        table.add_row(each.namespace, *(cells[column] for column in _COUNTS))
    return table


def _count(number: int) -> str:
    return f"{number:,}" if number else "[dim]0[/]"


def _named(told: pb.Invalidation) -> Sequence[str]:
    return [
        *(f"{each.namespace} {each.key}" for each in told.keys),
        *(f"{each.namespace} {each.alias}" for each in told.aliases),
        *(f"tag {tag}" for tag in told.tags),
        *(f"all of {namespace}" for namespace in told.namespaces),
    ]


def _value(given: str) -> bytes:
    if given == "-":
        return sys.stdin.buffer.read()
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{given[1:]}: {error.strerror}") from None
    return os.fsencode(given)


def _ago(span: Any) -> str:
    return seconds(span.seconds + span.nanos / 1e9)


def _span(span: Any) -> str:
    total = span.seconds + span.nanos / 1e9
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if total >= length and total % length == 0:
            return f"{total / length:.0f} {unit}"
    return f"{total:g} s" if total else "–"
