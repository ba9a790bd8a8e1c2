"""What it costs to know what queries do: look-ups by 32 clients with everything recorded, beside the same with nothing recorded.

ExecuteQuery over gRPC, with the server in a process of its own: calls a second, and calls for each second of the server's
processor, which is the steadier figure. Then the same of `Executor.read` alone, without gRPC, where recording weighs most.
Fingerprint, two histograms, sampling and the writes to the database every ten seconds are all in it. The two ways take turns in
short blocks, in another order each time, and a ratio is of neighbours: what else the machine does falls on both. PostgreSQL 18 is
its own. First it says what a recorder weighs that tells 50,000 queries apart.

    python bench/db_insight_cost.py [--runs 41] [--calls 4000]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import asyncpg
import grpc
import machine
import psutil
import uvloop
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.testing import running_server
from souk_dbopt import app
from souk_dbopt.adapters import query_file, schema
from souk_dbopt.arguments import Parameter
from souk_dbopt.catalogue import Query
from souk_dbopt.executing import Executor
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.recording import MAX_FINGERPRINTS, Recorder
from souk_dbopt.routing import Role
from souk_dbopt.settings import DboptSettings
from souk_dbopt.slow_calls import SlowCalls

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starter of servers is
from postgres_servers import postgres_server

CALLERS, USERS = 32, 10_000
TARGET = 0.97
NAME = "user.get"
METHOD = "/souk.dbopt.v1.QueryService/ExecuteQuery"
Call = Callable[[int], Awaitable[object]]


class Deaf(Recorder):
    """Records nothing."""

    def __call__(self, *_: object) -> None:
        """Nothing."""


@contextlib.asynccontextmanager
async def serving(dsn: str, recorder: type[Recorder], executors: list[Executor]) -> AsyncIterator[str]:
    """dbopt with that recorder; its address. Its executor is added to `executors`."""

    def made(*arguments: Any, **options: Any) -> Executor:
        executors.append(Executor(*arguments, **options))
        return executors[-1]

    settings = DboptSettings(dsn=dsn, port=0, trace_ratio=0.0, log_success_ratio=0.0, slow_seconds=1e9, max_waiting=1000)
    with mock.patch.object(app, "Recorder", recorder), mock.patch.object(app, "Executor", made):
        server = running_server(settings, "dbopt", app.open_app)
        running = await server.__aenter__()
    try:
        yield running.addresses.grpc
    finally:
        await server.__aexit__(None, None, None)


async def rates(call: Call, calls: int, processor: Callable[[], float]) -> tuple[float, float]:
    """Calls of all callers together, for each second, and for each second of a processor."""

    async def work(keys: list[int]) -> None:
        for key in keys:
            await call(key)

    share = calls // CALLERS
    keys = [[random.randint(1, USERS) for _ in range(share)] for _ in range(CALLERS)]
    used, start = processor(), time.perf_counter()
    await asyncio.gather(*map(work, keys))
    return share * CALLERS / (time.perf_counter() - start), share * CALLERS / (processor() - used)


async def compare(what: str, ways: dict[str, Call], runs: int, calls: int, processor: Callable[[], float]) -> float:
    """The ratio of what is recorded to what is not, of calls for each second."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for name in ways:
        await rates(ways[name], calls, processor)
    for _ in range(runs):
        for name in random.sample(list(ways), len(ways)):
            found[name].append(await rates(ways[name], calls, processor))
    medians = []
    for place, unit in enumerate(("calls/s", "calls/s of processor")):
        for name, values in found.items():
            print(f"{what:<14} {name:<13} {machine.spread([value[place] for value in values])} {unit}")
        ratios = [a[place] / b[place] for a, b in zip(found["recorded"], found["not recorded"], strict=True)]
        print(f"{what:<14} {'ratio':<13} {machine.spread(ratios, '.3f')}")
        medians.append(statistics.median(ratios))
    return medians[0]


