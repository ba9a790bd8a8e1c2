"""How a client reaches its server: TLS, tokens, retries of gRPC's own, malformed answers."""

import contextlib
from pathlib import Path

import grpc
import pytest
import trustme
from integration.client.scripted import ScriptedImaging, abort, serving
from souk.client import ClientConfig, ImagingClient, NotFoundError, UnavailableError
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc as pb_grpc

Code = grpc.StatusCode


async def found(request, context):
    return pb.GetImageResponse(image=pb.Image(image_id=request.image_id))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """PEM files of the authority and of a client's certificate."""
    issued = authority.issue_cert("shop.example")
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    issued.private_key_pem.write_to_path(paths["key"])
    paths["cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return paths


def credentials(authority: trustme.CA, *, name: str = "localhost", mutual: bool = False) -> grpc.ServerCredentials:
    issued = authority.issue_cert(name)
    pair = (issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return grpc.ssl_server_credentials([pair], authority.cert_pem.bytes() if mutual else None, require_client_auth=mutual)


async def test_tls_is_spoken_where_an_authority_is_given(authority, files):
    async with serving(ScriptedImaging(), credentials(authority)) as server:
        server.script = [found]
        async with ImagingClient(config=ClientConfig(target=server.target, tls_ca_file=files["ca"], token="secret")) as client:
            assert (await client.get("x")).image_id == "x"
        assert server.metadata[0]["authorization"] == "Bearer secret"


async def test_a_server_whose_certificate_is_for_another_name_is_not_talked_to(authority, files):
    async with serving(ScriptedImaging(), credentials(authority, name="imaging.shop")) as server:
        server.script = [found]
        config = ClientConfig(target=server.target, tls_ca_file=files["ca"], attempts=1)
        async with ImagingClient(config=config) as client:
            with pytest.raises(UnavailableError):
                await client.get("x")
        config = ClientConfig(target=server.target, tls_ca_file=files["ca"], tls_server_name="imaging.shop")
        async with ImagingClient(config=config) as client:
            assert (await client.get("x")).image_id == "x"


async def test_a_client_shows_its_certificate_where_the_server_asks_for_one(authority, files):
    async with serving(ScriptedImaging(), credentials(authority, mutual=True)) as server:
        server.script = [found]
        with_it = ClientConfig(
            target=server.target, tls_ca_file=files["ca"], tls_cert_file=files["cert"], tls_key_file=files["key"]
        )
        async with ImagingClient(config=with_it) as client:
            assert (await client.get("x")).image_id == "x"
        async with ImagingClient(config=ClientConfig(target=server.target, tls_ca_file=files["ca"], attempts=1)) as client:
            with pytest.raises(UnavailableError):
                await client.get("x")


async def test_the_token_and_the_user_agent_go_with_every_call(server):
    server.script = [found]
    async with ImagingClient(config=ClientConfig(target=server.target, token="t0ken", user_agent="shop/1")) as client:
        await client.get("x")
    assert server.metadata[0]["authorization"] == "Bearer t0ken"
    assert server.metadata[0]["user-agent"].startswith("shop/1 ")


async def test_without_a_token_no_credentials_are_sent(server, client):
    server.script = [found]
    await client.get("x")
    assert "authorization" not in server.metadata[0]


@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize("reason", ["OVERLOADED", ""], ids=["says so", "stops under it"])
async def test_a_unary_call_is_repeated_by_grpc_while_the_server_is_unavailable(server, client, failures, reason):
    async def away(request, context):
        if not reason:  # as gRPC's server ends what reaches it while it stops
            await context.abort(Code.CANCELLED, "")
        await abort(context, Code.UNAVAILABLE, reason)

    server.script = [*[away] * failures, found]
    assert (await client.get("x")).image_id == "x"
    assert len(server.calls) == failures + 1


async def test_no_other_error_is_repeated(server, client):
    async def missing(request, context):
        await abort(context, Code.NOT_FOUND, "IMAGE_NOT_FOUND", image_id="x")

    server.script = [missing, found]
    with pytest.raises(NotFoundError) as raised:
        await client.get("x")
    assert raised.value.metadata == {"image_id": "x"}
    assert len(server.calls) == 1


@pytest.mark.parametrize("details", [b"", b"\xff" * 40, b"\x08\x05\x1a\x02\xff\xff"])
async def test_malformed_details_are_left_out_of_the_error(server, client, details):
    async def odd(request, context):
        await context.abort(Code.NOT_FOUND, "gone", (("grpc-status-details-bin", details),))

    server.script = [odd]
    with pytest.raises(NotFoundError) as raised:
        await client.get("x")
    assert (raised.value.message, raised.value.reason) == ("gone", "")


async def test_a_channel_that_is_given_stays_open(server):
    server.script = [found]
    async with contextlib.AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.target))
        async with ImagingClient(channel=channel) as client:
            await client.get("x")
        assert (await ImagingClient(channel=channel).get("y")).image_id == "y"


async def test_a_new_client_does_not_wait_for_the_back_off_of_one_before(nobody):
    slow = ClientConfig(target=nobody, attempts=1, initial_backoff=5.0, max_backoff=5.0)
    async with ImagingClient(config=slow) as before:
        with pytest.raises(UnavailableError):
            await before.get("x")
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        servicer = ScriptedImaging()
        servicer.script = [found]
        pb_grpc.add_ImagingServiceServicer_to_server(servicer, server)
        server.add_insecure_port(nobody)
        await server.start()
        try:
            async with ImagingClient(config=slow) as client:
                assert (await client.get("x")).image_id == "x"
        finally:
            await server.stop(None)
