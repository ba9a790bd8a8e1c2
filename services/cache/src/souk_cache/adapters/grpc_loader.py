"""Loaders that are gRPC methods: those that the namespaces name, with the messages of souk.cache.v1.LoaderService."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
from opentelemetry import propagate
from souk.cache.v1 import loader_pb2 as pb
from souk.client import ClientConfig, open_channel

from souk_cache.exceptions import LoaderFailedError
from souk_cache.loading import Loaded, Wanted, check_lists, policy_of
from souk_cache.namespaces import LoaderPolicy, Namespace
from souk_cache.results import Content

ROOM_BYTES = 1024 * 1024
"""What a message may have beside its value."""
LIST_TIMEOUT = 60.0
"""Seconds that listing keys may take."""


class GrpcLoader:
    """Calls the loader of each namespace. Those with the same target share a channel."""

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        """ValueError or OSError where a loader's settings cannot be used."""
        spaces = [space for space in namespaces if space.loader is not None]
        largest = max((space.max_value_bytes for space in spaces), default=0) + ROOM_BYTES
        self._channels: dict[ClientConfig, grpc.aio.Channel] = {}
        self._metadata: dict[str, tuple[tuple[str, str], ...]] = {}
        self._load: dict[str, Callable[..., Any]] = {}
        self._list: dict[str, Callable[..., Any]] = {}
        for space in spaces:
            policy = policy_of(space)
            config = _config(policy, largest)
            channel = self._channels.get(config)
            if channel is None:
                channel = self._channels[config] = open_channel(config, ())
            self._metadata[space.name] = (("authorization", f"Bearer {config.token}"),) if config.token else ()
            self._load[space.name] = channel.unary_unary(
                f"/{policy.method}", pb.LoadRequest.SerializeToString, pb.LoadResponse.FromString
            )
            if policy.list_method:
                self._list[space.name] = channel.unary_stream(
                    f"/{policy.list_method}", pb.ListKeysRequest.SerializeToString, pb.ListKeysResponse.FromString
                )

    async def load(self, wanted: Wanted, source: int | None, timeout: float) -> Loaded:
        """See Loader."""
        name = wanted.space.name
        request = pb.LoadRequest(namespace=name, source_token=source)
        if wanted.alias:
            request.alias = wanted.alias
        else:
            request.key = wanted.key
        try:
            answer = await self._load[name](request, timeout=timeout, metadata=self._told(name))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from error
            raise _failed(wanted.space, error) from error
        if answer.WhichOneof("content") is None:
            raise LoaderFailedError(f"the loader of {name} answered neither a value nor that there is none", problem="no content")
        return Loaded(
            Content(
                answer.value if answer.HasField("value") else None,
                tuple(answer.tags),
                tuple(answer.aliases),
                answer.ttl.seconds + answer.ttl.nanos / 1e9 if answer.HasField("ttl") else None,
                answer.version if answer.HasField("version") else None,
            ),
            answer.key,
        )

    async def list_keys(self, space: Namespace, query: str, limit: int) -> AsyncIterator[Sequence[str]]:
        """See Loader."""
        check_lists(space)
        listing = self._list[space.name]
        request = pb.ListKeysRequest(namespace=space.name, query=query, limit=limit)
        call = listing(request, timeout=LIST_TIMEOUT, metadata=self._told(space.name))
        try:
            async for answer in call:
                yield tuple(answer.keys[:limit])
                limit -= len(answer.keys)
                if limit <= 0:
                    return
        except grpc.aio.AioRpcError as error:
            raise _failed(space, error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """See Loader."""
        for channel in self._channels.values():
            await channel.close()

    def _told(self, name: str) -> tuple[tuple[str, str], ...]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return (*self._metadata[name], *carrier.items())


def _config(policy: LoaderPolicy, max_message_bytes: int) -> ClientConfig:
    return ClientConfig(
        target=policy.target,
        token=policy.token_file.read_text().strip() if policy.token_file else None,
        allow_plaintext=policy.allow_plaintext,
        tls=policy.tls,
        tls_ca_file=policy.tls_ca_file,
        tls_cert_file=policy.tls_cert_file,
        tls_key_file=policy.tls_key_file,
        tls_server_name=policy.tls_server_name,
        max_message_bytes=max_message_bytes,
        user_agent="souk-cache",
    )


def _failed(space: Namespace, error: grpc.aio.AioRpcError) -> LoaderFailedError:
    code = error.code().name
    return LoaderFailedError(f"the loader of {space.name} ended with {code}", code=code)
