"""What browsers and CDNs get: immutable pictures, negotiation, ranges, conditions, and never a file that is not theirs."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import object_stores
import pictures
import pytest
import pytest_asyncio
from PIL import Image
from souk.client import ClientConfig, ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb
from souk_common.testing import RunningServer

from services import Serve

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = (
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
)
PIECE = 256 * 1024
"""Bytes that a store reads at once."""
OLD = "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["disk", "s3"])
async def served(
    request: pytest.FixtureRequest, serve_module: Serve, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    if request.param == "disk":
        async with serve_module() as server:
            yield server
        return
    async with object_stores.serving_s3(tmp_path_factory.mktemp("s3")) as bucket, serve_module(**bucket.settings()) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image(served: RunningServer) -> pb.Image:
    async with ImagingClient(config=ClientConfig(target=served.addresses.grpc)) as client:
        return await client.upload(pictures.jpeg(1000, 700))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(served: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.http_url) as client:
        yield client


def ready(image: pb.Image, form: int, width: int) -> pb.Variant:
    return next(v for v in image.variants if v.format == form and v.width == width and v.state == pb.VARIANT_STATE_READY)


async def raw(server: RunningServer, request: bytes) -> bytes:
    """What a server answers to bytes that no HTTP library would send."""
    host, _, port = str(server.addresses.http).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_variant_is_immutable_typed_and_whole(http: httpx.AsyncClient, image: pb.Image) -> None:
    variant = ready(image, pb.FORMAT_JPEG, 400)
    answer = await http.get(variant.url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == variant.size_bytes == len(answer.content)
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()[:16]}"'
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (400, 280)
    head = await http.head(variant.url)
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k != "date"} == {k: v for k, v in answer.headers.items() if k != "date"}


async def test_a_range_is_served_and_joins_to_the_whole(http: httpx.AsyncClient, image: pb.Image) -> None:
    url = ready(image, pb.FORMAT_JPEG, 1000).url
    whole = (await http.get(url)).content
    size = len(whole)
    for header, expected in (
        ("bytes=0-99", whole[:100]),
        ("bytes=100-", whole[100:]),
        ("bytes=-50", whole[-50:]),
        (f"bytes=5-{size * 2}", whole[5:]),
    ):
        answer = await http.get(url, headers={"range": header})
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["content-range"].endswith(f"/{size}")
    for header in ("bytes=0-1,5-6", "lines=1-2", "bytes=9-3", "bytes=x"):
        answer = await http.get(url, headers={"range": header})
        assert (answer.status_code, answer.content) == (200, whole)
    behind = await http.get(url, headers={"range": f"bytes={size}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")


async def test_a_picture_of_many_pieces_comes_whole_and_in_ranges(served: RunningServer, http: httpx.AsyncClient) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (1200, 1200, 3), np.uint8)
    async with ImagingClient(config=ClientConfig(target=served.addresses.grpc)) as client:
        large = await client.upload(pictures.encode(Image.fromarray(noise), "JPEG", quality=95))
        variant = max((each for each in large.variants if each.url), key=lambda each: each.size_bytes)
        assert variant.size_bytes > 2 * PIECE
        whole = await client.download(large.image_id, variant.name)
    assert (await http.get(variant.url)).content == whole
    part = await http.get(variant.url, headers={"range": f"bytes=10-{PIECE + 20}"})
    assert (part.status_code, part.content) == (206, whole[10 : PIECE + 21])
    assert (await http.get(variant.url)).headers["content-length"] == str(variant.size_bytes)


async def test_a_range_is_of_get_alone(http: httpx.AsyncClient, image: pb.Image) -> None:
    variant = ready(image, pb.FORMAT_JPEG, 400)
    for header in ("bytes=0-9", f"bytes={variant.size_bytes}-"):
        answer = await http.head(variant.url, headers={"range": header})
        assert (answer.status_code, int(answer.headers["content-length"])) == (200, variant.size_bytes)
        assert "content-range" not in answer.headers


async def test_conditions_are_answered(http: httpx.AsyncClient, image: pb.Image) -> None:
    url = ready(image, pb.FORMAT_JPEG, 400).url
    etag = (await http.head(url)).headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await http.get(url, headers={"if-none-match": header})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await http.get(url, headers={"if-none-match": '"other"'})).status_code == 200
    assert (await http.get(url, headers={"range": "bytes=0-9", "if-range": etag})).status_code == 206
    assert (await http.get(url, headers={"range": "bytes=0-9", "if-range": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (CHROME, "image/avif"),
        (SAFARI, "image/avif"),
        (OLD, "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("image/avif;q=0, image/webp", "image/webp"),
    ],
)
async def test_one_url_gives_each_browser_its_format(http: httpx.AsyncClient, image: pb.Image, accept: str, expected: str) -> None:
    answer = await http.get(image.url, params={"w": 300}, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
    assert "Accept" in answer.headers["vary"]
    assert answer.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=86400"
    direct = await http.get(answer.headers["content-location"])
    assert direct.content == answer.content
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.width == 400


async def test_width_density_and_save_data_choose_the_size(http: httpx.AsyncClient, image: pb.Image) -> None:
    async def width(query: str = "", **headers: str) -> int:
        hints = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await http.get(f"{image.url}{query}", headers={"accept": "*/*", **hints})
        with Image.open(io.BytesIO(answer.content)) as picture:
            return picture.width

    assert await width() == 1000
    assert await width("?w=150") == 200
    assert await width("?w=201&dpr=1") == 400
    assert await width("?w=300&dpr=2") == 800
    assert await width("?w=300", sec_ch_dpr="2") == 800
    assert await width("?w=300&dpr=2", save_data="on") == 400
    assert await width(sec_ch_width="500") == 800
    assert await width("?w=9000") == 1000
    assert await width("?w=300&dpr=0.01") == await width("?w=300&dpr=0.5") == 200
    assert await width("?w=120&dpr=20") == await width("?w=120&dpr=5") == 800
    assert await width(sec_ch_width="400", sec_ch_dpr="0.1") == 400


async def test_what_cannot_be_served_is_a_problem_that_says_why(http: httpx.AsyncClient, image: pb.Image) -> None:
    not_acceptable = await http.get(image.url, headers={"accept": "text/html"})
    assert not_acceptable.status_code == 406
    assert not_acceptable.headers["content-type"] == "application/problem+json"
    assert not_acceptable.json()["status"] == 406
    for query in ("?w=x", "?w=-1", "?dpr=0", "?w=1e99", "?dpr=nan", "?dpr=inf", "?dpr=-1"):
        bad = await http.get(image.url + query)
        assert bad.status_code == 400, query
    assert (await http.post(image.url)).status_code == 405
    assert "GET" in (await http.delete(image.variants[0].url or image.url)).headers["allow"]
    preflight = await http.options(image.url)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")


NOT_PUBLIC = [
    "/", "/i", "/i/", "/i/x", "/i/{id}/", "/i/{id}/x.jpg", "/i/{id}/_original", "/i/{id}/_manifest.json", "/i/{id}/%5foriginal",
    "/i/{id}/..%2f{id}%2f_original", "/i/../{id}/_original", "/i/{id}/../../../../etc/passwd", "/i/%2e%2e/%2e%2e/etc/passwd",
    "/i//{id}/_original", "/i/{id}/product-200.0000000000000000.avif", "/i/{id}/product-200.0000000000000000.avif%00.jpg",
    "/_index/all", "/i/_pending/{id}", "/i/_requests/default", "/i/01jd0000000000000000000000", "/i/{upper}",
    "/i/{id}/product-200.{long}.avif", "//etc/passwd", "/i/{id}\\..\\x",
]  # fmt: skip


async def test_no_path_leads_to_what_is_not_public(served: RunningServer, image: pb.Image) -> None:
    for path in NOT_PUBLIC:
        wanted = path.format(id=image.image_id, upper=image.image_id.upper(), long="a" * 5000)
        answer = await raw(served, f"GET {wanted} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 404), (path, answer[:200])
        assert b"root:" not in answer, path
        assert image.original.sha256 not in answer, path


async def test_a_picture_that_is_being_made_is_to_be_asked_for_again(serve: Serve) -> None:
    async with serve() as server, ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        made = await client.upload(pictures.jpeg(2400, 1800), wait_for=pb.WAIT_FOR_ACCEPTED)
        async with httpx.AsyncClient(base_url=server.http_url) as http:
            answer = await http.get(made.url)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["cache-control"] == "no-store"
            async for _ in client.watch(made.image_id):
                pass
            assert (await http.get(made.url)).status_code == 200
            await client.delete(made.image_id)
            assert (await http.get(made.url)).status_code == 404


async def test_a_store_that_is_gone_is_a_503_and_not_a_404(serve: Serve, tmp_path: Path) -> None:
    async with serve() as server, ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        made = await client.upload(pictures.jpeg(60, 40))
        (tmp_path / "state" / "photos").rename(tmp_path / "away")
        async with httpx.AsyncClient(base_url=server.http_url) as http:
            for url in (made.url, ready(made, pb.FORMAT_JPEG, 60).url):
                answer = await http.get(url)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        (tmp_path / "away").rename(tmp_path / "state" / "photos")


async def test_more_requests_than_the_limit_are_turned_away_and_the_rest_served(serve: Serve) -> None:
    async with serve(max_http_requests=2) as server, ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        made = await client.upload(pictures.jpeg(1000, 700))
        async with httpx.AsyncClient(base_url=server.http_url) as http:
            answers = await asyncio.gather(*(http.get(made.url) for _ in range(40)))
        statuses = {answer.status_code for answer in answers}
        assert 200 in statuses
        assert statuses <= {200, 503}


async def test_cors_is_for_the_sites_that_are_set(serve: Serve) -> None:
    async with serve(cors_origins=("https://shop.example",)) as server, httpx.AsyncClient(base_url=server.http_url) as http:
        allowed = await http.get("/i/x", headers={"origin": "https://shop.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        other = await http.get("/i/x", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert "Origin" in other.headers["vary"]
