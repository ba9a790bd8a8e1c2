"""Objects in an S3 bucket, by boto3 in a bounded thread pool."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from souk_imaging.exceptions import StoreUnavailableError
from souk_imaging.store import PIECE_BYTES, ObjectInfo, check_key

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")
PART_BYTES = 8 * 1024 * 1024
_MISSING = {"404", "NoSuchKey", "NotFound"}
_DELETE_BATCH = 1000


class S3Store:
    """Implements ObjectStore on any S3-compatible service."""

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        threads: int = 32,
        timeout: float = 10.0,
        attempts: int = 3,
    ) -> None:
        """`prefix` goes before every key. Credentials that are not given are found as boto3 finds them. `timeout` is of one
        connect or read, in seconds; botocore tries `attempts` times."""
        self._bucket = bucket
        self._prefix = prefix
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="s3-store")
        self._client: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=min(timeout, 3.0),
                read_timeout=timeout,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                max_pool_connections=threads,
                s3={"addressing_style": "path" if endpoint else "auto"},
            ),
        )
        self._transfer = TransferConfig(multipart_threshold=2 * PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False)

    async def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        place = self._place(key)
        await self._do(lambda: self._client.put_object(Bucket=self._bucket, Key=place, Body=data, ContentType=content_type))

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        place = self._place(key)
        extra = {"ContentType": content_type}
        await self._do(lambda: self._client.upload_file(str(path), self._bucket, place, ExtraArgs=extra, Config=self._transfer))

    async def get(self, key: str) -> bytes | None:
        """See ObjectStore."""
        place = self._place(key)

        def get() -> bytes:
            return self._client.get_object(Bucket=self._bucket, Key=place)["Body"].read()

        try:
            return await self._do(get)
        except KeyError:
            return None

    async def info(self, key: str) -> ObjectInfo | None:
        """See ObjectStore."""
        place = self._place(key)
        try:
            head = await self._do(lambda: self._client.head_object(Bucket=self._bucket, Key=place))
        except KeyError:
            return None
        return ObjectInfo(key, head["ContentLength"])

    async def read(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ObjectStore."""
        place = self._place(key)
        if length == 0:
            return
        wanted: dict[str, Any] = {}
        if offset or length is not None:
            wanted["Range"] = f"bytes={offset}-" if length is None else f"bytes={offset}-{offset + length - 1}"
        try:
            body = (await self._do(lambda: self._client.get_object(Bucket=self._bucket, Key=place, **wanted)))["Body"]
        except _PastEndError:
            return
        try:
            while piece := await self._do(body.read, PIECE_BYTES):
                yield piece
        finally:
            body.close()

    async def fetch(self, key: str, path: Path) -> bool:
        """See ObjectStore."""
        place = self._place(key)
        try:
            await self._do(lambda: self._client.download_file(self._bucket, place, str(path), Config=self._transfer))
        except KeyError:
            return False
        return True

    async def keys(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncGenerator[str, None]:
        """See ObjectStore."""
        given = 0
        start = self._prefix + after if after else ""
        while limit is None or given < limit:
            wanted: dict[str, Any] = {"Prefix": self._prefix + prefix, "MaxKeys": min(1000, (limit or 10**9) - given)}
            if start:
                wanted["StartAfter"] = start
            page = await self._do(self._list, wanted)
            contents = page.get("Contents", [])
            for entry in contents:
                given += 1
                yield entry["Key"][len(self._prefix) :]
            if not page.get("IsTruncated") or not contents:
                return
            start = contents[-1]["Key"]

    async def delete(self, key: str) -> None:
        """See ObjectStore."""
        place = self._place(key)
        await self._do(lambda: self._client.delete_object(Bucket=self._bucket, Key=place))

    async def delete_prefix(self, prefix: str) -> int:
        """See ObjectStore."""
        if not prefix.endswith("/"):
            raise ValueError("a prefix to delete ends with /")
        check_key(prefix[:-1])
        found = [self._prefix + key async for key in self.keys(prefix)]
        for start in range(0, len(found), _DELETE_BATCH):
            await self._do(self._delete_all, found[start : start + _DELETE_BATCH])
        return len(found)

    async def check(self) -> None:
        """See ObjectStore. Writing is tried with an object of no bytes, the same for every replica."""
        place = f"{self._prefix}_check"
        await self._do(lambda: self._client.put_object(Bucket=self._bucket, Key=place, Body=b""))
        await self._do(lambda: self._client.head_object(Bucket=self._bucket, Key=place))

    async def close(self) -> None:
        """See ObjectStore."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _place(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _list(self, wanted: dict[str, Any]) -> "ListObjectsV2OutputTypeDef":
        return self._client.list_objects_v2(Bucket=self._bucket, **wanted)

    def _delete_all(self, places: Iterable[str]) -> None:
        objects = [{"Key": place} for place in places]
        answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})  # type: ignore[typeddict-item]
        for error in answer.get("Errors", []):
            raise StoreUnavailableError(f"the object store did not delete: {error.get('Code')}", dependency="store")

    async def _do(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call of boto3 in a thread; KeyError where it says that there is no such object."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING:
                raise KeyError(code) from None
            if code == "InvalidRange":
                raise _PastEndError from None
            raise StoreUnavailableError(f"the object store refused: {code}", dependency="store") from error
        except (BotoCoreError, OSError, boto3.exceptions.Boto3Error) as error:
            if _is_missing(error):
                raise KeyError from None
            raise StoreUnavailableError(f"the object store does not answer: {type(error).__name__}", dependency="store") from error


class _PastEndError(Exception):
    """A range begins behind the end of the object."""


def _is_missing(error: Exception) -> bool:
    cause = error.__cause__ or error.__context__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in _MISSING
