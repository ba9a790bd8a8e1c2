"""What our server stack costs: a trivial rpc through all of it, beside the same rpc on an empty grpc.aio server.

Ours has token auth, traces at 1 % to a collector, metrics, and a log line for 1 % of the successes, as a busy service would; and
once more with traces and errors to monitor besides. All run uvloop in a process of their own, pinned to one core, and are driven
from another core by h2load, a C client: a Python client would be the bottleneck and hide the difference. Runs are short and
alternate, and a ratio is of two neighbours, so that what else the machine does falls on both.

    python bench/rpc_overhead.py [--runs 15] [--requests 10000]
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import machine
import uvloop
import yaml
from google.protobuf.empty_pb2 import Empty
from souk_common import testing
from souk_common.auth import new_token
from souk_common.server import Application, Registration, run
from souk_common.settings import ServiceSettings
from souk_common.telemetry import Telemetry

SERVICE = "souk.bench.v1.EchoService"
METHOD = f"/{SERVICE}/Echo"
TARGET = 0.80
SERVER_CORE, CLIENT_CORE = 0, 1


class Echo:
    """The trivial service."""

    async def Echo(self, request: Empty, context: grpc.aio.ServicerContext) -> Empty:
        """Nothing for nothing."""
        return request


def add_to_server(servicer: Echo, server: Any) -> None:
    """As generated code does it."""
    handler = grpc.unary_unary_rpc_method_handler(servicer.Echo, Empty.FromString, Empty.SerializeToString)
    handlers = {"Echo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


async def serve_empty(port: int) -> None:
    server = grpc.aio.server()
    add_to_server(Echo(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


@contextlib.asynccontextmanager
async def open_app(settings: ServiceSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    yield Application("bench", [Registration(add_to_server, Echo(), SERVICE)], scopes={METHOD: "bench"})


async def serve_collector(path: Path) -> None:
    async with testing.collecting() as collector:
        path.write_text(collector.endpoint)
        await asyncio.Event().wait()


def child(role: str, *arguments: str) -> None:
    """What the processes of the benchmark do."""
    os.sched_setaffinity(0, {SERVER_CORE if role != "collector" else CLIENT_CORE})
    if role == "empty":
        uvloop.run(serve_empty(int(arguments[0])))
    elif role == "collector":
        uvloop.run(serve_collector(Path(arguments[0])))
    else:
        port, auth_file, endpoint, *monitor = arguments
        settings = ServiceSettings(
            port=int(port),
            auth_file=Path(auth_file),
            otlp_endpoint=endpoint,
            monitor_endpoint=monitor[0] if monitor else None,
            trace_ratio=0.01,
            log_success_ratio=0.01,
        )
        sys.exit(run(settings, "bench", open_app))


def drive(port: int, token: str, requests: int, body: Path) -> float:
    """Requests a second, over 4 connections with 8 in flight each."""
    command = [
        "taskset", "-c", str(CLIENT_CORE), "h2load", "-t1", "-c4", "-m8", f"-n{requests}", "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", f"authorization: Bearer {token}",
        f"http://127.0.0.1:{port}{METHOD}",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done = re.search(r"(\d+) succeeded, (\d+) failed", output)
    rate = re.search(r"([\d.]+) req/s", output)
    if not done or not rate or int(done[1]) != requests or done[2] != "0":
        raise RuntimeError(output)
    return float(rate[1])


async def check(port: int, token: str) -> None:
    """Both answer what they should before they are measured, and ours only with the token."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD, Empty.SerializeToString, Empty.FromString)
        await call(Empty(), metadata=(("authorization", f"Bearer {token}"),), timeout=60, wait_for_ready=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load is not there: apt-get install nghttp2-client")
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        token, digest = new_token()
        auth = Path(folder, "auth.yaml")
        auth.write_text(yaml.safe_dump({"principals": [{"name": "bench", "scopes": ["bench"], "token_sha256": [digest]}]}))
        body = Path(folder, "body")
        body.write_bytes(b"\0\0\0\0\0")

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, __file__, "--child", *arguments]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGKILL)
            return process

        endpoint = Path(folder, "endpoint")
        start("collector", str(endpoint))
        while not endpoint.exists() or not endpoint.read_text():
            os.sched_yield()
        ports = {"empty": 50971, "souk": 50972, "monitor": 50973}
        start("empty", str(ports["empty"]))
        start("souk", str(ports["souk"]), str(auth), endpoint.read_text())
        start("souk", str(ports["monitor"]), str(auth), endpoint.read_text(), endpoint.read_text())
        for port in ports.values():
            asyncio.run(check(port, token))
            drive(port, token, 5_000, body)
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for number in range(options.runs):
            for name in ports if number % 2 == 0 else reversed(ports):
                rates[name].append(drive(ports[name], token, options.requests, body))
            print(f"run {number + 1}: {', '.join(f'{name} {rates[name][-1]:,.0f}/s' for name in ports)}", flush=True)
    ratios = [ours / empty for ours, empty in zip(rates["souk"], rates["empty"], strict=True)]
    told = [ours / before for ours, before in zip(rates["monitor"], rates["souk"], strict=True)]
    print(f"empty grpc.aio server  {machine.spread(rates['empty'])} rpc/s")
    print(f"souk server stack      {machine.spread(rates['souk'])} rpc/s")
    verdict = "met" if statistics.median(ratios) >= TARGET else "MISSED"
    print(f"ratio                  {machine.spread(ratios, '.3f')}   target >= {TARGET}: {verdict}")
    print(f"that tells monitor     {machine.spread(rates['monitor'])} rpc/s, {machine.spread(told, '.3f')} of one that does not")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
