"""Query files: what a header says, what a statement may be, and what is told where they are wrong."""

from importlib import resources
from pathlib import Path

import pytest
from souk_dbopt.adapters.query_file import load, read
from souk_dbopt.consistency import POSITION
from souk_dbopt.exceptions import CatalogueError
from souk_dbopt.query_classes import CLASSES

HEADER = """-- name: cart.get
-- version: 1
-- description: A cart.
-- class: lookup
"""
ARRAY = (
    "SELECT CASE WHEN pg_column_size(json_agg(q)) > 3145732 THEN NULL ELSE coalesce(json_agg(q), '[]')::text END AS rows, "
    f"count(*)::integer AS row_count, {POSITION}"
)
ROWS = "SELECT CASE WHEN pg_column_size(object) > 3145732 THEN NULL ELSE object::text END FROM (SELECT to_json(q) AS object"
PARAMETER = "-- parameters: {cart_id: {type: bigint, description: The cart.}}\n"


def parameter(fields: str) -> str:
    """A file with a parameter `a` in line 6."""
    return f"{HEADER}-- parameters:\n--   a: {{{fields}}}\nSELECT :a"


def told(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as refused:
        read(text, "cart.sql")
    assert all(problem.startswith("cart.sql:") for problem in refused.value.problems)
    return [problem.removeprefix("cart.sql:") for problem in refused.value.problems]


def test_a_file_is_a_header_and_a_statement_with_names_for_its_parameters():
    found = read(
        """
-- name: cart.get
-- version: 3
-- description: |
--   A cart,
--   with its lines.
-- class: lookup
-- timeout: 500ms
-- one_row: true
-- parameters:
--   cart_id: {type: bigint, description: The cart.}
--   size: {type: int, default: 20, min: 1, max: 100, description: How many., sensitive: true}
-- columns: {cart_id: bigint, items: json}
-- cache: {namespace: carts, ttl: 5m, key: "{cart_id}"}
-- tags: ["cart:{cart_id}", "seller:{items}"]

-- What is left out: ':x'
SELECT c.cart_id, c.items::json /* :y */, ':z', $$ :size $$, ":a" FROM carts c
WHERE cart_id = :cart_id AND c.n <= :size OR :cart_id::bigint IS NULL;
-- the end
""",
        "cart.sql",
    )
    assert (found.name, found.version, found.description) == ("cart.get", 3, "A cart,\nwith its lines.\n")
    assert (found.query_class, found.timeout, found.one_row, found.source) == (CLASSES["lookup"], 0.5, True, "cart.sql")
    assert found.text == (
        "SELECT c.cart_id, c.items::json /* :y */, ':z', $$ :size $$, \":a\" FROM carts c\n"
        "WHERE cart_id = $1 AND c.n <= $2 OR $1::bigint IS NULL"
    )
    assert [(each.name, each.type, each.default, each.sensitive) for each in found.parameters] == [
        ("cart_id", "bigint", None, False),
        ("size", "int", 20, True),
    ]
    assert found.cache is not None
    assert (found.cache.namespace, found.cache.ttl, found.cache.key) == ("carts", 300.0, "{cart_id}")
    assert found.tags == ("cart:{cart_id}", "seller:{items}")
    assert (found.is_write, found.idempotent) == (False, True)
    assert found.json_text == f"{ARRAY} FROM (\n{found.text}\n) q"


@pytest.mark.parametrize(
    ("statement", "wrapped"),
    [
        ("INSERT INTO a VALUES (1) RETURNING b", "WITH souk_rows AS (\nINSERT INTO a VALUES (1) RETURNING b\n)\n{}"),
        (
            "WITH x (a, b) AS MATERIALIZED (SELECT (1), 2), y AS (DELETE FROM a RETURNING *) SELECT * FROM y",
            (
                "WITH x (a, b) AS MATERIALIZED (SELECT (1), 2), y AS (DELETE FROM a RETURNING *), souk_rows AS (\n"
                "SELECT * FROM y\n)\n{}"
            ),
        ),
        (
            "WITH x AS (SELECT 1) UPDATE a SET b = 1 FROM x RETURNING b",
            "WITH x AS (SELECT 1), souk_rows AS (\nUPDATE a SET b = 1 FROM x RETURNING b\n)\n{}",
        ),
    ],
)
def test_rows_of_a_write_leave_as_json_from_the_last_part_of_its_with_clause(statement: str, wrapped: str):
    found = read(f"{HEADER.replace('lookup', 'write')}-- write: true\n{statement}", "cart.sql")
    assert found.json_text == wrapped.format(f"{ARRAY} FROM souk_rows q")
    assert found.json_rows_text == wrapped.format(f"{ROWS} FROM souk_rows q OFFSET 0) r")
    assert not found.idempotent


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["1: must begin with a header of comments, as `-- name: product.get`"]),
        ("\nSELECT 1", ["2: must begin with a header of comments, as `-- name: product.get`"]),
        ("-- name: [\nSELECT 1", ["1: the header is no YAML: expected the node content, but found '<stream end>'"]),
        ("-- a title\nSELECT 1", ["1: the header must be fields, as `name: product.get`"]),
        (HEADER, ["4: there is no statement"]),
        (f"{HEADER}SELECT 1;\nSELECT 2", ["6: there is a second statement"]),
        (f"{HEADER}SELECT 1; -- :x\n/* ; */ ;\n", None),
        (f"{HEADER}SELECT 'a", ["5: the string does not end"]),
        (f"{HEADER}TRUNCATE a", ["5: must be SELECT, VALUES, WITH, INSERT, UPDATE, DELETE or MERGE"]),
        (f"{HEADER}SELECT\n $1", ["6: $1: parameters have names, as :product_id"]),
        (
            f"{HEADER}SELECT\n:a, a[1:n], :a",
            [
                "6: :a is not among the parameters of the header (an array's slice is written [1 : a])",
                "6: :n is not among the parameters of the header (an array's slice is written [1 : n])",
            ],
        ),
        (f"{HEADER}{PARAMETER}SELECT ':cart_id' -- :cart_id", ["5: parameters.cart_id: the statement does not use it"]),
        (f"{HEADER}-- name: other.name\nSELECT 1", ["5: name: is given twice"]),
        (
            f"{HEADER}-- colour: red\nSELECT 1",
            ["5: colour: there is no such field; those there are: name, version, description, class, "],
        ),
        (HEADER.replace("-- description: A cart.\n", "") + "SELECT 1", ["1: description: must be given"]),
        (HEADER.replace("A cart.", "''") + "SELECT 1", ["3: description: must not be empty"]),
        (HEADER.replace("cart.get", "Cart") + "SELECT 1", ["1: name: must be dotted names of a-z, 0-9 and _, as product.get"]),
        (HEADER.replace("1", "1.5") + "SELECT 1", ["2: version: must be a valid integer"]),
        (HEADER.replace("1", "0") + "SELECT 1", ["2: version: must be greater than or equal to 1"]),
        (HEADER.replace("lookup", "fast") + "SELECT 1", ["4: class: must be lookup, listing, search, analytics or write"]),
        (f"{HEADER}-- timeout: 5\nSELECT 1", ["5: timeout: must be a span such as 500ms, 30s, 5m, 2h or 1d"]),
        (f"{HEADER}-- timeout: 5m\nSELECT 1", ["5: timeout: must be at most that of class lookup, 2s"]),
        (
            f"{HEADER}{PARAMETER.replace('bigint', 'long')}SELECT :cart_id",
            ["5: parameters.cart_id.type: must be one of bool, int, bigint, "],
        ),
        (parameter("type: int"), ["6: parameters.a.description: must be given"]),
        (parameter("type: int,\n--     large: 1, description: x"), ["7: parameters.a.large: there is no such field"]),
        (parameter('type: int, pattern: "1", description: x'), ["6: parameters.a: pattern: is a limit of a text, and this is int"]),
        (
            parameter('type: text, pattern: "[a", description: x'),
            ["6: parameters.a.pattern: must be a regular expression: unterminated character set at position 0"],
        ),
        (parameter("type: text, min: 1, description: x"), ["6: parameters.a: min: is a limit of a number, and this is text"]),
        (
            parameter("type: int, max_items: 1, description: x"),
            ["6: parameters.a: max_items: is a limit of an array, and this is int"],
        ),
        (parameter("type: int, max: 9, default: 10, description: x"), ["6: parameters.a.default: must be at most 9"]),
        (parameter("type: 'int[]', as_many_as: b, description: x"), ["6: parameters.a.as_many_as: must be another array"]),
        (f"{HEADER}-- tags: ['a:{{b}}']\nSELECT 1", ["5: tags.0: b must be a parameter or a declared column"]),
        (
            f"{HEADER}-- columns: {{b: json, c: int}}\n-- tags: ['a:{{b.x}}', 'a:{{c.x}}', 'a:{{d.x}}']\nSELECT 1",
            ["6: tags.1: c must be a declared column of JSON", "6: tags.2: d must be a declared column of JSON"],
        ),
        (f"{HEADER}-- cache: {{key: x}}\nSELECT 1", ["5: cache.namespace: must be given"]),
        (
            f"{HEADER}-- columns: {{b: int}}\n-- cache: {{namespace: a, key: '{{b}}'}}\nSELECT 1",
            ["6: cache.key: b must be a parameter"],
        ),
        (
            f"{HEADER}-- columns: {{b: int}}\n-- page: {{size: c, after: {{d: e}}}}\nSELECT 1",
            [
                "6: page.size: c must be a parameter",
                "6: page.after: d must be nullable",
                "6: page.after: e must be a declared column",
            ],
        ),
        (
            f"{HEADER}-- write: true\nDELETE FROM a",
            ["6: must return rows, by RETURNING or a SELECT in the end", "4: class: must be write where write is true"],
        ),
        (
            f"{HEADER.replace('lookup', 'write')}SELECT 1",
            ["4: class: must be lookup, listing, search, analytics where write is false"],
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_field(text: str, says: list[str] | None):
    if says is None:
        assert read(text, "cart.sql").text == "SELECT 1"
        return
    problems = told(text)
    assert len(problems) == len(says)
    for problem, expected in zip(problems, says, strict=True):
        assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("statement", "effect"),
    [
        ("INSERT INTO a VALUES (1) RETURNING b", "INSERT"),
        ("UPDATE a SET b = 1 RETURNING b", "UPDATE"),
        ('update only "A" set b = 1 returning b', "UPDATE"),
        ("DELETE FROM a RETURNING b", "DELETE"),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE RETURNING c", "MERGE"),
        ("WITH x AS (INSERT INTO a VALUES (1) RETURNING b) SELECT * FROM x", "INSERT"),
        ("WITH x AS (SELECT 1)\nDELETE FROM a", "DELETE"),
        ("WITH x AS (/* c */ UPDATE a SET b = 1 RETURNING b) TABLE x", "UPDATE"),
        ("SELECT 1 FROM a FOR UPDATE", "FOR UPDATE"),
        ("SELECT 1 FROM a FOR no KEY UPDATE OF a", "FOR NO KEY UPDATE"),
        ("SELECT 1 FROM a FOR SHARE", "FOR SHARE"),
        ("SELECT 1 FROM a FOR KEY SHARE SKIP LOCKED", "FOR KEY SHARE"),
        ("SELECT 1 INTO b FROM a", "SELECT INTO"),
        ("SELECT nextval('s')", "nextval()"),
        ("SELECT pg_catalog.setval ('s', 1)", "setval()"),
        ("SELECT * FROM set_config('a', 'b', false)", "set_config()"),
        ("SELECT pg_advisory_lock(1)", "pg_advisory_lock()"),
        ("SELECT lo_unlink(1)", "lo_unlink()"),
        ("SELECT * FROM dblink('x', 'y') AS t (a int)", "dblink()"),
    ],
)
def test_what_changes_something_is_no_read(statement: str, effect: str):
    assert any(problem.endswith(f"{effect} is no read: the header must say write: true") for problem in told(HEADER + statement))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'INSERT INTO a', \"update\", u.delete, update, nextval FROM u -- FOR UPDATE",
        "SELECT substring(a FOR 2), (update), $$ DELETE FROM a $$ FROM u",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1), (2)",
        "SELECT last_update, insert_time, set_config FROM u",
    ],
)
def test_what_only_looks_like_a_change_is_a_read(statement: str):
    assert read(HEADER + statement, "cart.sql").text == statement.split(" --")[0]


