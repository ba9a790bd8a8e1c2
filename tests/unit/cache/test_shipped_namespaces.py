"""The namespaces that are shipped, the page about them, and the aliases of users."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import souk_cache
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_cache.adapters.namespace_file import load
from souk_cache.exceptions import AliasKindUnknownError
from souk_cache.namespaces import Namespace

PAGE = (Path(__file__).parents[3] / "docs" / "cache.md").read_text()
SHIPPED = (Path(souk_cache.__file__).parent / "namespaces.yaml").read_text()
MESSAGE_BYTES = 4 * 1024 * 1024
SPACES = {space.name: space for space in load(None, max_message_bytes=MESSAGE_BYTES).all()}
USER = SPACES["user"]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def table() -> dict[str, dict[str, str]]:
    """The page's table: namespace -> column -> cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
    head = next(index for index, row in enumerate(rows) if row[0] == "namespace")
    columns = [name.strip("`") for name in rows[head]]
    return {row[0].strip("`"): dict(zip(columns, row, strict=True)) for row in rows[head + 1 :] if len(row) == len(columns)}


def seconds(cell: str) -> float:
    return 0.0 if cell == "–" else float(cell[:-1]) * _UNITS[cell[-1]]


def test_the_table_of_the_page_has_every_shipped_namespace():
    assert set(table()) == set(SPACES)


@pytest.mark.parametrize("name", SPACES)
def test_the_table_of_the_page_says_what_is_shipped(name: str):
    row, space = table()[name], SPACES[name]
    assert {column: seconds(row[column]) for column in ("ttl", "negative_ttl", "stale_for")} == {
        "ttl": space.ttl,
        "negative_ttl": space.negative_ttl,
        "stale_for": space.stale_for,
    }
    assert (float(row["jitter"]), float(row["refresh_beta"])) == (space.jitter, space.refresh_beta)
    assert row["without Redis"] == space.consistency.value
    assert set(re.findall(r"`(\w+):", row["key, and other names"])) == set(space.aliases)
    assert ("`<what>@<start>/<duration>`" in row["key, and other names"]) == space.time_buckets
    (tags,) = re.findall(rf"^  {name}: # .*; tags (.*)$", SHIPPED, re.MULTILINE)
    assert row["tags"].replace("`", "") == tags
    assert space.loader is None


def test_the_example_of_the_page_is_a_file_that_is_taken_and_names_every_field(tmp_path: Path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "own.yaml"
    file.write_text(example)
    known = load(file, max_message_bytes=MESSAGE_BYTES)
    assert known.get("product").loader is not None
    assert known.get("downloads").time_buckets
    named = {field for space in yaml.safe_load(example)["namespaces"].values() for field in space}
    assert named == {each.name for each in fields(Namespace)} - {"name", "warm_hottest"} | {"warm"}


HEX = st.text("0123456789abcdef", min_size=40, max_size=40)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@settings(max_examples=30)
@given(HEX, st.data())
def test_a_wallet_is_one_whatever_its_checksum_makes_of_its_letters(digits: str, data: st.DataObject):
    capitals = data.draw(st.lists(st.booleans(), min_size=40, max_size=40))
    checksummed = "".join(each.upper() if up else each for each, up in zip(digits, capitals, strict=True))
    assert USER.alias(f"wallet:0x{checksummed}") == f"wallet:0x{digits}"


@given(NAMES)
def test_an_alias_as_it_is_compared_stays_as_it_is(name: str):
    once = USER.alias(f"ens:{name}")
    assert USER.alias(once) == once
    assert once == f"ens:{name}" or any("A" <= letter <= "Z" for letter in name)


@given(NAMES, NAMES)
def test_two_names_are_one_only_where_capitals_of_a_to_z_are_what_differs(one: str, other: str):
    same = USER.alias(f"ens:{one}") == USER.alias(f"ens:{other}")
    assert same == (one.encode().lower() == other.encode().lower())


@pytest.mark.parametrize(("one", "other"), [("faß.eth", "fass.eth"), ("σ.eth", "ς.eth"), ("\u212a.eth", "k.eth")])
def test_names_that_may_belong_to_two_people_are_two(one: str, other: str):
    assert USER.alias(f"ens:{one}") != USER.alias(f"ens:{other}")


@pytest.mark.parametrize("alias", ["", ":", "ens:", "ens", ":anna.eth", "Ens:anna.eth", "phone:1"])
def test_what_is_no_alias_of_the_namespace_is_refused(alias: str):
    with pytest.raises(AliasKindUnknownError, match=r"wallet:…, ens:…"):
        USER.alias(alias)


def test_case_counts_where_the_namespace_does_not_say_otherwise():
    space = Namespace("shop", ttl=1.0, aliases={"slug": False})
    assert space.alias("slug:Shoes") != space.alias("slug:shoes")
