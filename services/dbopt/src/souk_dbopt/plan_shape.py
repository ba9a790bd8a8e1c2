"""The shape of a plan: its steps, the relations and indexes that they use, how they join and sort; no numbers and no values."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from souk_dbopt.plans import PlanNode
from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, tokens

_DIGITS = 16
_NAMES = (Kind.IDENTIFIER, Kind.QUOTED_IDENTIFIER)
_VALUES = (Kind.STRING, Kind.NUMBER, Kind.PARAMETER)


def fingerprint(root: PlanNode) -> str:
    """16 hexadecimal digits, the same for all plans of one shape, whatever their relations are called in the statement."""
    aliases = {node.alias: node.relation or node.function or node.type for node in root.walk() if node.alias}
    text = json.dumps(_shape(root, aliases), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _shape(node: PlanNode, aliases: Mapping[str, str]) -> list[Any]:
    part_of = node.role if node.role in ("InitPlan", "SubPlan") else ""
    return [
        node.type,
        part_of,
        node.relation,
        node.index,
        node.function,
        node.join_type,
        node.strategy,
        node.partial_mode,
        node.command,
        "" if node.direction == "Forward" else node.direction,
        [without_values(key, aliases) for key in node.sort_key],
        [without_values(key, aliases) for key in node.presorted_key],
        [_shape(child, aliases) for child in node.children],
    ]


def without_values(expression: str, aliases: Mapping[str, str]) -> str:
    """An expression of EXPLAIN with ? for literals and parameters, and relations for their aliases."""
    try:
        found = tokens(expression)
    except SqlSyntaxError:
        return expression
    parts = []
    for number, token in enumerate(found):
        is_alias = token.kind in _NAMES and found[number + 1 : number + 2] and found[number + 1].text == "."
        if token.kind in _VALUES:
            parts.append("?")
        elif is_alias:
            parts.append(aliases.get(token.text.strip('"'), token.text))
        else:
            parts.append(token.text)
    return " ".join(parts)
