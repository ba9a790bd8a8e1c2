"""TLS, mTLS and tokens, each with the right and the wrong credentials; health answers without any."""

from pathlib import Path
from typing import Any

import certificates
import grpc
import pictures
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError
from souk.client import ClientConfig, ImagingClient, NotFoundError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from souk_common.auth import new_token
from souk_common.server import StartError
from souk_common.telemetry import names
from souk_imaging.settings import ImagingSettings

from services import Serve

MISSING = "01jd" + "0" * 22


@pytest.fixture
def authority(tmp_path: Path) -> certificates.Certificates:
    return certificates.new_authority(tmp_path / "authority")


@pytest.fixture
def tls(authority: certificates.Certificates) -> dict[str, Any]:
    certificate, key = authority.issue("localhost", "127.0.0.1")
    return {"tls_cert_file": certificate, "tls_key_file": key}


def auth_file(folder: Path, *principals: dict[str, Any]) -> Path:
    path = folder / "auth.yaml"
    path.write_text(yaml.safe_dump({"principals": list(principals)}))
    return path


async def reach(target: str, **config: Any) -> None:
    """Ask for an image that does not exist; NotFoundError is the answer of a server that lets the caller in."""
    async with ImagingClient(config=ClientConfig(target=target, attempts=1, timeout=5, **config)) as client:
        with pytest.raises(NotFoundError):
            await client.get(MISSING)


