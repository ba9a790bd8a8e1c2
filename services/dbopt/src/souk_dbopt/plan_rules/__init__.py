"""What is wrong with a plan: rules, each of which looks for one thing, and is silent where a plan is well."""

from souk_dbopt.plan_rules import estimates, execution, joins, memory, scans
from souk_dbopt.plan_rules.findings import Facts, Finding, Rule, TableFacts
from souk_dbopt.plans import Plan

__all__ = ["RULES", "Facts", "Finding", "Rule", "TableFacts", "findings"]

RULES: tuple[Rule, ...] = (
    scans.seq_scan_discards_rows,
    scans.filter_could_be_index_condition,
    scans.limit_on_wrong_index,
    scans.offset_paging,
    scans.index_only_scan_fetches_heap,
    scans.implicit_cast,
    scans.sort_could_be_index,
    scans.lossy_bitmap,
    memory.sort_spill,
    memory.hash_spill,
    memory.aggregate_spill,
    memory.store_spill,
    joins.nested_loop_blowup,
    joins.cross_join,
    joins.correlated_subplan,
    joins.never_executed,
    estimates.misestimate,
    estimates.stale_statistics,
    estimates.missing_extended_statistics,
    estimates.generic_plan_misestimate,
    execution.workers_not_launched,
    execution.jit_share,
    execution.trigger_time,
    execution.planner_setting_off,
)
_NOTHING = Facts()


def findings(plan: Plan, facts: Facts = _NOTHING) -> list[Finding]:
    """Everything that the rules find, the worst first."""
    found = [finding for rule in RULES for finding in rule(plan, facts)]
    return sorted(found, key=lambda finding: -finding.weight)
