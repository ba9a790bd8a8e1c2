-- What dbopt keeps of its own is in this schema, which the migrations themselves have made.

REVOKE ALL ON SCHEMA souk FROM PUBLIC;
GRANT USAGE ON SCHEMA souk TO :"service";
GRANT SELECT ON souk.migrations TO :"service";