async def of_executor(dsn: str, runs: int, calls: int) -> float:
    executors: list[Executor] = []
    query = query_file.load(None, serve_shipped=True).get(NAME)

    def way(executor: Executor) -> Call:
        async def call(key: int) -> object:
            return await executor.read(query, [key])

        return call

    async with serving(dsn, Recorder, executors), serving(dsn, Deaf, executors):
        recorded, deaf = executors
        ways = {"recorded": way(recorded), "not recorded": way(deaf)}
        return await compare("Executor.read", ways, runs, calls, time.process_time)


async def of_rpc(dsn: str, runs: int, calls: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        server = await asyncio.create_subprocess_exec(sys.executable, __file__, "--serve", dsn, str(ready))
        try:
            while not ready.exists():
                await asyncio.sleep(0.05)
            addresses = json.loads(ready.read_text())
            requests = {key: request_of(key) for key in range(1, USERS + 1)}  # beforehand: the client is to be no bottleneck
            async with contextlib.AsyncExitStack() as stack:
                ways: dict[str, Call] = {}
                for name, address in addresses.items():
                    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
                    method = channel.unary_unary(METHOD)
                    ways[name] = lambda key, method=method: method(requests[key])
                times = psutil.Process(server.pid).cpu_times
                return await compare("ExecuteQuery", ways, runs, calls, lambda: sum(times()[:2]))
        finally:
            server.terminate()
            await server.wait()


def request_of(key: int) -> bytes:
    """ExecuteQueryRequest for one user."""
    made = pb.ExecuteQueryRequest(name=NAME)
    made.parameters["user_id"] = key
    return made.SerializeToString()


async def serve(dsn: str, ready: Path) -> None:
    """Both, until the process is ended."""
    executors: list[Executor] = []
    async with serving(dsn, Recorder, executors) as recorded, serving(dsn, Deaf, executors) as deaf:
        written = ready.with_suffix(".new")
        written.write_text(json.dumps({"recorded": recorded, "not recorded": deaf}))
        written.rename(ready)
        await asyncio.Event().wait()


def weigh() -> None:
    """What a recorder holds that tells as many queries apart as it may, each with 40 calls of log-normal latencies."""
    recorder = Recorder(SlowCalls(threshold=1.0, max_waiting=1, trace_id=str))
    parameters = (Parameter("id", "bigint", ""),)
    tracemalloc.start()
    for number in range(MAX_FINGERPRINTS + 1000):
        query = Query(f"q{number}", 1, "", "SELECT 1", "", "", parameters, (), CLASSES["lookup"], False, True, 2.0)
        for _ in range(40):
            recorder(query, (number,), random.lognormvariate(-7, 1), 1, None, Role.PRIMARY)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(recorder):,} queries: {held / 2**20:,.0f} MiB, {held / len(recorder) / 1024:.1f} KiB each")


async def run(runs: int, calls: int) -> bool:
    async with postgres_server(18) as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.execute(
            "INSERT INTO shop.users (wallet, display_name) SELECT '0x' || lpad(n::text, 40, '0'), 'user ' || n "
            "FROM generate_series(1, $1::int) n",
            USERS,
        )
        await owner.execute("VACUUM ANALYZE shop.users")
        await owner.close()
        dsn = server.dsn(user="souk_service")
        ratio = await of_rpc(dsn, runs, calls)
        await of_executor(dsn, runs, calls)
    print(f"ExecuteQuery recorded / not recorded: {ratio:.3f}, target >= {TARGET}: {'met' if ratio >= TARGET else 'MISSED'}")
    return ratio >= TARGET


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=41)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--serve", nargs=2, metavar=("DSN", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve[0], Path(options.serve[1])))
        return
    print(f"{machine.describe()}\nload average {os.getloadavg()[0]:.1f}")
    weigh()
    sys.exit(not uvloop.run(run(options.runs, options.calls)))


if __name__ == "__main__":
    main()