async def health(address: str, channel: grpc.aio.Channel | None = None, service: str = "readiness") -> int:
    async with channel or grpc.aio.insecure_channel(address) as open_channel:
        answer = await health_pb2_grpc.HealthStub(open_channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return int(answer.status)


async def test_tls_lets_in_who_trusts_its_authority_and_nobody_in_plaintext(
    serve: Serve, tls: dict[str, Any], authority: certificates.Certificates, tmp_path: Path
) -> None:
    other = certificates.new_authority(tmp_path / "other")
    async with serve(**tls, health_port=0) as server:
        await reach(server.addresses.grpc, tls_ca_file=authority.ca)
        with pytest.raises(UnavailableError):
            await reach(server.addresses.grpc, tls_ca_file=other.ca)
        with pytest.raises(UnavailableError):
            await reach(server.addresses.grpc)
        assert server.addresses.health is not None
        for service in ("", "liveness", "readiness", "souk.imaging.v1.ImagingService"):
            assert await health(server.addresses.health, service=service) == health_pb2.HealthCheckResponse.SERVING


async def test_the_plaintext_health_port_serves_nothing_but_health(serve: Serve, tls: dict[str, Any]) -> None:
    async with serve(**tls, health_port=0) as server, grpc.aio.insecure_channel(str(server.addresses.health)) as channel:
        call = channel.unary_unary("/souk.imaging.v1.ImagingService/GetImage")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_mtls_lets_in_known_certificates_only(
    serve: Serve, tls: dict[str, Any], authority: certificates.Certificates, tmp_path: Path
) -> None:
    other = certificates.new_authority(tmp_path / "other")
    path = auth_file(tmp_path, {"name": "shop", "scopes": ["imaging.read"], "certificates": ["shop.example"]})
    async with serve(**tls, tls_client_ca_file=authority.ca, auth_file=path) as server:
        target = server.addresses.grpc

        def config(issuer: certificates.Certificates, name: str) -> dict[str, Path]:
            certificate, key = issuer.issue(name)
            return {"tls_ca_file": authority.ca, "tls_cert_file": certificate, "tls_key_file": key}

        await reach(target, **config(authority, "shop.example"))
        with pytest.raises(UnauthenticatedError) as caught:
            await reach(target, **config(authority, "stranger.example"))
        assert caught.value.reason == "CREDENTIALS_INVALID"
        with pytest.raises(UnavailableError):
            await reach(target, **config(other, "shop.example"))
        with pytest.raises(UnavailableError):
            await reach(target, tls_ca_file=authority.ca)
        async with ImagingClient(config=ClientConfig(target=target, **config(authority, "shop.example"))) as client:
            with pytest.raises(PermissionDeniedError):
                await client.delete(MISSING)


async def test_tokens_let_in_whom_they_are_of_for_what_they_are_for(serve: Serve, tmp_path: Path) -> None:
    (reader, reader_hash), (writer, writer_hash) = new_token(), new_token()
    path = auth_file(
        tmp_path,
        {"name": "reader", "scopes": ["imaging.read"], "token_sha256": [reader_hash]},
        {"name": "writer", "scopes": ["imaging.read", "imaging.write"], "token_sha256": [writer_hash]},
    )
    async with serve(auth_file=path) as server:
        target = server.addresses.grpc
        await reach(target, token=reader)
        for token, reason in (
            (None, "CREDENTIALS_MISSING"),
            ("souk_wrong", "CREDENTIALS_INVALID"),
            (reader_hash, "CREDENTIALS_INVALID"),
        ):
            with pytest.raises(UnauthenticatedError) as caught:
                await reach(target, token=token)
            assert caught.value.reason == reason
        async with ImagingClient(config=ClientConfig(target=target, token=reader)) as client:
            with pytest.raises(PermissionDeniedError) as denied:
                await client.upload(pictures.jpeg(60, 40))
            assert denied.value.metadata == {"scope": "imaging.write", "principal": "reader"}
        async with ImagingClient(config=ClientConfig(target=target, token=writer)) as client:
            image = await client.upload(pictures.jpeg(60, 40))
            await client.delete(image.image_id)
        assert await health(target) == health_pb2.HealthCheckResponse.SERVING
        line = await server.log.wait_for(lambda line: line.get("principal") == "writer")
        assert writer not in str(server.log.lines)
        assert writer_hash not in str(server.log.lines)
        assert line["method"].endswith("UploadImage")


async def test_a_changed_auth_file_counts_without_a_restart_and_a_wrong_one_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    (old, old_hash), (new, new_hash) = new_token(), new_token()
    path = auth_file(tmp_path, {"name": "shop", "scopes": ["imaging.read"], "token_sha256": [old_hash]})
    async with serve(auth_file=path, auth_reload_interval=0.02) as server:
        target = server.addresses.grpc
        await reach(target, token=old)

        path.write_text("principals: 7")
        await server.log.wait_for(lambda line: line["event"] == names.EVENT_AUTH_REFUSED and "auth.yaml" in line["detail"])
        path.unlink()
        await server.log.wait_for(lambda line: line["event"] == names.EVENT_AUTH_REFUSED and "No such file" in line["detail"])
        await reach(target, token=old)

        auth_file(tmp_path, {"name": "shop", "scopes": ["imaging.read"], "token_sha256": [new_hash]})
        await server.log.wait_for(lambda line: line["event"] == names.EVENT_AUTH_RELOADED)
        await reach(target, token=new)
        with pytest.raises(UnauthenticatedError):
            await reach(target, token=old)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": "0.0.0.0"}, "SOUK_IMAGING_ALLOW_PLAINTEXT"),
        ({"tls_cert_file": "x.pem"}, "SOUK_IMAGING_TLS_KEY_FILE"),
        ({"tls_client_ca_file": "x.pem"}, "SOUK_IMAGING_TLS_CERT_FILE"),
        ({"s3_access_key": "x", "s3_bucket": "abc"}, "SOUK_IMAGING_S3_SECRET_KEY"),
    ],
)
def test_a_setting_that_is_not_safe_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ImagingSettings(**settings)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "principals: 7",
        "principals: [{name: a b, scopes: []}]",
        "principals: [{name: a, scopes: [], token_sha256: [abc]}]",
        ": :",
    ],
)
async def test_an_auth_file_that_is_not_right_keeps_the_service_from_starting(serve: Serve, tmp_path: Path, content: str) -> None:
    path = tmp_path / "auth.yaml"
    path.write_text(content)
    with pytest.raises(StartError, match=r"auth\.yaml"):
        async with serve(auth_file=path):
            pass


def test_secrets_are_not_shown_with_the_settings() -> None:
    settings = ImagingSettings(s3_bucket="photos", s3_access_key="AKIA-ours", s3_secret_key="very-secret")
    assert "very-secret" not in repr(settings)
    assert "AKIA-ours" not in repr(settings)
