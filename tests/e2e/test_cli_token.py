"""`souk token create`: what it makes is what the services take."""

import stat

import pictures
from certificates import new_authority
from souk_command import souk


async def test_a_new_token_opens_what_its_scopes_say_and_nothing_else(start, tmp_path):
    file = tmp_path / "tokens.yaml"
    writer = await souk("token", "create", "shop", "--scope", "imaging.write", "--scope", "imaging.read", "--file", file)
    reader = await souk("token", "create", "site", "--scope", "imaging.read", "--file", file, "--json")
    assert (writer.status, reader.status) == (0, 0)
    assert reader.json()["scopes"] == ["imaging.read"]
    token = writer.out.strip()
    assert token.startswith("souk_")
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]

    service = await start(auth_file=file)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(pictures.jpeg(64, 48))
    upload = ("image", "upload", photo, "--profile", "avatar", "--address", service.grpc)
    assert (await souk(*upload, SOUK_TOKEN=token)).status == 0
    assert (await souk("image", "list", "--address", service.grpc, "--token", reader.json()["token"])).status == 0
    denied = await souk(*upload, SOUK_TOKEN=reader.json()["token"])
    assert (denied.status, "SCOPE_MISSING" in denied.err, "--scope imaging.write" in denied.err) == (1, True, True)
    without = await souk("image", "list", "--address", service.grpc)
    assert (without.status, "--token or SOUK_TOKEN" in without.err) == (1, True)


async def test_what_stands_in_the_file_stays(tmp_path):
    file = tmp_path / "tokens.yaml"
    before = "# ours\nprincipals:\n  - name: old\n    scopes: [imaging.read]  # kept\n    certificates: [shop.example]\n"
    file.write_text(before)
    file.chmod(0o640)
    assert (await souk("token", "create", "new", "--scope", "imaging.read", "--file", file)).status == 0
    assert file.read_text().startswith(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


async def test_a_name_that_is_taken_and_a_file_that_is_something_else_are_left_alone(tmp_path):
    file = tmp_path / "tokens.yaml"
    await souk("token", "create", "shop", "--scope", "imaging.read", "--file", file)
    before = file.read_text()
    taken = await souk("token", "create", "shop", "--scope", "imaging.read", "--file", file)
    assert (taken.status, "already" in taken.err, file.read_text() == before) == (1, True, True)
    other = tmp_path / "compose.yaml"
    other.write_text("services: {}\n")
    refused = await souk("token", "create", "shop", "--scope", "imaging.read", "--file", other)
    assert (refused.status, "not an auth file" in refused.err, other.read_text()) == (1, True, "services: {}\n")


async def test_the_hint_names_the_services_of_the_scopes(tmp_path):
    file = tmp_path / "tokens.yaml"
    cache = await souk("token", "create", "a", "--scope", "cache.read", "--scope", "cache.write", "--file", file)
    both = await souk("token", "create", "b", "--scope", "cache.read", "--scope", "imaging.read", "--file", file)
    assert f"Start services with SOUK_CACHE_AUTH_FILE={file}\n" in cache.err
    assert f"SOUK_CACHE_AUTH_FILE={file} SOUK_IMAGING_AUTH_FILE={file}\n" in both.err


async def test_a_scope_that_is_none_is_a_usage_error(tmp_path):
    result = await souk("token", "create", "shop", "--scope", "everything", "--file", tmp_path / "t", COLUMNS="200")
    assert (result.status, "service.right" in result.err) == (2, True)


async def test_with_mtls_the_command_shows_its_certificate(start, tmp_path):
    certificates = new_authority(tmp_path / "ca")
    cert, key = certificates.issue("localhost", "127.0.0.1")
    own_cert, own_key = certificates.issue("shop.example")
    service = await start(tls_cert_file=cert, tls_key_file=key, tls_client_ca_file=certificates.ca)
    listing = ("image", "list", "--address", service.grpc, "--tls-ca", certificates.ca)
    assert (await souk(*listing, "--tls-cert", own_cert, "--tls-key", own_key)).status == 0
    assert (await souk(*listing)).status == 1
    half = await souk(*listing, "--tls-cert", own_cert)
    assert (half.status, "--tls-cert and --tls-key are given together" in half.err) == (2, True)
    gone = await souk(*listing, "--tls-cert", tmp_path / "gone", "--tls-key", own_key)
    assert (gone.status, f"{tmp_path / 'gone'}: No such file" in gone.err.replace("\n", "")) == (1, True)
