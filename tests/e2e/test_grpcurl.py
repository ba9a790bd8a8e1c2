"""An engineer with grpcurl, and Kubernetes' probe: every rpc by reflection alone."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pictures
import processes
from grpcurl import call, run, tool
from processes import ServiceProcess

SERVICE = "souk.imaging.v1.ImagingService"
CACHE = "souk.cache.v1.CacheService"
RPCS = {"UploadImage", "GetImage", "WatchImage", "ListImages", "DownloadVariant", "SelectVariant", "DeleteImage"}


async def test_grpcurl_lists_and_describes_everything(start) -> None:
    service = await start()
    grpcurl = tool("grpcurl")
    _, services = await run(grpcurl, "-plaintext", service.grpc, "list")
    assert {SERVICE, "grpc.health.v1.Health"} <= set(services.split())
    _, rpcs = await run(grpcurl, "-plaintext", service.grpc, "list", SERVICE)
    assert {name.rpartition(".")[2] for name in rpcs.split()} == RPCS
    for rpc in RPCS:
        status, described = await run(grpcurl, "-plaintext", service.grpc, "describe", f"{SERVICE}.{rpc}")
        assert (status, "idempotency_level" in described) == (0, True)
    status, message = await run(grpcurl, "-plaintext", service.grpc, "describe", "souk.imaging.v1.Image")
    assert (status, "image_id" in message) == (0, True)


async def test_grpcurl_calls_every_rpc(start) -> None:
    service = await start()
    photo = pictures.jpeg(300, 200)
    upload = [
        {"spec": {"owner": "me", "tags": ["t"], "requestId": "r"}},
        {"chunk": {"writeOffset": "0", "data": base64.b64encode(photo).decode()}},
        {"finish": {"sizeBytes": str(len(photo))}},
    ]
    (uploaded,) = await call(service, f"{SERVICE}/UploadImage", *upload)
    image = uploaded["image"]
    assert image["state"] == "IMAGE_STATE_READY"
    named = {"imageId": image["imageId"]}
    assert (await call(service, f"{SERVICE}/GetImage", named))[0]["image"] == image
    assert (await call(service, f"{SERVICE}/WatchImage", named))[-1]["image"] == image
    assert (await call(service, f"{SERVICE}/ListImages", {"owner": "me", "tags": ["t"]}))[0]["images"] == [image]
    (selected,) = await call(service, f"{SERVICE}/SelectVariant", {**named, "accept": "image/webp", "width": 100})
    parts = await call(service, f"{SERVICE}/DownloadVariant", {**named, "variantName": selected["variant"]["name"]})
    data = b"".join(base64.b64decode(part["chunk"]["data"]) for part in parts[1:])
    assert len(data) == int(selected["variant"]["sizeBytes"])
    assert await call(service, f"{SERVICE}/DeleteImage", named) == [{}]
    status, output = await run(tool("grpcurl"), "-plaintext", "-d", json.dumps(named), service.grpc, f"{SERVICE}/GetImage")
    assert status != 0
    assert "IMAGE_NOT_FOUND" in output


async def test_grpc_health_probe_is_answered_and_sees_the_store_go_and_come_back(start, tmp_path: Path) -> None:
    service = await start()
    for name in ("", "liveness", "readiness", SERVICE):
        status, output = await run(tool("grpc-health-probe"), "-addr", service.grpc, "-service", name)
        assert (status, "SERVING" in output) == (0, True), name
    probe = (tool("grpc-health-probe"), "-addr", service.grpc, "-service", "readiness")

    async def answers(wanted: int) -> bool:
        async with asyncio.timeout(5):
            while (await run(*probe))[0] != wanted:
                pass
        return True

    assert await answers(0)
    (tmp_path / "state" / "photos").rename(tmp_path / "away")
    assert await answers(4)
    (tmp_path / "away").rename(tmp_path / "state" / "photos")
    assert await answers(0)


async def test_the_containers_own_health_check_says_what_health_says(start) -> None:
    import sys

    service = await start()
    assert await run(sys.executable, "-m", "souk_common.probe", service.grpc, "readiness") == (0, "SERVING\n")
    assert (await run(sys.executable, "-m", "souk_common.probe", service.grpc, "nothing"))[0] == 1
    assert (await run(sys.executable, "-m", "souk_common.probe", "127.0.0.1:1"))[0] == 1
    assert (await run(sys.executable, "-m", "souk_common.probe"))[0] == 2


async def test_grpcurl_lists_describes_and_calls_every_rpc_of_the_cache(tmp_path: Path) -> None:
    cache = await processes.start_service("cache", tmp_path, "cache")
    try:
        _, listed = await run(tool("grpcurl"), "-plaintext", cache.grpc, "list", CACHE)
        _, described = await run(tool("grpcurl"), "-plaintext", cache.grpc, "describe", CACHE)
        answers = await _call_every_rpc_of_the_cache(cache)
        assert set(answers) == {name.rpartition(".")[2] for name in listed.split()}
        assert all(f"rpc {rpc} (" in described for rpc in answers)
        assert base64.b64decode(answers["Get"]["result"]["hit"]["value"]) == b"shoe"
        for body, texts in (
            (
                {"namespace": "product", "key": "k" * 600},
                ("InvalidArgument", "INVALID_FIELD", "BadRequest", "must be 1 to 512 bytes"),
            ),
            ({"namespace": "nowhere", "key": "1"}, ("NotFound", "NAMESPACE_UNKNOWN", "souk.cache.v1", "product")),
        ):
            status, output = await run(tool("grpcurl"), "-plaintext", "-d", json.dumps(body), cache.grpc, f"{CACHE}/Get")
            assert status != 0
            assert [text for text in texts if text not in output] == []
    finally:
        await processes.stop(cache)


async def _call_every_rpc_of_the_cache(cache: ServiceProcess) -> dict[str, Any]:
    """What each answers first."""
    shoe = {"namespace": "product", "key": "1"}
    value = base64.b64encode(b"shoe").decode()
    (lease,) = await call(cache, f"{CACHE}/Get", {**shoe, "options": {"lease": True}})
    calls: dict[str, dict[str, Any]] = {
        "Fill": {**shoe, "lease": lease["result"]["lease"]["token"], "value": value, "tags": ["red"]},
        "Get": shoe,
        "Put": {**shoe, "key": "2", "value": value},
        "BatchPut": {"puts": [{**shoe, "key": "3", "value": value}]},
        "BatchGet": {"namespace": "product", "keys": ["1", "2", "3"]},
        "GetStream": {"items": [{"get": shoe}]},
        "Watch": {"interest": {"namespaces": ["product"]}},
        "Invalidate": {"tags": ["red"], "keys": [shoe]},
        "Warm": {"namespace": "product", "keys": {"keys": ["1"]}},
        "GetStats": {},
        "ListNamespaces": {},
    }
    return {rpc: (await call(cache, f"{CACHE}/{rpc}", message))[0] for rpc, message in calls.items()}
