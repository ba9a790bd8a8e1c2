"""Messages of gRPC and bodies of HTTP that are small as they come and large once they are inflated: refused before they are in the
node's memory."""

import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import brotli
import grpc
import httpx
import processes
import pytest
import pytest_asyncio
import zstandard
from postgres_servers import postgres_server
from processes import ServiceProcess
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2, project_pb2_grpc
from souk_monitor.adapters import schema

pytestmark = pytest.mark.asyncio(loop_scope="module")
NATIVE = "/souk.monitor.v1.ErrorService/ReportErrors"
STREAM = "/souk.monitor.v1.ErrorService/ReportErrorStream"
OTLP = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
MEBIBYTE = 1024 * 1024
INFLATED = 64 * MEBIBYTE
BOMB = b"\x0a\x80\x80\x80\x20" + bytes(INFLATED)
"""A message whose field 1 has so many bytes, all of them 0."""
GROWTH = 40 * MEBIBYTE
"""That the node may take more for a few of them: messages are inflated up to 4 MiB, and of bodies up to 16 MiB are kept."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        folder, dsn = tmp_path_factory.mktemp("node"), server.dsn(user="souk_monitor")
        node = await processes.start_service("monitor", folder, "node", dsn=dsn, http_port=0)
        yield node
        await processes.stop(node)


def peak(node: ServiceProcess) -> int:
    """The most memory that it has had, in bytes."""
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


async def test_a_compressed_bomb_is_refused_and_never_inflated_whole(node: ServiceProcess) -> None:
    async with grpc.aio.insecure_channel(node.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        whole = channel.unary_unary(NATIVE, pb.ReportErrorsRequest.SerializeToString, pb.ReportErrorsResponse.FromString)
        report = pb.ErrorReport(exceptions=[pb.ExceptionReport(type="KeyError", value="x" * MEBIBYTE)])
        request = pb.ReportErrorsRequest(reports=[report])
        await whole(request, compression=grpc.Compression.Gzip)
        before = peak(node)
        logs, traces = OTLP.format("logs", "Logs"), OTLP.format("trace", "Trace")
        for method, compression in (
            (NATIVE, grpc.Compression.Gzip),
            (logs, grpc.Compression.Gzip),
            (traces, grpc.Compression.Deflate),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(method)(BOMB, compression=compression)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, method
        stream = channel.stream_stream(STREAM)(compression=grpc.Compression.Gzip)
        await stream.write(BOMB)
        assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert peak(node) - before < GROWTH
        answer = await whole(request, compression=grpc.Compression.Gzip)
        assert answer.results[0].accepted.issue_id


def brotlied(body: bytes) -> bytes:
    return brotli.compress(body, quality=1)


def zstandarded(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(body)


async def test_a_body_that_is_a_bomb_is_refused_and_never_inflated_whole(node: ServiceProcess) -> None:
    async with grpc.aio.insecure_channel(node.grpc) as channel:
        stub = project_pb2_grpc.ProjectServiceStub(channel)
        await stub.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
        project = (await stub.GetProject(project_pb2.GetProjectRequest(name="default"))).project
    url = f"{node.http}/api/{project.number}/envelope/?sentry_key={project.keys[0].public_key}"
    bomb = b'{}\n{"type":"event"}\n{"message":"' + bytes(INFLATED)
    attached = b'{}\n{"type":"event"}\n{"message":"m"}\n{"type":"attachment","length":%d}\n' % INFLATED + bytes(INFLATED)
    too_much = attached + b'\n{"type":"attachment"}\n' + bytes(INFLATED)
    whole = b'{}\n{"type":"event"}\n{"message":"' + b"x" * MEBIBYTE + b'"}'
    ways = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotlied, "zstd": zstandarded}
    async with httpx.AsyncClient(timeout=60) as client:
        for encoding, compress in ways.items():
            headers = {"content-encoding": encoding}
            assert (await client.post(url, content=compress(whole), headers=headers)).status_code == 200
            before = peak(node)
            for body, status in ((bomb, 413), (attached, 200), (too_much, 413)):
                assert (await client.post(url, content=compress(body), headers=headers)).status_code == status, encoding
            assert peak(node) - before < GROWTH, encoding
        before = peak(node)
        assert (await client.post(url, content=attached)).status_code == 200
        assert (await client.post(url, content=too_much)).status_code == 413
        assert peak(node) - before < GROWTH
