"""Fields and words that are called as secrets are, and have none: versions, packages, hashes, and what is only said of a secret."""

import pytest
from souk_monitor.decoding import bodies
from souk_monitor.events import ExceptionInfo, Frame, User
from souk_monitor.scrubbing import scrub
from unit.monitor.scrubs import event, left, scrubbed

DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
"""A SHA-256."""
HOST = "93.184.216.34"
"""An address that is no private one."""
DOTNET = "System.Private.CoreLib, Version=8.1.2.3, Culture=neutral, PublicKeyToken=7cec85d7bea7798e"
RELEASES = [
    "1.2.3.4", "v1.2.3.4", "Acme.Shop@1.2.3.4", "com.acme.shop@10.0.0.1+7", "backend-1.2.3.4", "my.app@1.2.3-beta.dev",
    "shop@2024.01.15.dev", "web@main.abc", "api@staging.build", DIGEST, f"shop@{DIGEST}",
]  # fmt: skip


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("field", ["release", "dist"])
def test_a_release_stays_however_it_is_written(field: str, release: str):
    made = scrubbed(**{field: release})
    assert getattr(made, field) == release
    assert made.scrubbed_fields == ()


@pytest.mark.parametrize("field", ["release", "dist"])
@pytest.mark.parametrize("secret", ["sk_live_abcdefgh12345678", "token: abcdef0123456", "0x" + "5e" * 32])
def test_a_secret_is_taken_out_of_a_release(field: str, secret: str):
    assert secret not in getattr(scrubbed(**{field: f"{secret}@1.2.3.4"}), field)
    assert secret not in getattr(scrubbed(**{field: f"shop@{secret}"}), field)


