"""The client against the real imaging service, on real sockets."""

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pictures
import pytest
import trustme
import yaml
from souk.client import (
    ClientConfig,
    FailedPreconditionError,
    ImagingClient,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    from_failure,
)
from souk.imaging.v1 import imaging_pb2 as pb
from souk_common.auth import new_token
from souk_common.testing import RunningServer, running_server
from souk_imaging.app import open_app
from souk_imaging.settings import ImagingSettings


@contextlib.asynccontextmanager
async def imaging(folder: Path, **settings: Any) -> AsyncIterator[RunningServer]:
    chosen = {"port": 0, "http_port": 0, "state_dir": folder / "state", "workers": 1, "trace_ratio": 0.0, **settings}
    async with running_server(ImagingSettings(**chosen), "imaging", open_app) as running:
        yield running


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ImagingClient]:
    """A client of a service of its own."""
    async with imaging(tmp_path) as running, ImagingClient(running.addresses.grpc) as client:
        yield client


async def test_a_photo_goes_up_and_its_variants_come_down(service, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(pictures.jpeg(1000, 700))
    image = await service.upload(photo, owner="shop", tags=["shoe", "red"], content_type="image/jpeg", sha256=True)
    assert (image.state, image.owner, list(image.tags)) == (pb.IMAGE_STATE_READY, "shop", ["shoe", "red"])
    assert image.original.sha256 == hashlib.sha256(photo.read_bytes()).digest()
    assert await service.get(image.image_id) == image
    assert [seen async for seen in service.watch(image.image_id)] == [image]
    chosen = await service.select(image.image_id, accept="image/webp", width=200)
    assert chosen.content_type in ("image/webp", "image/jpeg")
    for variant in image.variants:
        if variant.state == pb.VARIANT_STATE_READY:
            data = await service.download(image.image_id, variant.name)
            assert (len(data), hashlib.sha256(data).hexdigest()[:16] in variant.name) == (variant.size_bytes, True)
    path = await service.download(image.image_id, chosen.name, tmp_path / "chosen")
    assert path.stat().st_size == chosen.size_bytes


async def test_an_accepted_photo_is_watched_until_it_is_ready(service):
    image = await service.upload(pictures.jpeg(1200, 900), wait_for=pb.WAIT_FOR_ACCEPTED)
    assert image.state == pb.IMAGE_STATE_PROCESSING
    states = [seen.state async for seen in service.watch(image.image_id) if seen]
    assert states[-1] == pb.IMAGE_STATE_READY


async def test_lists_find_by_owner_and_tags_over_pages(service):
    for number in range(5):
        await service.upload(pictures.jpeg(64, 48, seed=number), owner="a" if number % 2 else "b", tags=["all"], profile="avatar")
    everything = [image.image_id async for image in service.list(tags=["all"], page_size=2)]
    assert len(set(everything)) == 5
    assert everything == sorted(everything, reverse=True), "newest first"
    assert len([image async for image in service.list(owner="a", page_size=1)]) == 2


async def test_a_repeat_with_the_same_request_id_returns_the_first_image(service):
    photo = pictures.jpeg(100, 80)
    first = await service.upload(photo, request_id="once")
    assert (await service.upload(photo, request_id="once")).image_id == first.image_id
    with pytest.raises(InvalidArgumentError, match="REQUEST_ID_REUSED"):
        await service.upload(photo, request_id="once", tags=["another"])


async def test_what_is_no_photo_is_refused_with_its_reason_before_it_is_sent_whole(service):
    sent: list[int] = []
    with pytest.raises(InvalidArgumentError) as raised:
        await service.upload(b"this is no photo " * 2_000_000, on_progress=lambda so_far, _: sent.append(so_far))
    assert (raised.value.reason, raised.value.domain) == ("NOT_AN_IMAGE", "souk.imaging.v1")
    assert sent[-1] < 34_000_000, "most of it was never sent"


async def test_a_damaged_photo_is_an_error_of_the_call_or_of_the_image(service):
    damaged = pictures.jpeg(800, 600)[:20_000]
    with pytest.raises(InvalidArgumentError) as raised:
        await service.upload(damaged)
    accepted = await service.upload(io.BytesIO(damaged), wait_for=pb.WAIT_FOR_ACCEPTED)
    last = [image async for image in service.watch(accepted.image_id)][-1]
    assert last is not None
    assert last.state == pb.IMAGE_STATE_FAILED
    assert (from_failure(last.error).reason, type(from_failure(last.error))) == (raised.value.reason, InvalidArgumentError)
    with pytest.raises((FailedPreconditionError, NotFoundError)):
        await service.select(accepted.image_id)


async def test_every_bad_field_is_named_at_once(service):
    with pytest.raises(InvalidArgumentError) as raised:
        await service.upload(b"x", owner="no spaces", tags=["bad tag"], request_id="ü")
    assert {each.field for each in raised.value.field_violations} == {"spec.owner", "spec.tags", "spec.request_id"}


async def test_a_deleted_image_is_gone(service):
    image = await service.upload(pictures.jpeg(64, 48), profile="avatar")
    await service.delete(image.image_id)
    with pytest.raises(NotFoundError) as raised:
        await service.get(image.image_id)
    assert raised.value.metadata == {"image_id": image.image_id}
    await service.delete(image.image_id, allow_missing=True)
    with pytest.raises(NotFoundError):
        await service.delete(image.image_id)


async def test_tokens_and_tls_work_together(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    issued.private_key_pem.write_to_path(paths["key"])
    paths["cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    reader, digest = new_token()
    principals = [{"name": "reader", "scopes": ["imaging.read"], "token_sha256": [digest]}]
    (tmp_path / "tokens.yaml").write_text(yaml.safe_dump({"principals": principals}))
    settings = {"tls_cert_file": paths["cert"], "tls_key_file": paths["key"], "auth_file": tmp_path / "tokens.yaml"}
    async with imaging(tmp_path, **settings) as running:

        def config(token: str | None) -> ClientConfig:
            return ClientConfig(target=running.addresses.grpc, tls_ca_file=paths["ca"], token=token)

        async with ImagingClient(config=config(reader)) as client:
            assert [image async for image in client.list()] == []
            with pytest.raises(PermissionDeniedError) as denied:
                await client.upload(pictures.jpeg(64, 48))
            assert denied.value.metadata["scope"] == "imaging.write"
        for token, reason in ((None, "CREDENTIALS_MISSING"), ("wrong", "CREDENTIALS_INVALID")):
            async with ImagingClient(config=config(token)) as client:
                with pytest.raises(UnauthenticatedError, match=reason):
                    await client.get("0" * 26)
