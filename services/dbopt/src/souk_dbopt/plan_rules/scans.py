"""Rules about how tables are read."""

import re
from collections.abc import Iterator

from souk_dbopt.plan_rules.conditions import alternatives, compared, expressions
from souk_dbopt.plan_rules.findings import Facts, Finding, create_index, is_scan, number, of, plain_columns, quoted
from souk_dbopt.plans import Plan, PlanNode

SEQ_SCAN_ROWS = 10_000
"""Rows that a sequential scan may discard."""
FILTER_ROWS = 1_000
"""The same of a scan by an index."""
DISCARDED_SHARE = 0.9
"""Of the rows that were read."""
LIMIT_ROWS = 5_000
"""Rows that may be discarded before a LIMIT has its own."""
OFFSET_ROWS = 1_000
"""Rows that OFFSET may skip."""
HEAP_FETCHES, HEAP_FETCH_SHARE = 1_000, 0.2
"""Of an index-only scan."""
LOSSY_BLOCKS, LOSSY_SHARE = 100, 0.1
"""Of a bitmap."""
TOP_ROWS = 10_000
"""Rows that may be read to sort out a few."""
_CAST = re.compile(
    r"\(\((?P<column>[^()' ]+)\)::(?P<type>[a-z][a-z ]*[a-z])(?:\([0-9,]+\))? (?P<operator>=|<=|>=|<|>) ", re.IGNORECASE
)
_RELABELS = frozenset({"text", "character varying", "bpchar"})
"""Casts that cost nothing and stand in no index's way, where the column is a varchar."""
_ENDS_ORDER = frozenset({"Sort", "Incremental Sort", "Aggregate", "Hash", "Hash Join", "WindowAgg", "Unique"})


