"""A service that cannot start says which setting is wrong, and what about it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from certificates import new_authority
from common_echo import Echo, application
from pydantic_settings import SettingsConfigDict
from souk_common.server import StartError
from souk_common.settings import ServiceSettings, SettingsInvalidError, from_environment, unknown_variables
from souk_common.testing import running_server


class EchoSettings(ServiceSettings):
    """With a prefix, and something that is JSON."""

    model_config = SettingsConfigDict(env_prefix="SOUK_ECHO_")
    sites: tuple[str, ...] = ("*",)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LOG_LEVEL": "verbose"}, "SOUK_ECHO_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ({"SITES": "https://a.example"}, 'SOUK_ECHO_SITES: must be JSON, as ["one", "two"]'),
        ({"PORT": "99999"}, "SOUK_ECHO_PORT: Input should be less than or equal to 65535"),
        ({"TLS_KEY_FILE": "key.pem"}, "SOUK_ECHO_TLS_CERT_FILE and SOUK_ECHO_TLS_KEY_FILE are set together, or not at all"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str):
    for name, value in variables.items():
        monkeypatch.setenv(f"SOUK_ECHO_{name}", value)
    with pytest.raises(SettingsInvalidError) as refused:
        from_environment(EchoSettings)
    assert str(refused.value) == told


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOUK_ECHO_PORT", "-1")
    monkeypatch.setenv("SOUK_ECHO_TRACE_RATIO", "2")
    with pytest.raises(SettingsInvalidError) as refused:
        from_environment(EchoSettings)
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["SOUK_ECHO_PORT", "SOUK_ECHO_TRACE_RATIO"]


def test_a_level_of_the_log_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOUK_ECHO_LOG_LEVEL", "WARNING")
    assert from_environment(EchoSettings).log_level == "warning"


def test_variables_that_are_no_settings_are_found_each_with_the_setting_that_may_have_been_meant():
    environment = {
        "SOUK_ECHO_READY": "ready.json",
        "souk_echo_sitse": "[]",
        "SOUK_ECHO_XYZ": "1",
        "SOUK_ECHO_PORT": "1",
        "souk_echo_host": "127.0.0.1",
        "SOUK_ECHO_ADDRESS": "127.0.0.1:50053",
        "SOUK_OTHER_PROT": "1",
    }
    assert unknown_variables(EchoSettings, environment) == {
        "SOUK_ECHO_READY": "SOUK_ECHO_READY_FILE",
        "SOUK_ECHO_XYZ": "",
        "souk_echo_sitse": "SOUK_ECHO_SITES",
    }
    assert unknown_variables(ServiceSettings, environment) == {}


STARTS_NOT = """
import contextlib
from pydantic_settings import SettingsConfigDict
from souk_common.server import StartError, run
from souk_common.settings import ServiceSettings

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SOUK_ECHO_")

@contextlib.asynccontextmanager
async def open_app(*_):
    raise StartError("enough")
    yield

run(Settings(), "echo", open_app)
"""


def test_a_service_warns_at_its_start_once_of_a_variable_that_is_no_setting():
    environment = os.environ | {"SOUK_ECHO_QUIET": "1", "SOUK_ECHO_LOG_LEVL": "debug"}
    ran = subprocess.run([sys.executable, "-c", STARTS_NOT], env=environment, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("{")]
    told = [(line["level"], line["variable"], line["nearest"]) for line in lines if "variable" in line]
    assert told == [("warning", "SOUK_ECHO_LOG_LEVL", "SOUK_ECHO_LOG_LEVEL"), ("warning", "SOUK_ECHO_QUIET", "")], ran


async def refusal(**settings: Any) -> str:
    with pytest.raises(StartError) as refused:
        async with running_server(EchoSettings(**settings), "echo", application(Echo())):
            pass
    return str(refused.value)


async def test_tls_files_that_are_none_are_named(tmp_path: Path):
    certificates = new_authority(tmp_path / "ca")
    certificate, key = certificates.issue("localhost")
    _, other_key = certificates.issue("other")
    (junk := tmp_path / "junk.pem").write_text("junk")
    pair = {"tls_cert_file": certificate, "tls_key_file": key}
    assert await refusal(**pair | {"tls_cert_file": junk}) == f"{junk} and {key} are not the PEM files of a certificate and its key"
    assert "key values mismatch" in await refusal(**pair | {"tls_key_file": other_key})
    assert f"{junk} is no PEM file of certificates" in await refusal(**pair, tls_client_ca_file=junk)
    assert str(tmp_path / "gone") in await refusal(**pair | {"tls_key_file": tmp_path / "gone"})


async def test_an_address_that_is_not_of_this_machine_is_told_from_a_port_in_use():
    elsewhere = await refusal(host="192.0.2.1", allow_plaintext=True)
    assert elsewhere == "192.0.2.1:0 cannot be listened on: Cannot assign requested address. See SOUK_ECHO_HOST and SOUK_ECHO_PORT"
    async with running_server(EchoSettings(), "echo", application(Echo())) as running:
        port = int(running.addresses.grpc.rpartition(":")[2])
        taken = await refusal(port=port)
    assert taken == f"127.0.0.1:{port} cannot be listened on; is it in use? Another port: SOUK_ECHO_PORT"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping with a list of `principals`"),
        ("principals: [{name: shop}]", "principals.0.scopes: Field required"),
        ("principals: [{name: shop, scopes: [], token_sha256: [zz]}]", "token_sha256 must be 64 hexadecimal digits"),
    ],
)
async def test_an_auth_file_that_is_wrong_says_where(tmp_path: Path, text: str, told: str):
    (file := tmp_path / "auth.yaml").write_text(text)
    refused = await refusal(auth_file=file)
    assert refused.startswith(f"the auth file cannot be used: {file}: ")
    assert told in refused
