"""Plans and what is wrong with them, as messages."""

from souk.dbopt.v1 import insight_pb2 as pb

from souk_dbopt import plan_reading
from souk_dbopt.latency_shift import Outcome
from souk_dbopt.plan_causes import CauseKind
from souk_dbopt.plan_differences import ChangeKind
from souk_dbopt.plan_records import KeptChange, KeptFinding, Severity
from souk_dbopt.plan_rules import Finding
from souk_dbopt.plans import Plan, PlanNode
from souk_dbopt.rpc.insight_mapping import moment
from souk_dbopt.rpc.mapping import span

KINDS = {pb.PlanChangeKind.Value(f"PLAN_CHANGE_KIND_{kind.name}"): kind for kind in ChangeKind}
CAUSES = {pb.PlanChangeCause.Value(f"PLAN_CHANGE_CAUSE_{cause.name}"): cause for cause in CauseKind}
SEVERITIES = {
    pb.FINDING_SEVERITY_UNSPECIFIED: Severity.LOW,
    pb.FINDING_SEVERITY_LOW: Severity.LOW,
    pb.FINDING_SEVERITY_MEDIUM: Severity.MEDIUM,
    pb.FINDING_SEVERITY_HIGH: Severity.HIGH,
}
_KINDS = {kind: value for value, kind in KINDS.items()}
_CAUSES = {cause: value for value, cause in CAUSES.items()}
_OUTCOMES = {outcome: pb.PlanChangeOutcome.Value(f"PLAN_CHANGE_OUTCOME_{outcome.name}") for outcome in Outcome}
_SEVERITIES = {severity: pb.FindingSeverity.Value(f"FINDING_SEVERITY_{severity.name}") for severity in Severity}


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


def kept_finding(known: KeptFinding) -> pb.PlanFinding:
    """The same as it is kept."""
    message = finding(known.finding, known.fingerprint)
    message.severity = _SEVERITIES[known.severity]
    message.database_share = known.database_share
    message.plan_fingerprint = known.plan
    message.first_time.CopyFrom(moment(known.first_time))
    message.last_time.CopyFrom(moment(known.last_time))
    if known.closed_time is not None:
        message.closed_time.CopyFrom(moment(known.closed_time))
    return message


def change(known: KeptChange) -> pb.PlanChange:
    """A change, without its plans."""
    message = pb.PlanChange(
        id=known.change_id,
        fingerprint=known.fingerprint,
        time=moment(known.time),
        before_time=moment(known.before_time),
        kinds=[_KINDS[kind] for kind in known.kinds],
        outcome=_OUTCOMES[known.outcome],
        old_plan_fingerprint=known.old_plan,
        new_plan_fingerprint=known.new_plan,
        ratio=known.ratio,
        least_ratio=known.least_ratio,
        old_calls=known.old_calls,
        new_calls=known.new_calls,
        message=known.message,
        causes=[_CAUSES[cause] for cause in known.causes],
        cause_message=known.cause_message,
        fix_sql=known.fix_sql,
        evidence=known.evidence,
    )
    for field, seconds in ((message.old_median_time, known.old_median), (message.new_median_time, known.new_median)):
        if seconds is not None:
            field.CopyFrom(span(seconds))
    return message


def kept_plan(text: str) -> pb.Plan | None:
    """Of EXPLAIN's JSON; None where it is not kept."""
    return plan(plan_reading.read(text)) if text else None