def seq_scan_discards_rows(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A whole table is read for a few of its rows."""
    for node in plan.nodes():
        if node.type != "Seq Scan" or not _discards(node, SEQ_SCAN_ROWS):
            continue
        indexes = _indexes(node.conditions["Filter"])
        yield Finding(
            rule="SEQ_SCAN_DISCARDS_ROWS",
            message=f"{number(node.removed_by_filter)} rows of {of(node)} were read and discarded to find {number(node.rows)}: "
            f"{node.conditions['Filter']}",
            fix=_index_advice(node, indexes),
            fix_sql="; ".join(create_index(node, each) for each in indexes),
            node=node.place,
            weight=node.share,
            evidence={"rows": number(node.rows), "rows_removed": number(node.removed_by_filter)},
        )


def filter_could_be_index_condition(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """An index finds many rows, and a filter discards most of them."""
    in_order = {node.place for _, node in _read_for_limit(plan)}
    for node in plan.nodes():
        by_index = node.type in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan")
        if not by_index or node.place in in_order or not _discards(node, FILTER_ROWS):
            continue
        equal, ranged = compared(node.conditions.get("Filter", ""))
        known, known_range = compared(node.conditions.get("Index Cond", node.conditions.get("Recheck Cond", "")))
        columns = list(dict.fromkeys([*known, *equal, *known_range, *ranged]))
        yield Finding(
            rule="FILTER_COULD_BE_INDEX_CONDITION",
            message=f"the index found {number(node.rows + node.removed_by_filter)} rows of {of(node)}, of which the filter "
            f"discarded {number(node.removed_by_filter)}: {node.conditions['Filter']}",
            fix="Have what the filter compares in the index, too.",
            fix_sql=create_index(node, columns if equal or ranged else []),
            node=node.place,
            weight=node.share,
            evidence={"rows": number(node.rows), "rows_removed": number(node.removed_by_filter), "index": node.index},
        )


def limit_on_wrong_index(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """An index is read in its order until enough rows pass a filter, and few do."""
    for limit, node in _read_for_limit(plan):
        if not _discards(node, LIMIT_ROWS):
            continue
        equal, _ = compared(node.conditions.get("Filter", ""))
        yield Finding(
            rule="LIMIT_ON_WRONG_INDEX",
            message=f"{number(node.removed_by_filter)} rows of {of(node)} were read in their order and discarded, until "
            f"{number(limit.rows)} for the LIMIT were found: {node.conditions['Filter']}",
            fix="Give it an index that begins with what the filter compares, and goes on in the order that is asked for.",
            node=node.place,
            weight=node.share,
            evidence={
                "rows": number(limit.rows),
                "rows_removed": number(node.removed_by_filter),
                "index": node.index,
                "compared": ", ".join(equal),
            },
        )


def offset_paging(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Rows are made to be skipped."""
    for node in plan.nodes():
        child = node.child("Outer")
        if node.type != "Limit" or not node.was_run or child is None:
            continue
        skipped = child.rows - node.rows
        if skipped >= OFFSET_ROWS:
            yield Finding(
                rule="OFFSET_PAGING",
                message=f"{number(skipped)} rows were made and skipped before {number(node.rows)} were returned",
                fix="Page by the last row's sort key, WHERE (key, id) > (…) ORDER BY key, id LIMIT n, instead of OFFSET.",
                node=node.place,
                weight=node.whole_share * skipped / child.rows,
                evidence={"rows": number(node.rows), "rows_skipped": number(skipped)},
            )


def index_only_scan_fetches_heap(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """An index has all that is asked for, and the table is read to see who may see it."""
    for node in plan.nodes():
        if node.heap_fetches >= max(HEAP_FETCHES, HEAP_FETCH_SHARE * node.rows):
            yield Finding(
                rule="INDEX_ONLY_SCAN_FETCHES_HEAP",
                message=f"{number(node.heap_fetches)} rows of {of(node)} were looked up in the table, for {number(node.rows)} that "
                "the index has by itself: the table was not vacuumed since they were written",
                fix=f"Vacuum {node.relation}, and have autovacuum do it more often.",
                fix_sql=f"VACUUM (ANALYZE) {quoted(node)}",
                node=node.place,
                weight=node.share,
                evidence={"heap_fetches": number(node.heap_fetches), "rows": number(node.rows)},
            )


def implicit_cast(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A column is made another type before it is compared, so that no index of it can be used."""
    for node in plan.nodes():
        found = _CAST.search(node.conditions.get("Filter", "")) if is_scan(node) else None
        if found is None or found["type"] in _RELABELS or node.removed_by_filter < FILTER_ROWS:
            continue
        yield Finding(
            rule="IMPLICIT_CAST",
            message=f"{found['column']} of {node.relation} is made {found['type']} for each row before it is compared, so that no "
            f"index of it can be used; {number(node.removed_by_filter)} rows were discarded",
            fix=f"Give the value the type of the column, as $1::<type of {found['column']}>.",
            node=node.place,
            weight=node.share,
            evidence={"column": found["column"], "type": found["type"], "rows_removed": number(node.removed_by_filter)},
        )


def sort_could_be_index(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A table is read and sorted for its first rows."""
    for node in plan.nodes():
        child = node.child("Outer")
        if node.memory.method != "top-N heapsort" or child is None or not is_scan(child) or child.rows < TOP_ROWS:
            continue
        columns = plain_columns(node.sort_key)
        equal, _ = compared(child.conditions.get("Filter", child.conditions.get("Index Cond", "")))
        yield Finding(
            rule="SORT_COULD_BE_INDEX",
            message=f"{number(child.rows)} rows of {of(child)} were read and sorted by {', '.join(node.sort_key)} for the first "
            f"{number(node.rows)}",
            fix="Give it an index in this order, so that reading it ends with the last row that is asked for.",
            fix_sql=create_index(child, [*equal, *columns] if columns else []),
            node=node.place,
            weight=node.whole_share,
            evidence={"rows_sorted": number(child.rows), "rows": number(node.rows)},
        )


def lossy_bitmap(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A bitmap had no room for single rows, so that whole blocks were looked through."""
    for node in plan.nodes():
        blocks = node.lossy_blocks + node.exact_blocks
        if node.lossy_blocks >= max(LOSSY_BLOCKS, LOSSY_SHARE * blocks):
            megabytes = max(
                1, round(blocks * 128 / 2**20 + 1)
            )  # an entry of a bitmap's hash table is about 64 bytes, and is doubled
            yield Finding(
                rule="LOSSY_BITMAP",
                message=f"{number(node.lossy_blocks)} of {number(blocks)} blocks of {of(node)} were looked through row by row, for "
                f"work_mem had no room for a finer bitmap; {number(node.removed_by_recheck)} rows were discarded",
                fix=f"Give the session a work_mem of {megabytes} MB or more.",
                fix_sql=f"SET work_mem = '{megabytes}MB'",
                node=node.place,
                weight=node.share * node.lossy_blocks / blocks,
                evidence={"lossy_blocks": number(node.lossy_blocks), "exact_blocks": number(node.exact_blocks)},
            )


def _index_advice(node: PlanNode, indexes: list[tuple[str, ...]]) -> str:
    if not indexes:
        return "No index of columns serves this condition: compare a column, or an expression of it, with a value."
    advice = f"Give {node.relation} an index of {', and one of '.join(', '.join(each) for each in indexes)}."
    of_expression = any(column.startswith("(") for each in indexes for column in each)
    return f"{advice} PostgreSQL makes one of an expression only where that is IMMUTABLE." if of_expression else advice


def _indexes(condition: str) -> list[tuple[str, ...]]:
    """What indexes are of that find the rows of a condition: one, or one for each of its alternatives; none where they cannot."""
    arms = alternatives(condition) or [condition]
    found = []
    for arm in arms:
        equal, ranged = compared(arm)
        columns = [*equal, *ranged[:1]]
        found.append(columns or [f"({each})" for each in expressions(arm)[:1]])
    return list(dict.fromkeys(map(tuple, found))) if all(found) else []


def _discards(node: PlanNode, rows: int) -> bool:
    """Whether a filter discarded so many rows, and most of those that were read."""
    removed = node.removed_by_filter
    return removed >= rows and removed >= DISCARDED_SHARE * (removed + node.rows) and "Filter" in node.conditions


def _read_for_limit(plan: Plan) -> Iterator[tuple[PlanNode, PlanNode]]:
    """Each LIMIT with the scan by an index that is read in its order only until the LIMIT is reached."""
    for limit in plan.nodes():
        node = limit.child("Outer") if limit.type == "Limit" else None
        while node is not None and node.type not in _ENDS_ORDER:
            if node.type in ("Index Scan", "Index Only Scan"):
                yield limit, node
                break
            node = node.child("Outer") or node.child("Subquery")
