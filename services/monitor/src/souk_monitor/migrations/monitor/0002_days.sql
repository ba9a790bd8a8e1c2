-- The days of events and bodies: a partition of each for a day of UTC. The service's role may make and drop these, and no other table.

-- A new one is made beside its table and attached, which waits for nobody who reads or writes.
CREATE FUNCTION monitor.make_day(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    IF wanted NOT BETWEEN (now() AT TIME ZONE 'utc')::date - 402 AND (now() AT TIME ZONE 'utc')::date + 2 THEN
        RAISE EXCEPTION 'no events are kept of %', wanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(1836020585, wanted - date '2000-01-01');
    FOREACH parent IN ARRAY ARRAY['events', 'bodies'] LOOP
        child := parent || to_char(wanted, '_YYYYMMDD');
        IF to_regclass(format('monitor.%I', child)) IS NULL THEN
            EXECUTE format('CREATE TABLE monitor.%I (LIKE monitor.%I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING INDEXES)', child, parent);
            EXECUTE format('ALTER TABLE monitor.%I ATTACH PARTITION monitor.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, child, wanted, wanted + 1);
        END IF;
    END LOOP;
END $$;

-- Waits two seconds at the most for those who use the table; lock_not_available then, and it is tried again later.
CREATE FUNCTION monitor.drop_day(unwanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF unwanted > (now() AT TIME ZONE 'utc')::date - 1 THEN
        RAISE EXCEPTION 'events of % are not dropped yet', unwanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS monitor.%I', 'bodies' || to_char(unwanted, '_YYYYMMDD'));
    EXECUTE format('DROP TABLE IF EXISTS monitor.%I', 'events' || to_char(unwanted, '_YYYYMMDD'));
END $$;

-- The days that there are, the oldest first, with the bytes that they take.
CREATE FUNCTION monitor.days() RETURNS TABLE (day date, bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD'), sum(pg_total_relation_size(c.oid))::bigint
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('monitor.events'::regclass, 'monitor.bodies'::regclass)
    GROUP BY 1 ORDER BY 1
$$;

REVOKE EXECUTE ON FUNCTION monitor.make_day, monitor.drop_day, monitor.days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitor.make_day, monitor.drop_day, monitor.days TO :"monitor";
