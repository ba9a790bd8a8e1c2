"""What a client may be told, and what gRPC is told in turn."""

from dataclasses import replace
from pathlib import Path

import pytest
from souk.client import ClientConfig, service_config
from souk.imaging.v1 import imaging_pb2 as pb

SERVICES = list(pb.DESCRIPTOR.services_by_name.values())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 6}, "attempts"),
        ({"chunk_bytes": 0}, "chunk_bytes"),
        ({"chunk_bytes": 1024 * 1024 + 1}, "chunk_bytes"),
        ({"tls_cert_file": Path("cert.pem")}, "together"),
        ({"token": "two words"}, "token"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong, text):
    with pytest.raises(ValueError, match=text):
        ClientConfig(**wrong)


@pytest.mark.parametrize("target", ["shop.example:50051", "dns:///imaging.souk.svc:50051", "10.0.0.7:50051", "[2001:db8::1]:50051"])
def test_a_token_is_not_sent_in_plaintext_to_another_machine(target):
    with pytest.raises(ValueError, match="token could be read"):
        ClientConfig(target=target, token="secret")
    assert ClientConfig(target=target, token="secret", allow_plaintext=True).token == "secret"
    assert ClientConfig(target=target, token="secret", tls=True).token == "secret"


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///localhost:1", "ipv4:///127.0.0.1:1", "unix:/run/x"]
)
def test_a_token_may_be_sent_in_plaintext_within_this_machine(target):
    assert ClientConfig(target=target, token="secret").token == "secret"


def test_a_token_is_never_shown():
    config = ClientConfig(token="souk_secret")
    assert "souk_secret" not in repr(config)
    with pytest.raises(ValueError) as refused:
        replace(config, token="souk_secret with blanks")
    assert "souk_secret" not in str(refused.value)


def retried(config: ClientConfig) -> set[str]:
    told = service_config(SERVICES, config)
    return {name["method"] for entry in told.get("methodConfig", ()) for name in entry["name"]}


def test_grpc_retries_the_unary_methods_that_the_contract_calls_repeatable():
    assert retried(ClientConfig()) == {"GetImage", "ListImages", "SelectVariant", "DeleteImage"}


def test_grpc_retries_only_what_is_unavailable_and_gives_up_on_a_broken_server():
    told = service_config(SERVICES, ClientConfig(attempts=3))
    (entry,) = told["methodConfig"]
    assert entry["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert entry["retryPolicy"]["maxAttempts"] == 3
    assert told["retryThrottling"]["tokenRatio"] <= 0.1


def test_one_attempt_means_no_retries():
    assert retried(ClientConfig(attempts=1)) == set()


def test_a_health_service_is_asked_for_where_it_is_named():
    assert service_config(SERVICES, ClientConfig(health_service="readiness"))["healthCheckConfig"] == {"serviceName": "readiness"}
    assert "healthCheckConfig" not in service_config(SERVICES, ClientConfig())
