-- Plans of queries, what is wrong with them, and when they changed. Forgotten after SOUK_DBOPT_INSIGHT_RETENTION.

-- What is remembered of a query from one look to the next: the parameters that its plans are compared with, the plans that these had,
-- and what the planner knew. claimed_until: a node is at it until then, and others leave it alone.
CREATE TABLE souk.plan_watch (
    fingerprint   text PRIMARY KEY,
    claimed_until timestamptz NOT NULL,
    looked_at     timestamptz NOT NULL,
    state         jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);
CREATE INDEX plan_watch_looked ON souk.plan_watch (looked_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.plan_watch TO :"service";

-- plan: EXPLAIN's JSON, of a run where there was one; empty where it has more than 256 KiB.
CREATE TABLE souk.query_plans (
    fingerprint      text NOT NULL,
    plan_fingerprint text NOT NULL,
    first_time       timestamptz NOT NULL,
    last_time        timestamptz NOT NULL,
    is_generic       boolean NOT NULL,
    run_time         timestamptz,
    plan             text NOT NULL CHECK (octet_length(plan) <= 262144),
    PRIMARY KEY (fingerprint, plan_fingerprint)
);
CREATE INDEX query_plans_time ON souk.query_plans (last_time);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.query_plans TO :"service";

-- subject: what of the query it is about, the same in all plans: a relation, an index, or nothing.
CREATE TABLE souk.plan_findings (
    finding_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint      text NOT NULL,
    rule             text NOT NULL,
    subject          text NOT NULL,
    plan_fingerprint text NOT NULL,
    message          text NOT NULL,
    fix              text NOT NULL,
    fix_sql          text NOT NULL,
    node             text NOT NULL,
    weight           double precision NOT NULL,
    database_share   double precision NOT NULL,
    evidence         jsonb NOT NULL,
    first_time       timestamptz NOT NULL,
    last_time        timestamptz NOT NULL,
    closed_time      timestamptz,
    UNIQUE (fingerprint, rule, subject)
);
CREATE INDEX plan_findings_share ON souk.plan_findings (database_share DESC, finding_id);
CREATE INDEX plan_findings_time ON souk.plan_findings (last_time);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.plan_findings TO :"service";

-- before_time: when what was before was seen last; time: when it was noticed. What lies between may be of either.
CREATE TABLE souk.plan_changes (
    change_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint   text NOT NULL,
    time          timestamptz NOT NULL,
    before_time   timestamptz NOT NULL,
    kinds         text[] NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('pending', 'slower', 'faster', 'same', 'undecided')),
    old_plan      text NOT NULL,
    new_plan      text NOT NULL,
    old_median    double precision,
    new_median    double precision,
    ratio         double precision NOT NULL DEFAULT 0,
    least_ratio   double precision NOT NULL DEFAULT 0,
    old_calls     bigint NOT NULL DEFAULT 0,
    new_calls     bigint NOT NULL DEFAULT 0,
    message       text NOT NULL,
    causes        text[] NOT NULL,
    cause_message text NOT NULL,
    fix_sql       text NOT NULL,
    evidence      jsonb NOT NULL
);
CREATE INDEX plan_changes_fingerprint ON souk.plan_changes (fingerprint, change_id DESC);
CREATE INDEX plan_changes_time ON souk.plan_changes (time);
CREATE INDEX plan_changes_pending ON souk.plan_changes (fingerprint) WHERE outcome = 'pending';
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.plan_changes TO :"service";
