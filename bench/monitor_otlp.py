"""OTLP logs: records that a server takes by Export, in batches of 512, gzip, for each second of a core.

The server hands its events to a pipeline that keeps nothing, so that what is measured is the way in: gRPC, decompression, parsing,
decoding, cutting to limits. Two floors stand beside it in the same run, on the same bodies: decoding alone, without gRPC, and
parsing alone, which makes no event of anything. Times are of the server's processor; each figure is the median of several passes.
"""

import asyncio
import gzip
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import machine
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as pb
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from souk_common.handlers import Collector
from souk_monitor.decoding.otlp_logs import LogDecoder
from souk_monitor.events import Event
from souk_monitor.ingest import Outcome
from souk_monitor.limits import fit
from souk_monitor.projects import Project, Projects
from souk_monitor.rpc import otlp
from souk_monitor.stack_text import parse

BATCH, BATCHES, PASSES, WARM = 512, 12, 5, 2
FRAMES = 12


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def line(chance: random.Random, severity: int) -> LogRecord:
    """A line of a log with a few attributes."""
    return LogRecord(
        time_unix_nano=time.time_ns() - chance.randrange(10**9),
        severity_number=severity,  # type: ignore[arg-type]
        body=AnyValue(
            string_value=f"order {chance.randrange(10**9)} of shop {chance.randrange(1000)} took {chance.random():.3f} s"
        ),
        attributes=[text("http.route", "/orders"), text("shop.region", "eu"), text("order.id", str(chance.randrange(10**9)))],
        trace_id=chance.randbytes(16),
        span_id=chance.randbytes(8),
    )


def failure(chance: random.Random) -> LogRecord:
    """The same with an exception of Python, whose stack is as long as they are."""
    mark = chance.randrange(10**6)
    frames = [f'  File "/srv/shop/part{n}.py", line {n + 7}, in step_{n}\n    return step_{n + 1}(order)' for n in range(FRAMES)]
    stack = "\n".join(["Traceback (most recent call last):", *frames, f"shop.errors.OrderError: no stock of {mark}", ""])
    record = line(chance, 17)
    record.attributes.extend([text("exception.type", "OrderError"), text("exception.message", f"no stock of {mark}")])
    record.attributes.append(text("exception.stacktrace", stack))
    return record


KINDS: dict[str, Callable[[random.Random], LogRecord]] = {
    "INFO, ignored": lambda chance: line(chance, 9),
    "one in 20 an exception": lambda chance: failure(chance) if chance.random() < 0.05 else line(chance, 9),
    "ERROR without an exception": lambda chance: line(chance, 17),
    "exceptions": failure,
}


def bodies(kind: str) -> list[bytes]:
    chance = random.Random(kind)
    resource = Resource(attributes=[text("service.name", "shop"), text("telemetry.sdk.language", "python")])
    made = []
    for _ in range(BATCHES):
        scope = ScopeLogs(scope=InstrumentationScope(name="shop"), log_records=[KINDS[kind](chance) for _ in range(BATCH)])
        made.append(
            pb.ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])]).SerializeToString()
        )
    return made


class Sink:
    """A pipeline that keeps nothing of what it cuts to limits."""

    async def submit_all(self, parts: Sequence[tuple[Project, Sequence[Event]]]) -> list[Outcome]:
        """Nothing."""
        received = datetime.now(UTC)
        for event in (event for _, events in parts for event in events):
            fit(event, received)
        return []


class Table:
    """One project."""

    async def all(self) -> Sequence[Project]:
        """It."""
        return [Project(1, "shop", datetime.now(UTC))]


def serve(ready: Any, asked: Any) -> None:
    """A server in a process of its own, which tells what its processor has spent when asked."""

    async def main() -> None:
        sink: Any = Sink()
        collector = Collector()
        for registration in otlp.registrations(sink, Projects(Table(), default="shop", interval=60), parse):
            registration.add(registration.servicer, collector)
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 * 1024 * 1024)])
        handlers: Any = {"Export": collector.handlers[f"/{otlp.LOGS}/Export"]}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(otlp.LOGS, handlers),))
        ready.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        while await asyncio.to_thread(asked.recv):
            asked.send(time.process_time())

    asyncio.run(main())


def served(port: int, asked: Any, batches: list[bytes]) -> float:
    """Seconds of the server's processor for the batches."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel:
        export = channel.unary_unary(f"/{otlp.LOGS}/Export")
        asked.send(True)
        before = asked.recv()
        for batch in batches:
            export(batch)
        asked.send(True)
        return float(asked.recv() - before)


def alone(batches: list[bytes], *, decode: bool) -> float:
    """Seconds of this processor for the same without gRPC."""
    decoder = LogDecoder(parse)
    compressed = [gzip.compress(batch, 6) for batch in batches]
    now = datetime.now(UTC)
    start = time.process_time()
    for body in compressed:
        request = pb.ExportLogsServiceRequest.FromString(gzip.decompress(body))
        if decode:
            for event in (event for found in decoder.decode(request, now).events.values() for event in found):
                fit(event, now)
    return time.process_time() - start


def main() -> None:
    print(machine.describe())
    context = multiprocessing.get_context("spawn")
    ready, told = context.Pipe()
    asked, answers = context.Pipe()
    process = context.Process(target=serve, args=(told, answers), daemon=True)
    process.start()
    port = ready.recv()
    print("records a second of a core; the share is of decoding alone, and of parsing alone")
    for kind in KINDS:
        batches = bodies(kind)
        passes = []
        for _ in range(WARM + PASSES):
            took = served(port, asked, batches), alone(batches, decode=True), alone(batches, decode=False)
            passes.append([BATCHES * BATCH / seconds for seconds in took])
        rates = list(zip(*passes[WARM:], strict=True))
        shares = [machine.spread([one / other for one, other in zip(rates[0], floor, strict=True)], ".2f") for floor in rates[1:]]
        print(
            f"{kind:28} served {machine.spread(rates[0])}  decoding {machine.spread(rates[1])}  parsing {machine.spread(rates[2])}"
        )
        print(f"{'':28} share of decoding {shares[0]}  of parsing {shares[1]}")
    asked.send(False)
    process.join()


if __name__ == "__main__":
    main()
