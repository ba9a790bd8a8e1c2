-- What writes have touched, in the words of the cache: tags of cached results. A write and its rows here are committed together, and a
-- row goes when the cache has been told.

CREATE TABLE souk.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tags       text[] NOT NULL CHECK (cardinality(tags) > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
GRANT SELECT, DELETE ON souk.outbox TO :"service";
GRANT UPDATE (id) ON souk.outbox TO :"service";  -- which nobody can change; FOR UPDATE asks for it

-- For triggers. touched: tags, NULLs and repeats among them; where they are more than 1,000, or more than 5,000 with their repeats,
-- `instead` is told, which names whole kinds of them, as product:*.
CREATE FUNCTION souk.tell(touched text[], instead text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    told text[] := ARRAY(SELECT DISTINCT tag FROM unnest(touched) AS tag WHERE tag IS NOT NULL);
BEGIN
    IF cardinality(touched) > 5000 OR cardinality(told) > 1000 THEN
        told := instead;
    END IF;
    IF cardinality(told) > 0 THEN
        INSERT INTO souk.outbox (tags) VALUES (told);
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION souk.tell FROM PUBLIC;
