"""Rules about what the time went to besides reading and joining: workers, compilation, triggers, settings."""

from collections.abc import Iterator

from souk_dbopt.plan_rules.findings import Facts, Finding, number, part
from souk_dbopt.plans import GATHERS, Plan

JIT_SHARE, JIT_SECONDS = 0.2, 0.005
"""Of the time, spent on compiling."""
TRIGGER_SHARE, TRIGGER_SECONDS = 0.3, 0.005
"""Of the time, spent in one trigger."""


def workers_not_launched(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """The plan counted on workers, and the server had none to give."""
    for node in plan.nodes():
        if node.type in GATHERS and node.was_run and node.workers_launched < node.workers_planned:
            missing = 1 - node.workers_launched / node.workers_planned
            yield Finding(
                rule="WORKERS_NOT_LAUNCHED",
                message=f"{node.workers_planned} workers were planned, and {node.workers_launched} launched: the others were busy",
                fix="Let fewer statements use workers at once, or raise max_parallel_workers, and max_worker_processes with it, "
                "where the server has the processors.",
                node=node.place,
                weight=node.whole_share * missing / 2,
                evidence={"planned": str(node.workers_planned), "launched": str(node.workers_launched)},
            )


def jit_share(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Compiling took longer than it can have saved."""
    if plan.execution_time and plan.jit_seconds >= max(JIT_SECONDS, JIT_SHARE * plan.execution_time):
        share = min(1.0, plan.jit_seconds / plan.execution_time)
        yield Finding(
            rule="JIT_SHARE",
            message=f"compiling {plan.jit_functions} functions took {plan.jit_seconds * 1000:.0f} ms, {part(share)} of all time",
            fix="Switch JIT off for the session, or raise jit_above_cost.",
            fix_sql="SET jit = off",
            node=plan.root.place,
            weight=share,
            evidence={"milliseconds": f"{plan.jit_seconds * 1000:.0f}", "functions": str(plan.jit_functions)},
        )


def trigger_time(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Triggers take a large part; those of a foreign key, for the other table has no index of it."""
    for trigger in plan.triggers:
        if not plan.execution_time or trigger.seconds < max(TRIGGER_SECONDS, TRIGGER_SHARE * plan.execution_time):
            continue
        share = min(1.0, trigger.seconds / plan.execution_time)
        name = trigger.constraint or trigger.name
        yield Finding(
            rule="TRIGGER_TIME",
            message=f"the trigger of {name} took {trigger.seconds * 1000:.0f} ms in {number(trigger.calls)} calls, "
            f"{part(share)} of all time",
            fix=f"Give the table that {name} is on an index of its columns."
            if trigger.constraint
            else f"Look at what the trigger {name} does for each row.",
            node=plan.root.place,
            weight=share,
            evidence={"milliseconds": f"{trigger.seconds * 1000:.0f}", "calls": str(trigger.calls)},
        )


def planner_setting_off(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """The planner is forbidden a way of doing things."""
    off = sorted(name for name, value in plan.settings.items() if name.startswith("enable_") and value == "off")
    if off:
        yield Finding(
            rule="PLANNER_SETTING_OFF",
            message=f"the planner may not choose freely: {', '.join(off)} off",
            fix="Such settings are for trying out: take them back.",
            fix_sql="; ".join(f"RESET {name}" for name in off),
            node=plan.root.place,
            weight=0.0,
            evidence=dict.fromkeys(off, "off"),
        )