def own(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.sql").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.sql").write_text(text)
    return folder


def refused(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as error:
        load(folder)
    return [problem.removeprefix(f"{folder}/") for problem in error.value.problems]


def test_a_folder_of_ones_own_is_beside_the_shipped_one(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    catalogue = load(own(tmp_path, a=f"{HEADER}SELECT 1", **{"deep/b": HEADER.replace("cart.get", "cart.list") + "SELECT 2"}))
    assert {query.name for query in catalogue} == {query.name for query in load()} | {"cart.get", "cart.list"}
    assert catalogue.get("cart.list").source == str(tmp_path / "deep" / "b.sql")


def test_everything_that_is_wrong_in_a_folder_is_told_at_once(tmp_path: Path):
    second = HEADER.replace("1", "2")
    folder = own(tmp_path, a=f"{HEADER}SELECT 1", b=f"{HEADER}SELECT 2", c=f"{HEADER}SELECT", d="", e=f"{second}SELECT 3")
    (tmp_path / "f.sql").write_bytes(b"\xff")
    assert refused(folder) == [
        f"b.sql: name: cart.get of version 1 is in {folder / 'a.sql'}, too",
        f"c.sql: name: cart.get of version 1 is in {folder / 'a.sql'}, too",
        "d.sql:1: must begin with a header of comments, as `-- name: product.get`",
        "f.sql: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ]
    assert refused(tmp_path / "none") == [f"{tmp_path / 'none'}: there is no such folder"]


SELLER = """-- name: seller.by_slug
-- version: 1
-- description: Ours.
-- class: listing
-- parameters: {slug: {type: text, description: Its name.}, lang: {type: text, default: en, description: Its language.}}
-- columns: {seller_id: bigint, user_id: bigint, name: text, slug: text, country: text, is_active: bool, created_at: timestamptz,
--   items_sold: bigint, rating: numeric, rating_count: bigint, more: text}
SELECT * FROM ours WHERE slug = :slug AND lang = :lang
"""


def test_a_query_in_place_of_a_shipped_one_keeps_what_it_takes_and_gives(tmp_path: Path):
    found = load(own(tmp_path, seller=SELLER)).get("seller.by_slug")
    assert (found.description, found.query_class.name) == ("Ours.", "listing")
    assert len([each for each in load(tmp_path) if each.name == "seller.by_slug"]) == 1
    changed = SELLER.replace("slug: {type: text", "slug: {type: bigint").replace("default: en, ", "").replace("name: text, ", "")
    whose = "for it is in place of the shipped seller.by_slug"
    assert refused(own(tmp_path, seller=changed)) == [
        f"seller.sql: parameters: must have slug of type text, {whose}",
        "seller.sql: parameters.lang: must be nullable or have a default, for the shipped seller.by_slug does not take it",
        f"seller.sql: columns: must declare name of type text, {whose}",
    ]


def test_a_query_in_place_of_one_that_callers_repeat_can_be_repeated(tmp_path: Path):
    shipped = (resources.files("souk_dbopt") / "queries" / "order.place.sql").read_text()
    (tmp_path / "order.place.sql").write_text(shipped.replace("-- idempotent: true\n", ""))
    with pytest.raises(CatalogueError, match="idempotent: must be true, as in the shipped"):
        load(tmp_path)


def test_a_query_in_place_of_a_page_stays_one(tmp_path: Path):
    text = (Path(__file__).parents[3] / "services/dbopt/src/souk_dbopt/queries/review.list.sql").read_text()
    page = next(line for line in text.splitlines() if line.startswith("-- page: "))
    changed = text.replace(page + "\n", "").replace("default: 50, ", "")
    assert refused(own(tmp_path, reviews=changed)) == [
        "reviews.sql: parameters.page_size: must be nullable or have a default, as in the shipped review.list",
        "reviews.sql: page: must be as in the shipped review.list",
    ]


UNCACHED = ("product.record_views", "product.refresh_popularity")
"""What they change is in the cache until its time is over."""


def test_the_shipped_queries_are_those_of_a_marketplace():
    assert {query.name for query in load()} == {
        *(
            "product.list_newest",
            "product.list_cheapest",
            "product.list_dearest",
            "product.list_popular",
            "product.search",
            "product.get",
        ),
        *("product.sales", "product.create", "product.set_stock", "product.update_price", "review.list", "review.add"),
        *("product.record_views", "product.refresh_popularity"),
        *("user.get", "user.by_wallet", "user.by_ens_name", "user.rename", "seller.by_slug", "seller.dashboard", "category.list"),
        *("order.list", "order.get", "order.place", "analytics.sales", "analytics.trending"),
    }
    for query in load():
        assert query.tags or query.name in UNCACHED
        assert (query.cache is None) == query.is_write
        if query.page is not None:
            (size,) = (each for each in query.parameters if each.name == query.page.size)
            assert size.max is not None
            assert size.max <= 201


def test_the_example_of_the_documentation_is_a_query():
    page = (Path(__file__).parents[3] / "docs" / "dbopt.md").read_text()
    found = read(page.split("```sql\n")[1].split("```")[0], "cart.sql")
    assert [each.name for each in found.parameters] == ["cart_id", "lines"]
    assert all(f"`{query.name}`" in page or f"`_{query.name.split('_')[-1]}`" in page for query in load())
