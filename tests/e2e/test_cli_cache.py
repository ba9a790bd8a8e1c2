"""`souk cache …` as a user types it, against a service that is alone. Every test has keys of its own."""

import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import processes
import pytest
import pytest_asyncio
from processes import ServiceProcess
from souk_command import souk, terminal

SLOW = """
namespaces:
  slow: {{ttl: 1m, loader: {{target: "127.0.0.1:{port}", method: souk.cache.v1.LoaderService/Load, hard_timeout: 60s}}}}
"""


class Silent(grpc.GenericRpcHandler):
    """A loader that takes calls, and answers none until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self.load)

    def load(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.released.wait()
        return b""


@pytest.fixture(scope="module")
def slow() -> Iterator[int]:
    """The port of a silent loader."""
    silent = Silent()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[silent])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        silent.released.set()
        server.stop(None).wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory, slow: int) -> AsyncIterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("cache")
    file = folder / "namespaces.yaml"
    file.write_text(SLOW.format(port=slow))
    started = await processes.start_service("cache", folder, "one", namespaces_file=file)
    yield started
    await processes.stop(started)


@pytest.fixture
def at(service: ServiceProcess) -> tuple[str, str]:
    return ("--address", service.grpc)


async def test_a_value_goes_in_and_out_and_away(at: tuple[str, str], tmp_path: Path):
    stored = await souk("cache", "put", "product", "shoes", "schöne Schuhe", "--tag", "seller:7", "--version", "3", *at)
    assert (stored.status, "stored" in stored.out) == (0, True), stored.err
    found = await souk("cache", "get", "product", "shoes", *at)
    assert (found.status, found.out) == (0, "schöne Schuhe")
    assert "fresh" in found.err
    assert "version 3" in found.err
    older = await souk("cache", "put", "product", "shoes", "old", "--version", "2", *at)
    assert (older.status, "newer version" in older.err) == (1, True)
    gone = await souk("cache", "invalidate", "--tag", "seller:7", "--level", "clients", *at)
    assert (gone.status, "every node and near cache" in gone.out) == (0, True), gone.err
    missing = await souk("cache", "get", "product", "shoes", *at)
    assert (missing.status, missing.out, "Not cached" in missing.err) == (1, "", True)


@pytest.mark.parametrize("value", ["a :heart: [b]c[/]\td\r\ne", "ends\n", "", "x" * 1000])
async def test_a_value_goes_into_a_pipe_byte_for_byte(at: tuple[str, str], value: str):
    assert (await souk("cache", "put", "product", "exact", value, *at)).status == 0
    found = await souk("cache", "get", "product", "exact", *at)
    assert (found.status, found.out) == (0, value)


async def test_values_that_are_no_text_go_to_files(at: tuple[str, str], tmp_path: Path):
    picture = tmp_path / "a.bin"
    picture.write_bytes(bytes(range(256)))
    assert (await souk("cache", "put", "product", "picture", f"@{picture}", *at)).status == 0
    piped = await souk("cache", "get", "product", "picture", *at)
    assert (piped.status, piped.out) == (0, picture.read_bytes().decode(errors="replace"))
    assert (await souk("cache", "get", "product", "picture", "-o", tmp_path / "b.bin", *at)).status == 0
    assert (tmp_path / "b.bin").read_bytes() == picture.read_bytes()
    missing = await souk("cache", "put", "product", "picture", f"@{tmp_path}/none", *at, COLUMNS="400")
    assert (missing.status, "No such file" in missing.err) == (2, True)


async def test_users_are_found_by_alias(at: tuple[str, str]):
    await souk("cache", "put", "user", "anna", "Anna", "--alias", "ens:anna.eth", *at)
    found = await souk("cache", "get", "user", "ens:Anna.eth", "--alias", "--json", *at)
    assert found.json()["hit"]["key"] == "anna"
    wrong = await souk("cache", "get", "user", "phone:1", "--alias", *at)
    assert (wrong.status, "wallet" in wrong.err) == (1, True)


async def test_stats_and_namespaces_are_tables_or_json(at: tuple[str, str]):
    await souk("cache", "put", "image_set", "1", "shoe", *at)
    await souk("cache", "get", "image_set", "1", *at)
    table = (await souk("cache", "stats", *at)).out
    assert "image_set" in table
    assert "100.0%" in table
    assert "coherent" in table
    told = (await souk("cache", "stats", "--json", *at)).json()
    assert next(each for each in told["namespaces"] if each["namespace"] == "image_set")["hits_memory"] == "1"
    wide = (await souk("cache", "namespaces", *at)).out
    assert all(each in wide for each in ("wallet, ens", "strict", "memory for 1 m", "grace 1 m", "callers"))


async def test_one_namespace_is_shown_with_its_whole_policy(at: tuple[str, str]):
    shown = (await souk("cache", "namespaces", "analytics", *at)).out
    assert all(each in shown for each in ("1 d", "10%", "× 1", "grace 1 m", "5 s", "1.0 MB", "callers"))
    assert "seller_stats" not in shown


async def test_a_live_table_ends_cleanly(at: tuple[str, str]):
    async with terminal("cache", "stats", "--watch", *at) as screen:
        await screen.says("in the last second")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 0


async def test_invalidations_are_shown_as_they_happen(at: tuple[str, str]):
    async with terminal("cache", "watch", "product", *at) as screen:
        await screen.says("from here on")
        await souk("cache", "invalidate", "product", "1", "2", "--tag", "seller:7", *at)
        await screen.says("product 1, product 2, tag seller:7")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 0


async def test_warming_says_what_could_not_be(at: tuple[str, str]):
    await souk("cache", "put", "product", "warm", "shoe", *at)
    result = await souk("cache", "warm", "product", "warm", *at)
    assert (result.status, "1 keys: 1 skipped" in result.out) == (0, True), result.out + result.err
    result = await souk("cache", "warm", "product", "warm", "cold", "--json", *at)
    last = json.loads(result.out.strip().splitlines()[-1])
    assert (result.status, last["state"], last["progress"]["counts"]["failed"]) == (1, "OPERATION_STATE_SUCCEEDED", "1")


async def test_a_file_of_many_keys_is_warmed_in_parts(at: tuple[str, str], tmp_path: Path):
    """A hundred thousand keys of 64 bytes are more than one message takes."""
    keys = tmp_path / "keys"
    keys.write_text("\n".join(f"{number:064}" for number in range(100_000)))
    result = await souk("cache", "warm", "product", "--file", keys, "--json", "--detach", *at)
    assert result.status == 0, result.err
    started = [json.loads(line)["operation_id"] for line in result.out.strip().splitlines()]
    assert len(started) == 3
    for operation in started:
        assert (await souk("cache", "operations", "cancel", operation, *at)).status == 0


async def test_a_warming_is_left_running_and_cancelled_by_its_id(at: tuple[str, str]):
    started = await souk("cache", "warm", "slow", "1", "2", "--detach", *at)
    assert (started.status, started.out.startswith("one/")) == (0, True), started.err
    cancelled = await souk("cache", "operations", "cancel", started.out.strip(), *at)
    assert (cancelled.status, cancelled.out) == (0, "cancelled  0 of 2 keys: nothing done\n")


async def test_ctrl_c_cancels_a_warming(at: tuple[str, str], tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("\n".join(f"k{i}" for i in range(100)))
    async with terminal("cache", "warm", "slow", "--file", keys, *at) as screen:
        await screen.says("0/100")
        screen.process.send_signal(signal.SIGINT)
        assert await screen.ends() == 130
        assert "0 of 100 keys" in screen.text
    last = (await souk("cache", "operations", "list", "--state", "cancelled", "--json", *at)).json()[0]
    assert (last["target"], last["progress"]["total"]) == ("slow", "100")
    shown = await souk("cache", "operations", "show", last["operation_id"], *at)
    assert (shown.status, "OPERATION_CANCELLED" in shown.out) == (1, True), shown.out


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("get", "nothing", "1"), 1, "souk cache namespaces"),
        (("get", "product", "1", "--load"), 1, "SOUK_CACHE_NAMESPACES_FILE"),
        (("invalidate",), 2, "name keys, --alias, --tag, or --all"),
        (("invalidate", "--all"), 2, "name the namespace first"),
        (("warm", "product"), 2, "one of them"),
        (("operations", "show", "elsewhere/1"), 1, "--address of the node elsewhere"),
        (("watch", "nothing"), 1, "no namespace is called"),
        (("put", "product", "", "x"), 1, "key"),
        (("put", "product", "1"), 2, "give a value"),
        (("put", "product", "1", "x", "--negative"), 2, "one of them"),
        (("put", "product", "1", "x", "--ttl", "inf"), 2, "less than or equal to"),
        (("put", "product", "1", "x", "--ttl", "1e300"), 2, "less than or equal to"),
        (("put", "product", "1", "x", "--ttl", "nan"), 2, "less than or equal to"),
        (("put", "product", "1", "x", "--version", "99999999999999999999"), 2, "less than or equal to"),
        (("warm", "product", "1", "--time-limit", "inf"), 2, "less than or equal to"),
        (("warm", "product", "--hottest", "3000000000"), 2, "less than or equal to"),
        (("put", "analytics", "views", "7"), 1, "with time buckets"),
        (("namespaces", "nothing"), 2, "there are analytics, image_set"),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(at: tuple[str, str], arguments: tuple[str, ...], status: int, text: str):
    result = await souk("cache", *arguments, *at, COLUMNS="200")
    assert (result.status, text in result.err) == (status, True), result.err


async def test_a_service_that_is_not_there_is_named():
    result = await souk("cache", "get", "product", "1", "--address", "127.0.0.1:1")
    assert (result.status, "souk up" in result.err) == (1, True), result.err
