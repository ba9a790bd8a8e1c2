-- What `souk db seed` has made. Empty in a shop with data of its own. Only the owner reads and writes it.

CREATE TABLE shop.seeding (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    products    bigint NOT NULL,
    seed        bigint NOT NULL,
    end_day     date NOT NULL,
    batch       integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
COMMENT ON TABLE shop.seeding IS 'The plan of the data to try on that this database has, or is being given: one row.';

CREATE TABLE shop.seeded_batches (
    table_name text NOT NULL,
    batch      integer NOT NULL,
    row_count  bigint NOT NULL,
    PRIMARY KEY (table_name, batch)
);
COMMENT ON TABLE shop.seeded_batches IS 'Which batches are there; each commits with its rows.';
