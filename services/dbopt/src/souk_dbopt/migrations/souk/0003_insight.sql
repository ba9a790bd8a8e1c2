-- What queries do: how often, how long, and with which parameters. Forgotten after SOUK_DBOPT_INSIGHT_RETENTION.

-- Texts without literals, by fingerprint.
CREATE TABLE souk.query_texts (
    fingerprint text PRIMARY KEY,
    text        text NOT NULL,
    seen_at     timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.query_texts TO :"service";

-- What one query did in a minute (kept for a day) or an hour, as one node saw it. A node replaces its own rows by larger ones and
-- touches no others, so that several never wait for each other, and one that does not know whether it has written writes again.
-- counts[i] calls were of the latency of bucket buckets[i] (souk_dbopt.histograms); empty where latencies are not known.
CREATE TABLE souk.query_windows (
    fingerprint text NOT NULL,
    span        integer NOT NULL CHECK (span IN (60, 3600)),
    start_time  timestamptz NOT NULL,
    writer      bigint NOT NULL,
    calls       bigint NOT NULL,
    errors      bigint NOT NULL,
    row_count   bigint NOT NULL,
    seconds     double precision NOT NULL,
    longest     double precision,
    buckets     smallint[] NOT NULL,
    counts      bigint[] NOT NULL,
    PRIMARY KEY (fingerprint, span, start_time, writer)
) WITH (fillfactor = 70);
CREATE INDEX query_windows_time ON souk.query_windows (span, start_time);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.query_windows TO :"service";

-- Parameters that calls had, without those that are sensitive: of the slowest, and of some.
CREATE TABLE souk.query_samples (
    sample_id   bigint PRIMARY KEY,
    fingerprint text NOT NULL,
    is_slow     boolean NOT NULL,
    seconds     double precision NOT NULL,
    end_time    timestamptz NOT NULL,
    parameters  jsonb NOT NULL
);
CREATE INDEX query_samples_fingerprint ON souk.query_samples (fingerprint, is_slow);
CREATE INDEX query_samples_time ON souk.query_samples (end_time);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.query_samples TO :"service";

-- Up to where statements of pg_stat_statements are counted in the windows already; its numbers only grow.
CREATE TABLE souk.statement_marks (
    user_id     oid NOT NULL,
    query_id    bigint NOT NULL,
    calls       bigint NOT NULL,
    row_count   bigint NOT NULL,
    seconds     double precision NOT NULL,
    PRIMARY KEY (user_id, query_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.statement_marks TO :"service";
