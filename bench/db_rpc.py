"""What a query costs over gRPC: ExecuteQuery beside an empty rpc and beside the same query through the pool alone.

The query is user.get, which reads two rows by their keys, as JSON that PostgreSQL builds. dbopt, the empty grpc.aio server and the
process that asks the pool run on one core; PostgreSQL and h2load, a C client, on the other. The floor of a call is the time of an
empty rpc and that of the query, one after the other: 1 / (1 / rpcs a second + 1 / queries a second). Runs alternate, and a ratio is
of neighbours. A bare rpc that asks the pool and does nothing else is what the two come to in one process. Beside the rates stands
what each took of its process's CPU, which other work on the machine changes little: the same ratio of those is printed, too, and is
the one to look at while something is being made faster.

    python bench/db_rpc.py [--runs 9] [--requests 6000]
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import grpc
import machine
import uvloop
from cache_rpc import drive, frame
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from rpc_overhead import METHOD, SERVICE, serve_empty
from souk.client import DbClient, SoukError
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.postgres import Pool, PoolOptions
from souk_dbopt.adapters import query_file, schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starter of servers is
from postgres_servers import PostgresServer

SERVER_CORE, OTHER_CORE = 0, 1
PORTS = {"echo": 50976, "dbopt": 50977, "bare": 50979}
EXECUTE = "/souk.dbopt.v1.QueryService/ExecuteQuery"
USERS, CALLERS, CONNECTIONS = 10_000, 32, 8
TARGET = 0.7


def child(role: str, *arguments: str) -> None:
    """The empty server; or the pool, asked when a line comes, which answers with a rate."""
    os.sched_setaffinity(0, {SERVER_CORE})
    if role == "echo":
        uvloop.run(serve_empty(PORTS[role]))
    elif role == "bare":
        uvloop.run(serve_bare(arguments[0]))
    else:
        uvloop.run(ask(arguments[0], int(arguments[1])))


async def serve_bare(dsn: str) -> None:
    """The empty server, but that it asks the pool before it answers."""
    query = query_file.load().get("user.get")
    options = PoolOptions(size=CONNECTIONS, min_open=CONNECTIONS, server_settings=query.query_class.settings())
    async with Pool(dsn, options) as pool:

        async def echo(request: Empty, context: object) -> Empty:
            await pool.fetch(query.key, query.json_text, [4711])
            return request

        server = grpc.aio.server()
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo, Empty.FromString, Empty.SerializeToString)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_insecure_port(f"127.0.0.1:{PORTS['bare']}")
        await server.start()
        await server.wait_for_termination()


async def ask(dsn: str, count: int) -> None:
    """Queries a second of many callers at once, each time that a line comes."""
    query = query_file.load().get("user.get")
    options = PoolOptions(size=CONNECTIONS, min_open=CONNECTIONS, server_settings=query.query_class.settings())
    async with Pool(dsn, options) as pool:

        async def caller(number: int) -> None:
            for turn in range(count // CALLERS):
                user = 1 + (number * 997 + turn) % USERS
                await pool.fetch(query.key, query.json_text, query.arguments({"user_id": user}))

        while await asyncio.to_thread(sys.stdin.readline):
            start = time.perf_counter()
            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
            print((count // CALLERS) * CALLERS / (time.perf_counter() - start), flush=True)


async def prepare(stack: AsyncExitStack) -> PostgresServer:
    """A PostgreSQL on the other core, with users."""
    server = await PostgresServer.new()
    stack.push_async_callback(server.remove)
    assert server.process is not None
    os.sched_setaffinity(server.process.pid, {OTHER_CORE})
    owner = await asyncpg.connect(server.dsn())
    await schema.migrate(owner)
    await owner.execute(
        """INSERT INTO shop.users (wallet, display_name)
           SELECT '0x' || lpad(to_hex(n), 40, '0'), 'user ' || n FROM generate_series(1, $1::int) n""",
        USERS,
    )
    await owner.execute("VACUUM ANALYZE shop.users")
    await owner.close()
    return server


def cpu_seconds(pid: int) -> float:
    """Of a process, since it began."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def ready(address: str) -> None:
    """Wait until dbopt answers."""
    async with DbClient(address) as client, asyncio.timeout(30):
        while True:
            with contextlib.suppress(SoukError):
                assert (await client.execute("user.get", {"user_id": 1})).row_count == 1
                return
            await asyncio.sleep(0.05)


async def measure(runs: int, requests: int) -> bool:
    os.sched_setaffinity(0, {OTHER_CORE})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await prepare(stack)
        dsn = server.dsn(user="souk_service")

        def start(*command: str, **environment: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
            )
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGKILL)
            return process

        echo = start(sys.executable, __file__, "--child", "echo")
        asking = start(sys.executable, __file__, "--child", "pool", dsn, str(requests))
        bare = start(sys.executable, __file__, "--child", "bare", dsn)
        settings = {"PORT": str(PORTS["dbopt"]), "DSN": dsn, "LOG_LEVEL": "warning", "LOG_SUCCESS_RATIO": "0.001"}
        dbopt = start(sys.executable, "-m", "souk_dbopt", **{f"SOUK_DBOPT_{name}": value for name, value in settings.items()})
        await ready(f"127.0.0.1:{PORTS['dbopt']}")
        parameters = Struct()
        parameters["user_id"] = 4711
        one = frame(pb.ExecuteQueryRequest(name="user.get", parameters=parameters), folder / "one")
        none = frame(None, folder / "none")

        def queries() -> float:
            assert asking.stdin is not None
            assert asking.stdout is not None
            asking.stdin.write("\n")
            asking.stdin.flush()
            return float(asking.stdout.readline())

        ways = {
            "empty rpc": lambda: drive(PORTS["echo"], METHOD, none, requests),
            "query through the pool": queries,
            "bare rpc with the query": lambda: drive(PORTS["bare"], METHOD, none, requests),
            "ExecuteQuery": lambda: drive(PORTS["dbopt"], EXECUTE, one, requests),
        }
        processes = dict(zip(ways, (echo, asking, bare, dbopt), strict=True))
        rates: dict[str, list[float]] = {name: [] for name in ways}
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(runs + 1):
            for name in ways if run % 2 == 0 else reversed(ways):
                before = cpu_seconds(processes[name].pid)
                rate = ways[name]()
                if run:  # the first one warms up
                    rates[name].append(rate)
                    costs[name].append((cpu_seconds(processes[name].pid) - before) / requests * 1e6)
    for name, each in rates.items():
        print(f"{name:<24} {machine.spread(each)} /s, {machine.spread(costs[name])} µs of CPU")
    for name in ("bare rpc with the query", "ExecuteQuery"):
        both = zip(costs["empty rpc"], costs["query through the pool"], costs[name], strict=True)
        print(f"(empty rpc + query) / {name}, by CPU {machine.spread([(rpc + query) / each for rpc, query, each in both], '.2f')}")
    floors = [1 / (1 / rpc + 1 / query) for rpc, query in zip(rates["empty rpc"], rates["query through the pool"], strict=True)]
    ratios = [ours / floor for ours, floor in zip(rates["ExecuteQuery"], floors, strict=True)]
    met = statistics.median(ratios) >= TARGET
    print(
        f"ExecuteQuery / (empty rpc + query) {machine.spread(ratios, '.2f')}   target >= {TARGET:g}: {'met' if met else 'MISSED'}"
    )
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=6000)
    options = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load is not there: apt-get install nghttp2-client")
    print(machine.describe())
    sys.exit(not asyncio.run(measure(options.runs, options.requests)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
