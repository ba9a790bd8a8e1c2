"""Channels: TLS, all addresses in turn, and gRPC's own retries of what may be repeated."""

import json
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from souk.client._config import ClientConfig

FRAME_BYTES = 1024 * 1024
"""The largest HTTP/2 frame taken: gRPC's 16 KiB cost streams of bytes a fifth of their rate (docs/architecture.md)."""
_REPEATABLE = (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)


def open_channel(config: ClientConfig, services: Iterable[ServiceDescriptor]) -> grpc.aio.Channel:
    """A channel to the target, with retries for the methods of `services` by their idempotency_level."""
    options = _options(config, services)
    if not config.uses_tls:
        return grpc.aio.insecure_channel(config.target, options=options)
    return grpc.aio.secure_channel(config.target, _credentials(config), options=options)


def open_blocking_channel(config: ClientConfig, services: Iterable[ServiceDescriptor]) -> grpc.Channel:
    """The same for a thread that has no event loop."""
    options = _options(config, services)
    if not config.uses_tls:
        return grpc.insecure_channel(config.target, options=options)
    return grpc.secure_channel(config.target, _credentials(config), options=options)


def _options(config: ClientConfig, services: Iterable[ServiceDescriptor]) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config(services, config))),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.use_local_subchannel_pool", 1),  # or a new client would inherit the back-off of one that was closed
        ("grpc.keepalive_time_ms", round(config.keepalive * 1000)),
        ("grpc.keepalive_timeout_ms", round(config.keepalive_timeout * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.max_frame_size", FRAME_BYTES),
        ("grpc.initial_reconnect_backoff_ms", round(config.initial_backoff * 1000)),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", round(config.max_backoff * 1000)),
        ("grpc.primary_user_agent", config.user_agent),
    ]
    if config.tls_server_name:
        options.append(("grpc.ssl_target_name_override", config.tls_server_name))
    return options


def _credentials(config: ClientConfig) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=config.tls_ca_file.read_bytes() if config.tls_ca_file else None,
        private_key=config.tls_key_file.read_bytes() if config.tls_key_file else None,
        certificate_chain=config.tls_cert_file.read_bytes() if config.tls_cert_file else None,
    )


def service_config(services: Iterable[ServiceDescriptor], config: ClientConfig) -> dict[str, Any]:
    """gRPC's service config (A6): only UNAVAILABLE is retried, and only where the contract says that a repeat does no harm.

    And CANCELLED, which is what gRPC's server says to calls that arrive while it stops; what a caller cancels itself is not.

    Streams are left out: gRPC could repeat only what fits its buffer, or what was not answered yet. The clients, which know where a
    stream stood, repeat those themselves, so that no attempt is made twice over.
    """
    methods = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if _is_repeatable(method)
    ]
    told: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
    if config.attempts > 1 and methods:
        policy = {
            "maxAttempts": config.attempts,
            "initialBackoff": f"{config.initial_backoff:.3f}s",
            "maxBackoff": f"{config.max_backoff:.3f}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        told["methodConfig"] = [{"name": methods, "retryPolicy": policy}]
    if config.health_service is not None:
        told["healthCheckConfig"] = {"serviceName": config.health_service}
    return told


def _is_repeatable(method: MethodDescriptor) -> bool:
    streams = method.client_streaming or method.server_streaming
    return not streams and method.GetOptions().idempotency_level in _REPEATABLE