@pytest.mark.parametrize(
    "name",
    [
        "version", "Version", "app_version", "kernel_version", "service.version", "chrome.version", "FileVersion", "X-App-Version",
        "build", "app_build", "os.build_id", "buildNumber", "release", "versionName", "firmware",
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["1.2.3.4", "10.0.0.1", "my.app@1.2.3-beta.dev", "shop@main.abc"])
def test_the_value_of_a_field_that_is_called_a_version_stays(name: str, version: str):
    fields = {"tags": {name: version}, "contexts": {"os": {name: version}, "headers": [[name, version]]}, "extra": {name: version}}
    made, before = scrubbed(**fields), event(**fields)
    assert (made.tags, made.contexts, made.extra) == (before.tags, before.contexts, before.extra)
    assert made.scrubbed_fields == ()


@pytest.mark.parametrize("name", ["conversion", "address", "version_host", "client", "built"])
def test_a_field_that_is_not_called_a_version_has_an_address(name: str):
    assert scrubbed(extra={name: HOST, "pair": [name, HOST]}).extra == {name: "[ip]", "pair": [name, "[ip]"]}


def test_a_secret_is_taken_out_of_a_version():
    assert scrubbed(extra={"version": "1.2.3.4 password=hunter2"}).extra == {"version": "1.2.3.4 password=[secret]"}


def test_packages_that_are_installed_stay_with_their_versions_whatever_they_are_called():
    names = (
        "cookie", "express-session", "tough-cookie", "jsonwebtoken", "PyJWT", "tokenizers", "otp", "seed", "password-hash",
        "System.IdentityModel.Tokens.Jwt", "com.auth0:java-jwt", "org.springframework.session:spring-session-core",
    )  # fmt: skip
    modules = {**dict.fromkeys(names, "0.5.0"), "shop": "1.2.3.4", "web": "my.app@1.2.3-beta.dev", "none": None}
    made = scrubbed(contexts={"modules": modules, "os": {"name": "Linux"}, "x": {"modules": {"cookie": "0.5.0"}}})
    assert made.contexts["modules"] == modules
    assert list(made.contexts) == ["modules", "os", "x"]
    assert made.contexts["x"] == {"modules": {"cookie": "[secret]"}}  # of the program's own


def test_a_secret_is_taken_out_of_the_packages_that_are_installed():
    modules = {"shop": "ghp_abcdefghijklmnop01", "password=hunter2": "1", "list": [{"token": "hunter3"}]}
    made = scrubbed(contexts={"modules": modules})
    assert made.contexts["modules"] == {"shop": "[secret]", "password=[secret]": "1", "list": [{"token": "[secret]"}]}
    assert scrubbed(contexts={"modules": "at 93.184.216.34"}).contexts == {"modules": "at [ip]"}
    made = event(contexts={"modules": modules})
    scrub(made, bodies.encode(made), sensitive_fields=("modules",))
    assert made.contexts == {"modules": "[secret]"}


def test_assemblies_stay_with_their_versions_and_public_keys():
    frame = Frame("f", module=DOTNET, package=DOTNET)
    made = scrubbed(exceptions=(ExceptionInfo("E", f"Could not load file or assembly '{DOTNET}'", module=DOTNET, frames=(frame,)),))
    assert made.scrubbed_fields == ()


def test_a_secret_is_taken_out_of_the_name_of_a_binary():
    frames = (Frame("f", package="lib@main.abc"), Frame("g", package="/x?token=abcdef0123456", file=f"http://{HOST}/app.js"))
    made = scrubbed(stack=frames)
    assert [frame.package for frame in made.stack] == ["lib@main.abc", "/x?token=[secret]"]
    assert made.stack[1].file == "http://[ip]/app.js"


def test_a_name_of_words_stays_and_one_that_gives_a_value_does_not():
    extra = {"session:duration": 1234, "token:count": "x", "session=abcdef0123": 1, "session:8f14e45fceea167a": 1}
    made = scrubbed(extra={**extra, '{"password":"hunter2"}': ""})
    assert dict(list(made.extra.items())[:2]) == {"session:duration": 1234, "token:count": "x"}
    assert not [name for name in made.extra if "hunter2" in name or "abcdef" in name or "8f14" in name]


@pytest.mark.parametrize("name", ["container.id", "container_id", "user_id", "enduser.id", "image_id", "fingerprint"])
def test_an_id_of_64_digits_is_a_hash(name: str):
    assert scrubbed(contexts={"resource": {name: DIGEST}}, tags={name: DIGEST}).scrubbed_fields == ()


def test_a_user_may_be_known_by_a_hash_and_not_by_a_key_of_a_wallet():
    made = scrubbed(user=User(id=DIGEST, username="ada@example.dev"))
    assert made.user == User(id=DIGEST)
    assert made.scrubbed_fields == ("user.username",)
    assert scrubbed(user=User(id=f"0x{DIGEST}")).user == User()


@pytest.mark.parametrize(
    "text",
    ["container {} died", "/docker/{}", "docker-{}.scope", "containerd://{}", "containers/{}/{}-json.log", "Fingerprint: {}"],
)
def test_what_is_said_of_a_container_is_its_id(text: str):
    assert left(text.format(DIGEST, DIGEST)) == text.format(DIGEST, DIGEST)


def test_a_key_is_none_the_less_a_secret_of_a_container():
    assert left(f"unlock with key of container {DIGEST}") == "unlock with key of container [secret]"


@pytest.mark.parametrize(
    "text",
    [
        "gen_ai.usage.input_tokens=5120, tokens_per_second: 17",
        "tokenizer: gpt2",
        "token_version=17, session_ttl=3600, cookie_domain=.shop.example",
        'secrets "shop-db" not found',
        'WWW-Authenticate: Bearer authorization_uri="https://login.example/x"',
        "cookies: {}",
    ],
)
def test_what_is_said_of_a_secret_is_none(text: str):
    assert left(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('secret "hunter2x" is wrong', 'secret "[secret]" is wrong'),
        ("cookies: {'sid': 'abcdef'}", "cookies: {'sid': '[secret]'}"),
        ("cookies: {} sid=abcdef0123", "cookies: [secret]"),
        ("Bearer abcdefgh_0123=", "Bearer [secret]"),
        ("cached_tokens=abcdef0123", "cached_tokens=[secret]"),
    ],
)
def test_a_secret_beside_what_is_said_of_one_is_none_the_less(text: str, clean: str):
    assert left(text) == clean
