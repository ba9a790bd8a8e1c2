"""The guard's lists against the functions that real servers have: what a new version brings is looked at first."""

import asyncpg
from postgres_servers import PostgresServer
from souk_dbopt.explain_guard import HARMLESS, RUN_SQL

Connection = asyncpg.Connection

_REVIEWED = """
anyarray_out anyarray_send anyrange_out anytextcat array_out array_send array_to_json array_to_string concat concat_ws convert
convert_from convert_to current_setting date_part date_trunc extract format has_any_column_privilege has_column_privilege
has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
has_largeobject_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege
has_table_privilege has_tablespace_privilege has_type_privilege json_agg json_agg_strict json_build_array json_build_object
json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_populate_record
json_populate_recordset json_to_record json_to_recordset json_to_tsvector jsonb_agg jsonb_agg_strict jsonb_build_array
jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz
jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset jsonb_to_record
jsonb_to_recordset jsonb_to_tsvector length make_timestamptz namesend obj_description oidvectortypes pg_basetype
pg_char_to_encoding pg_collation_for pg_column_compression pg_column_is_updatable pg_column_size pg_column_toast_chunk_id
pg_extension_update_paths pg_get_object_address pg_get_publication_tables pg_get_replica_identity_index pg_get_serial_sequence
pg_get_viewdef pg_has_role pg_index_column_has_property pg_index_has_property pg_indexam_has_property pg_options_to_table
pg_relation_filenode pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable pg_replication_origin_oid
pg_settings_get_flags pg_split_walfile_name pg_stat_get_progress_info pg_stat_get_replication_slot pg_typeof phraseto_tsquery
plainto_tsquery quote_literal quote_nullable range_out range_send record_out record_send regclass regclassout regoperatorout
regoperout regprocedureout regprocout regtypeout row_security_active row_to_json shobj_description textanycat textsend timezone
to_char to_date to_json to_jsonb to_number to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc
to_regprocedure to_regrole to_regtype to_regtypemod to_timestamp to_tsquery to_tsvector ts_debug ts_headline ts_match_tq
ts_match_tt ts_parse ts_token_type websearch_to_tsquery xml xml_is_well_formed
"""
REVIEWED = frozenset(_REVIEWED.split())
"""Functions of 15 to 18 that are STABLE, and so may look something up, by a text, a name, or the type of a value. None of these
runs a text, or reads a value as a type that a text names. (json_populate_record and its like do so by the type of an argument,
which the guard sees where it is one of a user's own.)"""
LOOKING_UP = """
SELECT DISTINCT proname FROM pg_proc
WHERE oid < 16384 AND provolatile = 's' AND NOT proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[]
  AND (proargtypes::oid[] && '{text,text[],name,refcursor,regtype,regclass,regproc,regprocedure,regoper,regoperator,oidvector}'
           ::regtype[]::oid[]
       OR proargtypes::oid[] && '{"\\"any\\"",anyelement,anyarray,anyrange,anycompatible,record,json,jsonb}'::regtype[]::oid[])
"""
HAVING_AN_EFFECT = "SELECT DISTINCT proname FROM pg_proc WHERE oid < 16384 AND provolatile = 'v' AND proname = ANY ($1)"


async def test_every_function_that_could_run_what_a_text_says_was_looked_at(owner: Connection):
    found = {row[0] for row in await owner.fetch(LOOKING_UP)}
    assert len(found) > 100
    assert found - RUN_SQL - REVIEWED == set()


async def test_what_is_let_through_though_it_is_volatile_is_so_in_one_version_or_another(
    postgres15: PostgresServer, postgres18: PostgresServer
):
    volatile: set[str] = set()
    for server in (postgres15, postgres18):
        connection = await asyncpg.connect(server.dsn())
        volatile |= {row[0] for row in await connection.fetch(HAVING_AN_EFFECT, sorted(HARMLESS))}
        await connection.close()
    assert volatile == HARMLESS
