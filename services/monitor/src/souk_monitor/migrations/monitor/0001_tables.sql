-- Errors. The service's role reads and writes rows; the days that events are kept in it makes and drops by two functions (0002).

CREATE SCHEMA monitor;
REVOKE ALL ON SCHEMA monitor FROM PUBLIC;
GRANT USAGE ON SCHEMA monitor TO :"monitor";
GRANT USAGE ON SCHEMA souk TO :"monitor";
GRANT SELECT ON souk.migrations TO :"monitor";

CREATE TABLE monitor.projects (
    number      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    options     jsonb NOT NULL DEFAULT '{}',
    disabled    boolean NOT NULL DEFAULT false,
    issue_count integer NOT NULL DEFAULT 0,  -- the number of the newest issue
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE monitor.project_keys (
    public_key text PRIMARY KEY,
    project    integer NOT NULL REFERENCES monitor.projects,
    label      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX project_keys_project ON monitor.project_keys (project);

-- What changes with every event of an issue. No index has a column that does, so that updates stay within their page (HOT).
CREATE TABLE monitor.issues (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project          integer NOT NULL,
    number           integer NOT NULL,
    state            smallint NOT NULL,
    severity         smallint NOT NULL,
    category         smallint NOT NULL,
    platform         text NOT NULL,
    handled          boolean,
    events           bigint NOT NULL,
    users            bigint NOT NULL DEFAULT 0,
    first_seen       timestamptz NOT NULL,
    last_seen        timestamptz NOT NULL,
    first_release    text NOT NULL DEFAULT '',
    last_release     text NOT NULL DEFAULT '',
    assignee         text NOT NULL DEFAULT '',
    resolved_at      timestamptz,
    resolved_release text NOT NULL DEFAULT '',
    resolved_next    boolean NOT NULL DEFAULT false,  -- in the release after resolved_release
    ignored_until    timestamptz,
    ignored_events   bigint,                          -- until events are as many
    ignored_users    bigint,
    revision         bigint NOT NULL DEFAULT 1,
    merged_into      bigint,
    trend            smallint NOT NULL DEFAULT 0,
    expected         double precision NOT NULL DEFAULT 0,  -- events an hour, by the week before
    priority         double precision NOT NULL DEFAULT 0,
    changed          xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- by which transaction at last
    told             xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- and by which for more than an event
    told_change      smallint NOT NULL DEFAULT 1,
    UNIQUE (project, number)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE monitor.issue_texts (
    issue        bigint PRIMARY KEY,
    title        text NOT NULL,
    culprit      text NOT NULL,
    type         text NOT NULL,
    template     text NOT NULL,
    fix_rule     text NOT NULL DEFAULT '',
    fix_text     text NOT NULL DEFAULT '',
    fix_evidence text NOT NULL DEFAULT '',
    words        tsvector NOT NULL
);
CREATE INDEX issue_texts_words ON monitor.issue_texts USING gin (words);

-- What groups events. An issue is one fingerprint or several: merging and splitting moves these, and no event is touched.
CREATE TABLE monitor.fingerprints (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project       integer NOT NULL,
    fingerprint   bytea NOT NULL,
    version       smallint NOT NULL,
    issue         bigint NOT NULL,
    title         text NOT NULL,
    by_hand       boolean NOT NULL DEFAULT false,
    events        bigint NOT NULL DEFAULT 0,
    users         bigint NOT NULL DEFAULT 0,
    first_seen    timestamptz NOT NULL,
    last_seen     timestamptz NOT NULL,
    first_release text NOT NULL DEFAULT '',
    last_release  text NOT NULL DEFAULT '',
    UNIQUE (project, fingerprint)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX fingerprints_issue ON monitor.fingerprints (issue);

-- Users by the hash of who they are: all of them up to 1,000 for a fingerprint, and above that a sketch (HyperLogLog).
CREATE TABLE monitor.users (
    fingerprint bigint NOT NULL,
    person      bigint NOT NULL,
    PRIMARY KEY (fingerprint, person)
);
CREATE TABLE monitor.user_sketches (
    fingerprint bigint PRIMARY KEY,
    registers   bytea NOT NULL
);

CREATE TABLE monitor.hours (
    fingerprint bigint NOT NULL,
    hour        timestamptz NOT NULL,
    events      bigint NOT NULL,
    PRIMARY KEY (fingerprint, hour)
) WITH (fillfactor = 70);
CREATE INDEX hours_hour ON monitor.hours (hour);

-- kind: 1 service, 2 environment, 3 release, 4 tag (of which name is the name).
CREATE TABLE monitor.facets (
    fingerprint bigint NOT NULL,
    kind        smallint NOT NULL,
    name        text NOT NULL,
    value       text NOT NULL,
    events      bigint NOT NULL,
    PRIMARY KEY (fingerprint, kind, name, value)
) WITH (fillfactor = 70);
CREATE INDEX facets_value ON monitor.facets (kind, value) WHERE kind IN (1, 2);
CREATE TABLE monitor.facet_hours (
    project integer NOT NULL,
    kind    smallint NOT NULL,
    value   text NOT NULL,
    hour    timestamptz NOT NULL,
    events  bigint NOT NULL,
    PRIMARY KEY (project, kind, value, hour)
) WITH (fillfactor = 70);
CREATE INDEX facet_hours_hour ON monitor.facet_hours (hour);

CREATE TABLE monitor.releases (
    project    integer NOT NULL,
    release    text NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (project, release)
);

CREATE TABLE monitor.activity (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issue bigint NOT NULL,
    time  timestamptz NOT NULL,
    actor text NOT NULL,
    kind  text NOT NULL,
    text  text NOT NULL DEFAULT ''
);
CREATE INDEX activity_issue ON monitor.activity (issue, id);
CREATE INDEX activity_time ON monitor.activity (time);

-- Which changes were made under which request id, for repeats.
CREATE TABLE monitor.requests (
    principal   text NOT NULL,
    request_id  text NOT NULL,
    fingerprint bytea NOT NULL,
    result      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, request_id)
);
CREATE INDEX requests_created ON monitor.requests (created_at);

-- What one node does for all from time to time.
CREATE TABLE monitor.duties (
    name     text PRIMARY KEY,
    next_at  timestamptz NOT NULL
);

-- Every event that was counted, so that none is counted twice. One that happened around midnight has a row in both days.
CREATE TABLE monitor.events (
    day         date NOT NULL,
    project     integer NOT NULL,
    event_id    uuid NOT NULL,
    fingerprint bigint NOT NULL,
    PRIMARY KEY (event_id, project, day)
) PARTITION BY RANGE (day);

-- What is kept of events, by the day on which they happened; thinned, so fewer than events.
CREATE TABLE monitor.bodies (
    day         date NOT NULL,
    project     integer NOT NULL,
    event_id    uuid NOT NULL,
    fingerprint bigint NOT NULL,
    time        timestamptz NOT NULL,
    received    timestamptz NOT NULL,
    trace       uuid,
    error_id    text,
    people      bigint[],  -- hashes of what its user is known by
    body        bytea NOT NULL
) PARTITION BY RANGE (day);
ALTER TABLE monitor.bodies ALTER COLUMN body SET STORAGE EXTERNAL;  -- they are compressed
CREATE INDEX bodies_event ON monitor.bodies (event_id);
CREATE INDEX bodies_fingerprint ON monitor.bodies (fingerprint, time);
CREATE INDEX bodies_trace ON monitor.bodies (trace) WHERE trace IS NOT NULL;
CREATE INDEX bodies_error ON monitor.bodies (error_id) WHERE error_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA monitor TO :"monitor";
