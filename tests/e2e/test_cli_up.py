"""`souk up`: started, seen, stopped; and what it says when something is wrong."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from pathlib import Path

import asyncpg
import grpc
import pytest
import sentry_sdk
from processes import until
from souk.cache.v1 import cache_pb2
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.client import ImagingClient, InternalError, MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk_command import Terminal, souk, terminal


def addresses(ready: Path) -> dict[str, str]:
    told: dict[str, str] = json.loads(ready.read_text())["imaging"]
    return told


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def children_of(pid: int) -> list[int]:
    """All descendants."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*found, *(each for child in found for each in children_of(child))]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_services_are_started_shown_and_stopped_together(tmp_path, number):
    ready = tmp_path / "ready.json"
    async with terminal("up", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready) as screen:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        where = addresses(ready)
        assert f"State is kept in {tmp_path / 'state'}" in screen.text
        assert where["grpc"] in screen.text
        assert f"http://{where['http']}" in screen.text
        async with ImagingClient(where["grpc"]) as client:
            assert [image async for image in client.list()] == []
        family = children_of(screen.process.pid)
        assert len(family) >= 2, "a service and its workers"
        screen.process.send_signal(number)
        assert await screen.ends() == 0
        assert "Stopped." in screen.text
    assert not [pid for pid in family if is_alive(pid)]
    assert not ready.exists()


