"""Plans and what is wrong with them, as messages."""

from souk.dbopt.v1 import insight_pb2 as pb

from souk_dbopt.plan_rules import Finding
from souk_dbopt.plans import Plan, PlanNode
from souk_dbopt.rpc.mapping import span


def plan(known: Plan) -> pb.Plan:
    """A plan with all its steps."""
    message = pb.Plan(
        plan_fingerprint=known.fingerprint, root=_node(known.root), planning_time=span(known.planning_time), json=known.text
    )
    if known.execution_time is not None:
        message.execution_time.CopyFrom(span(known.execution_time))
    return message


def _node(known: PlanNode) -> pb.PlanNode:
    removed = known.removed_by_filter + known.removed_by_join_filter + known.removed_by_recheck
    return pb.PlanNode(
        type=known.type,
        relation=known.relation,
        index=known.index,
        conditions=known.conditions,
        plan_rows=known.plan_rows,
        actual_rows=known.actual_rows if known.was_run else None,
        loops=known.loops,
        total_cost=known.total_cost,
        self_time=span(known.self_time),
        share=known.share,
        rows_removed=round(removed),
        blocks_hit=known.own_buffers.hit,
        blocks_read=known.own_buffers.read,
        children=map(_node, known.children),
    )


def finding(known: Finding, fingerprint: str) -> pb.PlanFinding:
    """Something that is wrong with the plan of a query; fingerprint: of the query, "" where it has none."""
    return pb.PlanFinding(
        rule=known.rule,
        fingerprint=fingerprint,
        message=known.message,
        fix=known.fix,
        fix_sql=known.fix_sql,
        weight=known.weight,
        node=known.node,
        evidence=known.evidence,
    )
