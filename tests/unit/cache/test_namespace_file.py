"""Namespaces from YAML: what is shipped, what a file adds and changes, and what it is told where it is wrong."""

from pathlib import Path

import pytest
from souk_cache.adapters.namespace_file import load
from souk_cache.namespaces import Consistency, Namespaces


def read(path: Path | None) -> Namespaces:
    return load(path, max_message_bytes=4 * 1024 * 1024)


def told(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file, by line, without its name."""
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ValueError) as refused:
        read(file)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_a_file_adds_namespaces_and_changes_shipped_ones_field_by_field(tmp_path: Path):
    file = tmp_path / "own.yaml"
    file.write_text("namespaces: {product: {ttl: 90s}, cart: {ttl: 500ms, consistency: available, jitter: 0}}")
    known, shipped = read(file), read(None)
    assert {each.name for each in known.all()} == {each.name for each in shipped.all()} | {"cart"}
    assert (known.get("product").ttl, known.get("product").stale_for) == (90.0, shipped.get("product").stale_for)
    cart = known.get("cart")
    assert (cart.ttl, cart.consistency, cart.jitter, cart.negative_ttl) == (0.5, Consistency.AVAILABLE, 0.0, 30.0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("3h", 10_800), ("2d", 172_800), ("7", 7)]
)
def test_spans_have_units_or_are_seconds(tmp_path: Path, text: str, seconds: float):
    file = tmp_path / "own.yaml"
    file.write_text(f"namespaces: {{cart: {{ttl: {text}}}}}")
    assert read(file).get("cart").ttl == seconds


SPAN = "must be a span such as 500ms, 30s, 5m, 2h or 1d"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("{}", "ttl: must be given"),
        ("{ttl: 5x}", f"ttl: {SPAN}, more than 0, at most 30d"),
        ("{ttl: -5s}", f"ttl: {SPAN}, more than 0, at most 30d"),
        ("{ttl: true}", f"ttl: {SPAN}, more than 0, at most 30d"),
        ("{ttl: 0}", "ttl: must be more than 0, at most 30d"),
        ("{ttl: -5}", "ttl: must be more than 0, at most 30d"),
        ("{ttl: 31d}", "ttl: must be more than 0, at most 30d"),
        ("{ttl: .nan}", "ttl: must be more than 0, at most 30d"),
        ("{ttl: 1m, negative_ttl: 0s}", "negative_ttl: must be more than 0, at most 1d"),
        ("{ttl: 1m, stale_for: -1}", "stale_for: must be at least 0, at most 30d"),
        ("{ttl: 1m, jitter: 1.5}", "jitter: must be at least 0, at most 0.5"),
        ("{ttl: 1m, jitter: some}", "jitter: must be a number"),
        ("{ttl: 1m, refresh_beta: 11}", "refresh_beta: must be at least 0, at most 10"),
        ("{ttl: 1m, load_lease: 1h}", "load_lease: must be more than 0, at most 5m"),
        ("{ttl: 1m, unverified_ttl: 2h}", "unverified_ttl: must be more than 0, at most 1h"),
        ("{ttl: 1m, bucket_grace: 2d}", "bucket_grace: must be at least 0, at most 1d"),
        ("{ttl: 1m, max_value_bytes: 1MB}", "max_value_bytes: must be a whole number"),
        ("{ttl: 1m, max_value_bytes: 20000000}", "max_value_bytes: must be more than 0, at most 16,777,216"),
        (
            "{ttl: 1m, max_value_bytes: 4161537}",
            "max_value_bytes: must be at most 4,161,536 where SOUK_CACHE_MAX_MESSAGE_BYTES is 4,194,304",
        ),
        ("{ttl: 1m, compress: zstd}", "compress: must be true or false"),
        ("{ttl: 1m, consistency: maybe}", "consistency: must be strict or available"),
        ("{ttl: 1m, warm: {hottest: -1}}", "warm.hottest: must be at least 0, at most 100,000"),
        ("{ttl: 1m, warm: {coldest: 1}}", "warm.coldest: there is no such field; those there are: hottest"),
        ("{ttl: 1m, aliases: {Slug: {}}}", "aliases.Slug: must be a name that matches ^[a-z][a-z0-9_]{0,31}$"),
        ("{ttl: 1m, aliases: {slug: {case: no}}}", "aliases.slug.case: there is no such field; those there are: ignore_case"),
        ("{ttl: 1m, time_buckets: true, aliases: {slug: {}}}", "aliases: must be none where time_buckets is true"),
        ("{ttl: 1m, loader: {target: 'a:1'}}", "loader.method: must be given"),
        ("{ttl: 1m, loader: {method: a.B/C}}", "loader.target: must be given"),
        ("{ttl: 1m, loader: {target: '', method: a.B/C}}", "loader.target: must not be empty"),
        ("{ttl: 1m, loader: {target: 'a:1', method: Load}}", "loader.method: must be a method, as package.Service/Method"),
        (
            "{ttl: 1m, loader: {target: 'a:1', method: a.B/C, concurrency: 0}}",
            "loader.concurrency: must be at least 1, at most 1,000",
        ),
        (
            "{ttl: 1m, loader: {target: 'a:1', method: a.B/C, hard_timeout: soon}}",
            f"loader.hard_timeout: {SPAN}, more than 0, at most 1m",
        ),
        (
            "{ttl: 1m, loader: {target: 'a:1', method: a.B/C, tls: {key: x}}}",
            "loader.tls.key: there is no such field; those there are: ca_file, cert_file, key_file, server_name",
        ),
    ],
)
def test_a_field_that_is_wrong_is_named_with_what_is_allowed(tmp_path: Path, fields: str, says: str):
    assert f"namespace cart: {says}" in told(tmp_path, f"namespaces: {{cart: {fields}}}")


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path):
    lines = told(tmp_path, "namespaces: {cart: {ttl: 1m, tll: 1m, jitter: 2}, Basket: {ttl: 1m}, product: {ttl: soon}}")
    assert len(lines) == 4
    assert lines[0] == f"namespace product: ttl: {SPAN}, more than 0, at most 30d"
    assert {line.split(": ")[1] for line in lines[1:3]} == {"tll", "jitter"}
    assert lines[3].startswith("namespace 'Basket': its name must be a-z, 0-9 and _")


@pytest.mark.parametrize("text", ["", "product: {ttl: 1m}", "namespaces: [product]", "namespaces: {product: 5m}", "a: ["])
def test_what_is_no_file_of_namespaces_is_told_with_its_name(tmp_path: Path, text: str):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml: "):
        read(file)