async def test_the_cache_gets_a_redis_of_its_own_that_ends_with_it(tmp_path):
    ready = tmp_path / "ready.json"
    async with terminal("up", "cache", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready) as screen:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        async with grpc.aio.insecure_channel(json.loads(ready.read_text())["cache"]["grpc"]) as channel:
            cache = CacheServiceStub(channel)
            await cache.Put(cache_pb2.PutRequest(namespace="product", key="1", value=b"shoe"), timeout=10)
            told = await cache.Get(cache_pb2.GetRequest(namespace="product", key="1"), timeout=10)
            assert told.result.hit.value == b"shoe"
        family = children_of(screen.process.pid)
        engines = [pid for pid in family if b"redis-server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(engines) == 1
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ends() == 0
    assert not [pid for pid in family if is_alive(pid)]


async def test_monitor_keeps_what_was_reported_by_an_sdk_with_the_dsn_that_is_shown(tmp_path):
    ready = tmp_path / "ready.json"
    command = ("up", "monitor", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready)
    async with terminal(*command, columns=200) as screen:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        where = json.loads(ready.read_text())["monitor"]
        assert where["sentry_dsn"] in screen.text
        assert f"Dashboard: http://{where['http']}/" in screen.text
        await asyncio.to_thread(_report_by_sentry, where["sentry_dsn"])
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ends() == 0
    async with terminal(*command) as screen:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        async with MonitorClient(json.loads(ready.read_text())["monitor"]["grpc"]) as client:
            assert [issue.title async for issue in client.issues()] == ["ValueError: no seller 17"]


def _report_by_sentry(dsn: str) -> None:
    client = sentry_sdk.Client(dsn, default_integrations=False)
    client.capture_event({"exception": {"values": [{"type": "ValueError", "value": "no seller 17"}]}})
    client.close(timeout=20)


async def test_services_that_are_started_together_know_where_monitor_is(tmp_path):
    ready = tmp_path / "ready.json"
    async with terminal("up", "monitor", "cache", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready) as up:
        await up.says("Ctrl-C stops everything")
        await until(ready.exists)
        told = json.loads(ready.read_text())
        (cache,) = [pid for pid in children_of(up.process.pid) if b"souk_cache\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        settings = Path(f"/proc/{cache}/environ").read_bytes().split(b"\0")
        assert f"SOUK_CACHE_MONITOR_ENDPOINT=http://{told['monitor']['grpc']}".encode() in settings


def logged(log: Path, event: str) -> str:
    """When a service logged this."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return next(str(line["time"]) for line in lines if line["event"] == event)


async def test_monitor_stops_when_all_that_report_to_it_have_ended(tmp_path):
    state = tmp_path / "state"
    async with terminal("up", "monitor", "cache", "--state", state, "--free-ports") as up:
        await up.says("Ctrl-C stops everything")
        up.process.send_signal(signal.SIGTERM)
        assert await up.ends() == 0
    assert logged(state / "cache.log", "stopping") < logged(state / "cache.log", "stopped")
    assert logged(state / "cache.log", "stopped") < logged(state / "monitor.log", "stopping")


async def test_monitor_on_a_free_port_is_told_of_its_own_errors(tmp_path):
    ready = tmp_path / "ready.json"
    async with terminal("up", "monitor", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready) as up:
        await up.says("Ctrl-C stops everything")
        await until(ready.exists)
        told = json.loads(ready.read_text())
        owner = await asyncpg.connect(told["postgres"]["monitor"])
        await owner.execute("ALTER TABLE monitor.activity RENAME TO elsewhere")
        async with MonitorClient(told["monitor"]["grpc"]) as client:
            (result,) = await client.report_all([pb.ErrorReport(message="no seller 17")])
            with pytest.raises(InternalError) as failed:
                await client.get_issue(result.accepted.issue_id)
            async with asyncio.timeout(30):
                while not (found := [event async for event in client.events(error_id=failed.value.error_id)]):
                    await asyncio.sleep(0.05)
            assert found[0].report.service == "souk-monitor"
        await owner.close()


async def test_services_are_stopped_when_the_terminal_is_closed(tmp_path):
    async with terminal("up", "imaging", "--state", tmp_path / "state", "--free-ports") as screen:
        await screen.says("Ctrl-C stops everything")
        family = children_of(screen.process.pid)
        screen.close()
        screen.process.send_signal(signal.SIGHUP)
        await screen.ends()
    assert not [pid for pid in family if is_alive(pid)]


async def test_the_lines_to_try_work_as_they_are(tmp_path):
    grpcurl = shutil.which("grpcurl", path=".tools/bin") or shutil.which("grpcurl")
    if grpcurl is None:
        pytest.skip("grpcurl is not there: `make tools` fetches it")
    ready = tmp_path / "ready.json"
    async with terminal("up", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready, columns=200) as screen:
        await screen.says("Ctrl-C stops everything")
        lines = [line.strip() for line in screen.text.splitlines() if line.strip().startswith("grpcurl")]
        assert len(lines) >= 3
        for line in lines:
            process = await asyncio.create_subprocess_shell(
                line.replace("grpcurl", grpcurl, 1), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, f"{line}: {output.decode()}"


async def test_a_service_that_dies_is_reported_with_its_last_log_lines_and_ends_everything(tmp_path):
    async with terminal("up", "imaging", "--state", tmp_path / "state", "--free-ports") as screen:
        await screen.says("Ctrl-C stops everything")
        family = children_of(screen.process.pid)
        (imaging,) = [pid for pid in family if b"souk_imaging\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(imaging, signal.SIGKILL)
        assert await screen.ends() == 1
        await screen.says("imaging ended by itself (killed by SIGKILL)")
        assert "listening" in screen.text, "the end of its log"
    await until(lambda: not [pid for pid in family if is_alive(pid)])


async def test_a_redis_that_dies_is_reported_and_ends_everything(tmp_path):
    async with terminal("up", "cache", "--state", tmp_path / "state", "--free-ports") as screen:
        await screen.says("Ctrl-C stops everything")
        family = children_of(screen.process.pid)
        (engine,) = [pid for pid in family if b"redis-server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(engine, signal.SIGKILL)
        assert await screen.ends() == 1
        await screen.says("redis-server ended by itself (killed by SIGKILL)")
    await until(lambda: not [pid for pid in family if is_alive(pid)])


async def test_a_port_in_use_is_named_with_the_option_that_chooses_another(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = await souk("up", "imaging", "--state", tmp_path / "state", "--free-ports", "--port", f"imaging={port}")
        assert result.status == 1
        assert f"port {port}, which imaging wants, is in use" in result.err
        assert "--port imaging=PORT" in result.err
        result = await souk("up", "imaging", "--state", tmp_path / "state", "--free-ports", "--http-port", f"imaging={port}")
        assert (result.status, "--http-port imaging=PORT" in result.err) == (1, True)


async def test_a_service_that_cannot_start_is_reported_with_its_own_words(tmp_path):
    result = await souk("up", "imaging", "--state", tmp_path / "state", "--free-ports", SOUK_IMAGING_PROFILES_FILE="/nowhere.yaml")
    assert result.status == 1
    assert "imaging could not start (exit status 1)" in result.err
    assert "nowhere.yaml" in result.err


async def test_a_wrong_setting_is_reported_by_its_name(tmp_path):
    result = await souk("up", "imaging", "--state", tmp_path / "state", "--free-ports", SOUK_IMAGING_WORKERS="many")
    assert result.status == 1
    assert "SOUK_IMAGING_WORKERS" in result.err


async def test_two_of_us_do_not_share_a_state_folder(tmp_path):
    async with terminal("up", "imaging", "--state", tmp_path / "state", "--free-ports") as screen:
        await screen.says("Ctrl-C stops everything")
        second = await souk("up", "imaging", "--state", tmp_path / "state", "--free-ports")
        assert (second.status, "another `souk up` uses" in second.err) == (1, True)


async def test_a_signal_while_services_start_stops_them(tmp_path):
    async with terminal("up", "imaging", "--state", tmp_path / "state", "--free-ports") as screen:
        await screen.says("Starting imaging")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nothing",), "there is no service nothing; there are: imaging"),
        (("--port", "50051"), "must be SERVICE=PORT"),
        (("--port", "imaging=70000"), "must be SERVICE=PORT"),
        (("--port", "nothing=1"), "must be SERVICE=PORT"),
    ],
)
async def test_a_command_that_makes_no_sense_is_a_usage_error(arguments, text):
    result = await souk("up", *arguments, COLUMNS="200")
    assert (result.status, text in result.err) == (2, True), result.err


async def test_what_was_uploaded_is_there_after_a_restart(tmp_path):
    import pictures

    ready = tmp_path / "ready.json"

    async def session(screen: Terminal) -> ImagingClient:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        return ImagingClient(addresses(ready)["grpc"])

    command = ("up", "imaging", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready)
    async with terminal(*command) as screen, await session(screen) as client:
        image = await client.upload(pictures.jpeg(200, 100), profile="avatar")
        screen.process.send_signal(signal.SIGTERM)
        assert await screen.ends() == 0
    async with terminal(*command) as screen, await session(screen) as client:
        assert await client.get(image.image_id) == image


async def test_with_tls_the_service_is_waited_for_too(tmp_path):
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, cert, key, ready = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem", "ready.json"))
    authority.cert_pem.write_to_path(ca)
    issued.private_key_pem.write_to_path(key)
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    secure = {"SOUK_IMAGING_TLS_CERT_FILE": str(cert), "SOUK_IMAGING_TLS_KEY_FILE": str(key)}
    command = ("up", "imaging", "--state", tmp_path / "state", "--free-ports", "--ready-file", ready)
    async with terminal(*command, **secure) as screen:
        await screen.says("Ctrl-C stops everything")
        await until(ready.exists)
        listed = await souk("image", "list", "--address", addresses(ready)["grpc"], "--tls-ca", ca)
        assert (listed.status, "No images" in listed.out) == (0, True), listed.err
        async with grpc.aio.insecure_channel(addresses(ready)["grpc"]) as channel:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.channel_ready(), 0.5)
