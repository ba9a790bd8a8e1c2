-- Which writes were made under which request id, for repeats. Forgotten after SOUK_DBOPT_REQUEST_RETENTION.

CREATE TABLE souk.requests (
    principal   text NOT NULL,
    request_id  text NOT NULL,
    fingerprint bytea NOT NULL,
    response    text,
    row_count   integer,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, request_id)
);
CREATE INDEX requests_created ON souk.requests (created_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON souk.requests TO :"service";
