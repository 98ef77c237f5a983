BEGIN;

select pg_catalog.version();

select current_schema();

show transaction isolation level;

show standard_conforming_strings;

SAVEPOINT "…";

SELECT
typname AS name, oid, typarray AS array_oid,
oid::regtype::text AS regtype, typdelim AS delimiter
FROM pg_type t
WHERE t.oid = to_regtype($1)
ORDER BY t.oid;

RELEASE "…";

ROLLBACK;

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relname IN ($1::VARCHAR, $2::VARCHAR, $3::VARCHAR) AND pg_catalog.pg_class.relkind = ANY (ARRAY[$4::VARCHAR, $5::VARCHAR, $6::VARCHAR, $7::VARCHAR, $8::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $9::VARCHAR;

CREATE TABLE sa_shepherd_nodeN (
id SERIAL NOT NULL,
name VARCHAR(40) NOT NULL,
PRIMARY KEY (id),
UNIQUE (name)
);

CREATE TABLE sa_sheep_nodeN (
id BIGSERIAL NOT NULL,
shepherd_id INTEGER,
name VARCHAR NOT NULL,
weight DOUBLE PRECISION,
price NUMERIC(10, 2) DEFAULT '0' NOT NULL,
alive BOOLEAN NOT NULL,
born DATE,
seen TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
tag UUID,
facts JSONB,
wool BYTEA,
PRIMARY KEY (id),
CONSTRAINT sa_heavy_nodeN CHECK (weight > 0),
CONSTRAINT sa_once_nodeN UNIQUE (name, born),
FOREIGN KEY(shepherd_id) REFERENCES sa_shepherd_nodeN (id) ON DELETE CASCADE
);

CREATE INDEX ix_sa_sheep_nodeN_shepherd_id ON sa_sheep_nodeN (shepherd_id);

CREATE INDEX sa_by_name_nodeN ON sa_sheep_nodeN (name, price);

CREATE TABLE sa_award_nodeN (
year INTEGER NOT NULL,
place INTEGER NOT NULL,
sheep_id BIGINT NOT NULL,
PRIMARY KEY (year, place),
FOREIGN KEY(sheep_id) REFERENCES sa_sheep_nodeN (id)
);

COMMIT;

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR]) AND pg_catalog.pg_class.relpersistence != $3::VARCHAR AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $4::VARCHAR;

SELECT pg_catalog.pg_namespace.nspname
FROM pg_catalog.pg_namespace
WHERE (pg_catalog.pg_namespace.nspname NOT LIKE $1::VARCHAR || '%' ESCAPE '/') ORDER BY pg_catalog.pg_namespace.nspname;

SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, CASE WHEN pg_catalog.pg_attribute.atthasdef THEN (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1
FROM pg_catalog.pg_attrdef
WHERE pg_catalog.pg_attribute.atthasdef AND pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum) ELSE NULL END AS "default", pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated, CASE WHEN (pg_catalog.pg_attribute.attidentity != $1::VARCHAR) THEN (SELECT json_build_object($2::VARCHAR, pg_catalog.pg_attribute.attidentity = $3::VARCHAR, $4::VARCHAR, pg_catalog.pg_sequence.seqstart, $5::VARCHAR, pg_catalog.pg_sequence.seqincrement, $6::VARCHAR, pg_catalog.pg_sequence.seqmin, $7::VARCHAR, pg_catalog.pg_sequence.seqmax, $8::VARCHAR, pg_catalog.pg_sequence.seqcache, $9::VARCHAR, pg_catalog.pg_sequence.seqcycle) AS json_build_object_1
FROM pg_catalog.pg_sequence
WHERE pg_catalog.pg_attribute.attidentity != $10::VARCHAR AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) ELSE NULL END AS identity_options, CASE WHEN (pg_catalog.pg_attribute.attcollation != $11::INTEGER AND (SELECT pg_catalog.pg_type.typcollation
FROM pg_catalog.pg_type
WHERE pg_catalog.pg_type.oid = pg_catalog.pg_attribute.atttypid) != pg_catalog.pg_attribute.attcollation) THEN (SELECT json_build_object($12::VARCHAR, pg_catalog.pg_collation.collname, $13::VARCHAR, CASE WHEN pg_catalog.pg_collation_is_visible(pg_catalog.pg_collation.oid) THEN NULL ELSE pg_catalog.pg_namespace.nspname END) AS json_build_object_9
FROM pg_catalog.pg_collation JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_collation.collnamespace
WHERE pg_catalog.pg_collation.oid = pg_catalog.pg_attribute.attcollation) ELSE NULL END AS collation
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > $14::SMALLINT AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$15::VARCHAR, $16::VARCHAR, $17::VARCHAR, $18::VARCHAR, $19::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $20::VARCHAR AND pg_catalog.pg_class.relname IN ($21::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum;

SELECT pg_catalog.pg_class.oid, pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $6::VARCHAR AND pg_catalog.pg_class.relname IN ($7::VARCHAR);

SELECT attr.conrelid, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols, attr.conname, min(attr.description) AS description, min(attr.indnkeyatts) AS indnkeyatts, bool_and(attr.indnullsnotdistinct) AS indnullsnotdistinct
FROM (SELECT con.conrelid AS conrelid, con.conname AS conname, con.description AS description, con.ord AS ord, con.indnkeyatts AS indnkeyatts, con.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_attribute.attname AS attname
FROM pg_catalog.pg_attribute JOIN (SELECT pg_catalog.pg_constraint.conrelid AS conrelid, pg_catalog.pg_constraint.conname AS conname, unnest(pg_catalog.pg_index.indkey) AS attnum, generate_subscripts(pg_catalog.pg_index.indkey, $1::INTEGER) AS ord, pg_catalog.pg_index.indnkeyatts AS indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_description.description AS description
FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_index ON pg_catalog.pg_constraint.conindid = pg_catalog.pg_index.indexrelid LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($2 AS REGCLASS)
WHERE pg_catalog.pg_constraint.contype = $3::VARCHAR AND pg_catalog.pg_constraint.conrelid IN ($4)) AS con ON pg_catalog.pg_attribute.attnum = con.attnum AND pg_catalog.pg_attribute.attrelid = con.conrelid
WHERE con.conrelid IN ($4)) AS attr GROUP BY attr.conrelid, attr.conname ORDER BY attr.conrelid, attr.conname;

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname, CASE WHEN (pg_catalog.pg_constraint.oid IS NOT NULL) THEN pg_catalog.pg_get_constraintdef(pg_catalog.pg_constraint.oid, $1) END AS anon_1, nsp_ref.nspname, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_class.oid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_constraint.contype = $2::VARCHAR LEFT OUTER JOIN pg_catalog.pg_class AS cls_ref ON cls_ref.oid = pg_catalog.pg_constraint.confrelid LEFT OUTER JOIN pg_catalog.pg_namespace AS nsp_ref ON cls_ref.relnamespace = nsp_ref.oid LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($3 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$4::VARCHAR, $5::VARCHAR, $6::VARCHAR, $7::VARCHAR, $8::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $9::VARCHAR AND pg_catalog.pg_class.relname IN ($10::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname;

SELECT pg_catalog.pg_am.oid, pg_catalog.pg_am.amname
FROM pg_catalog.pg_am
WHERE pg_catalog.pg_am.amname = $1::VARCHAR;

SELECT pg_catalog.pg_opclass.oid, pg_catalog.pg_opclass.opcname
FROM pg_catalog.pg_opclass
WHERE NOT pg_catalog.pg_opclass.opcdefault;

SELECT pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname, pg_catalog.pg_index.indisunique, pg_catalog.pg_index.indisvalid, pg_catalog.pg_constraint.conrelid IS NOT NULL AS has_constraint, pg_catalog.pg_index.indoption, pg_catalog.pg_class.reloptions, pg_catalog.pg_class.relam, CASE WHEN (pg_catalog.pg_index.indpred IS NOT NULL) THEN pg_catalog.pg_get_expr(pg_catalog.pg_index.indpred, pg_catalog.pg_index.indrelid) END AS filter_definition, pg_catalog.pg_index.indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct, idx_cols.elements, idx_cols.elements_is_expr, idx_cols.elements_opclass
FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_catalog.pg_index.indexrelid = pg_catalog.pg_class.oid LEFT OUTER JOIN (SELECT idx_attr.indexrelid AS indexrelid, min(idx_attr.indrelid) AS min_1, array_agg(idx_attr.element ORDER BY idx_attr.ord) AS elements, array_agg(idx_attr.is_expr ORDER BY idx_attr.ord) AS elements_is_expr, array_agg(idx_attr.att_opclass ORDER BY idx_attr.ord) AS elements_opclass
FROM (SELECT idx.indexrelid AS indexrelid, idx.indrelid AS indrelid, idx.ord AS ord, CASE WHEN (idx.attnum = $1::INTEGER) THEN pg_catalog.pg_get_indexdef(idx.indexrelid, idx.ord + $2::INTEGER, $3) ELSE CAST(pg_catalog.pg_attribute.attname AS TEXT) END AS element, idx.attnum = $4::INTEGER AS is_expr, CAST(idx.att_opclass AS BIGINT) AS att_opclass
FROM (SELECT pg_catalog.pg_index.indexrelid AS indexrelid, pg_catalog.pg_index.indrelid AS indrelid, unnest(pg_catalog.pg_index.indkey) AS attnum, unnest(pg_catalog.pg_index.indclass) AS att_opclass, generate_subscripts(pg_catalog.pg_index.indkey, $5::INTEGER) AS ord
FROM pg_catalog.pg_index
WHERE NOT pg_catalog.pg_index.indisprimary AND pg_catalog.pg_index.indrelid IN ($6)) AS idx LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_attribute.attnum = idx.attnum AND pg_catalog.pg_attribute.attrelid = idx.indrelid
WHERE idx.indrelid IN ($6)) AS idx_attr GROUP BY idx_attr.indexrelid) AS idx_cols ON pg_catalog.pg_index.indexrelid = idx_cols.indexrelid LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_index.indrelid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_index.indexrelid = pg_catalog.pg_constraint.conindid AND pg_catalog.pg_constraint.contype = ANY (ARRAY[$7::VARCHAR, $8::VARCHAR, $9::VARCHAR])
WHERE pg_catalog.pg_index.indrelid IN ($6) AND NOT pg_catalog.pg_index.indisprimary ORDER BY pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname;

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname, CASE WHEN (pg_catalog.pg_constraint.oid IS NOT NULL) THEN pg_catalog.pg_get_constraintdef(pg_catalog.pg_constraint.oid, $1) END AS anon_1, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_class.oid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_constraint.contype = $2::VARCHAR LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($3 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$4::VARCHAR, $5::VARCHAR, $6::VARCHAR, $7::VARCHAR, $8::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $9::VARCHAR AND pg_catalog.pg_class.relname IN ($10::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname;

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_class.oid = pg_catalog.pg_description.objoid AND pg_catalog.pg_description.objsubid = $1::INTEGER AND pg_catalog.pg_description.classoid = CAST($2 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$3::VARCHAR, $4::VARCHAR, $5::VARCHAR, $6::VARCHAR, $7::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $8::VARCHAR AND pg_catalog.pg_class.relname IN ($9::VARCHAR);

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relname IN ($1::VARCHAR) AND pg_catalog.pg_class.relkind = ANY (ARRAY[$2::VARCHAR, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR, $6::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $7::VARCHAR;

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR]) AND pg_catalog.pg_class.relpersistence != $2::VARCHAR AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $3::VARCHAR;

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $2::VARCHAR;

SELECT pg_catalog.pg_attribute.attname AS name, pg_catalog.format_type(pg_catalog.pg_attribute.atttypid, pg_catalog.pg_attribute.atttypmod) AS format_type, CASE WHEN pg_catalog.pg_attribute.atthasdef THEN (SELECT pg_catalog.pg_get_expr(pg_catalog.pg_attrdef.adbin, pg_catalog.pg_attrdef.adrelid) AS pg_get_expr_1
FROM pg_catalog.pg_attrdef
WHERE pg_catalog.pg_attribute.atthasdef AND pg_catalog.pg_attrdef.adrelid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attrdef.adnum = pg_catalog.pg_attribute.attnum) ELSE NULL END AS "default", pg_catalog.pg_attribute.attnotnull AS not_null, pg_catalog.pg_class.relname AS table_name, pg_catalog.pg_description.description AS comment, pg_catalog.pg_attribute.attgenerated AS generated, CASE WHEN (pg_catalog.pg_attribute.attidentity != $1::VARCHAR) THEN (SELECT json_build_object($2::VARCHAR, pg_catalog.pg_attribute.attidentity = $3::VARCHAR, $4::VARCHAR, pg_catalog.pg_sequence.seqstart, $5::VARCHAR, pg_catalog.pg_sequence.seqincrement, $6::VARCHAR, pg_catalog.pg_sequence.seqmin, $7::VARCHAR, pg_catalog.pg_sequence.seqmax, $8::VARCHAR, pg_catalog.pg_sequence.seqcache, $9::VARCHAR, pg_catalog.pg_sequence.seqcycle) AS json_build_object_1
FROM pg_catalog.pg_sequence
WHERE pg_catalog.pg_attribute.attidentity != $10::VARCHAR AND pg_catalog.pg_sequence.seqrelid = CAST(CAST(pg_catalog.pg_get_serial_sequence(CAST(CAST(pg_catalog.pg_attribute.attrelid AS REGCLASS) AS TEXT), pg_catalog.pg_attribute.attname) AS REGCLASS) AS OID)) ELSE NULL END AS identity_options, CASE WHEN (pg_catalog.pg_attribute.attcollation != $11::INTEGER AND (SELECT pg_catalog.pg_type.typcollation
FROM pg_catalog.pg_type
WHERE pg_catalog.pg_type.oid = pg_catalog.pg_attribute.atttypid) != pg_catalog.pg_attribute.attcollation) THEN (SELECT json_build_object($12::VARCHAR, pg_catalog.pg_collation.collname, $13::VARCHAR, CASE WHEN pg_catalog.pg_collation_is_visible(pg_catalog.pg_collation.oid) THEN NULL ELSE pg_catalog.pg_namespace.nspname END) AS json_build_object_9
FROM pg_catalog.pg_collation JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_collation.collnamespace
WHERE pg_catalog.pg_collation.oid = pg_catalog.pg_attribute.attcollation) ELSE NULL END AS collation
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_class.oid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_attribute.attnum > $14::SMALLINT AND NOT pg_catalog.pg_attribute.attisdropped LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_attribute.attrelid AND pg_catalog.pg_description.objsubid = pg_catalog.pg_attribute.attnum JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$15::VARCHAR, $16::VARCHAR, $17::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $18::VARCHAR AND pg_catalog.pg_class.relname IN ($19::VARCHAR, $20::VARCHAR, $21::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_attribute.attnum;

SELECT pg_catalog.pg_class.oid, pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR, $3::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $4::VARCHAR AND pg_catalog.pg_class.relname IN ($5::VARCHAR, $6::VARCHAR, $7::VARCHAR);

SELECT attr.conrelid, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols, attr.conname, min(attr.description) AS description, min(attr.indnkeyatts) AS indnkeyatts, bool_and(attr.indnullsnotdistinct) AS indnullsnotdistinct
FROM (SELECT con.conrelid AS conrelid, con.conname AS conname, con.description AS description, con.ord AS ord, con.indnkeyatts AS indnkeyatts, con.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_attribute.attname AS attname
FROM pg_catalog.pg_attribute JOIN (SELECT pg_catalog.pg_constraint.conrelid AS conrelid, pg_catalog.pg_constraint.conname AS conname, unnest(pg_catalog.pg_index.indkey) AS attnum, generate_subscripts(pg_catalog.pg_index.indkey, $1::INTEGER) AS ord, pg_catalog.pg_index.indnkeyatts AS indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_description.description AS description
FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_index ON pg_catalog.pg_constraint.conindid = pg_catalog.pg_index.indexrelid LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($2 AS REGCLASS)
WHERE pg_catalog.pg_constraint.contype = $3::VARCHAR AND pg_catalog.pg_constraint.conrelid IN ($4, $5, $6)) AS con ON pg_catalog.pg_attribute.attnum = con.attnum AND pg_catalog.pg_attribute.attrelid = con.conrelid
WHERE con.conrelid IN ($4, $5, $6)) AS attr GROUP BY attr.conrelid, attr.conname ORDER BY attr.conrelid, attr.conname;

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname, CASE WHEN (pg_catalog.pg_constraint.oid IS NOT NULL) THEN pg_catalog.pg_get_constraintdef(pg_catalog.pg_constraint.oid, $1) END AS anon_1, nsp_ref.nspname, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_class.oid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_constraint.contype = $2::VARCHAR LEFT OUTER JOIN pg_catalog.pg_class AS cls_ref ON cls_ref.oid = pg_catalog.pg_constraint.confrelid LEFT OUTER JOIN pg_catalog.pg_namespace AS nsp_ref ON cls_ref.relnamespace = nsp_ref.oid LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($3 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$4::VARCHAR, $5::VARCHAR, $6::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $7::VARCHAR AND pg_catalog.pg_class.relname IN ($8::VARCHAR, $9::VARCHAR, $10::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname;

SELECT pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname, pg_catalog.pg_index.indisunique, pg_catalog.pg_index.indisvalid, pg_catalog.pg_constraint.conrelid IS NOT NULL AS has_constraint, pg_catalog.pg_index.indoption, pg_catalog.pg_class.reloptions, pg_catalog.pg_class.relam, CASE WHEN (pg_catalog.pg_index.indpred IS NOT NULL) THEN pg_catalog.pg_get_expr(pg_catalog.pg_index.indpred, pg_catalog.pg_index.indrelid) END AS filter_definition, pg_catalog.pg_index.indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct, idx_cols.elements, idx_cols.elements_is_expr, idx_cols.elements_opclass
FROM pg_catalog.pg_index JOIN pg_catalog.pg_class ON pg_catalog.pg_index.indexrelid = pg_catalog.pg_class.oid LEFT OUTER JOIN (SELECT idx_attr.indexrelid AS indexrelid, min(idx_attr.indrelid) AS min_1, array_agg(idx_attr.element ORDER BY idx_attr.ord) AS elements, array_agg(idx_attr.is_expr ORDER BY idx_attr.ord) AS elements_is_expr, array_agg(idx_attr.att_opclass ORDER BY idx_attr.ord) AS elements_opclass
FROM (SELECT idx.indexrelid AS indexrelid, idx.indrelid AS indrelid, idx.ord AS ord, CASE WHEN (idx.attnum = $1::INTEGER) THEN pg_catalog.pg_get_indexdef(idx.indexrelid, idx.ord + $2::INTEGER, $3) ELSE CAST(pg_catalog.pg_attribute.attname AS TEXT) END AS element, idx.attnum = $4::INTEGER AS is_expr, CAST(idx.att_opclass AS BIGINT) AS att_opclass
FROM (SELECT pg_catalog.pg_index.indexrelid AS indexrelid, pg_catalog.pg_index.indrelid AS indrelid, unnest(pg_catalog.pg_index.indkey) AS attnum, unnest(pg_catalog.pg_index.indclass) AS att_opclass, generate_subscripts(pg_catalog.pg_index.indkey, $5::INTEGER) AS ord
FROM pg_catalog.pg_index
WHERE NOT pg_catalog.pg_index.indisprimary AND pg_catalog.pg_index.indrelid IN ($6, $7, $8)) AS idx LEFT OUTER JOIN pg_catalog.pg_attribute ON pg_catalog.pg_attribute.attnum = idx.attnum AND pg_catalog.pg_attribute.attrelid = idx.indrelid
WHERE idx.indrelid IN ($6, $7, $8)) AS idx_attr GROUP BY idx_attr.indexrelid) AS idx_cols ON pg_catalog.pg_index.indexrelid = idx_cols.indexrelid LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_index.indrelid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_index.indexrelid = pg_catalog.pg_constraint.conindid AND pg_catalog.pg_constraint.contype = ANY (ARRAY[$9::VARCHAR, $10::VARCHAR, $11::VARCHAR])
WHERE pg_catalog.pg_index.indrelid IN ($6, $7, $8) AND NOT pg_catalog.pg_index.indisprimary ORDER BY pg_catalog.pg_index.indrelid, pg_catalog.pg_class.relname;

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_class.oid = pg_catalog.pg_description.objoid AND pg_catalog.pg_description.objsubid = $1::INTEGER AND pg_catalog.pg_description.classoid = CAST($2 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$3::VARCHAR, $4::VARCHAR, $5::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $6::VARCHAR AND pg_catalog.pg_class.relname IN ($7::VARCHAR, $8::VARCHAR, $9::VARCHAR);

SELECT pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname, CASE WHEN (pg_catalog.pg_constraint.oid IS NOT NULL) THEN pg_catalog.pg_get_constraintdef(pg_catalog.pg_constraint.oid, $1) END AS anon_1, pg_catalog.pg_description.description
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_constraint ON pg_catalog.pg_class.oid = pg_catalog.pg_constraint.conrelid AND pg_catalog.pg_constraint.contype = $2::VARCHAR LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = pg_catalog.pg_constraint.oid AND pg_catalog.pg_description.classoid = CAST($3 AS REGCLASS) JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$4::VARCHAR, $5::VARCHAR, $6::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $7::VARCHAR AND pg_catalog.pg_class.relname IN ($8::VARCHAR, $9::VARCHAR, $10::VARCHAR) ORDER BY pg_catalog.pg_class.relname, pg_catalog.pg_constraint.conname;

SELECT pg_catalog.pg_class.oid, pg_catalog.pg_class.relname, pg_catalog.pg_class.reloptions, NULL AS relhasoids, CASE WHEN (pg_catalog.pg_am.amname IS NOT NULL AND pg_catalog.pg_am.amname != current_setting($1::VARCHAR)) THEN pg_catalog.pg_am.amname ELSE NULL END AS access_method_name, pg_catalog.pg_tablespace.spcname AS tablespace_name, inherits.parent_table_names
FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_am ON pg_catalog.pg_class.relam = pg_catalog.pg_am.oid LEFT OUTER JOIN (SELECT pg_catalog.pg_inherits.inhrelid AS inhrelid, array_agg(pg_catalog.pg_class.relname ORDER BY pg_catalog.pg_inherits.inhseqno) AS parent_table_names
FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON pg_catalog.pg_inherits.inhparent = pg_catalog.pg_class.oid GROUP BY pg_catalog.pg_inherits.inhrelid) AS inherits ON pg_catalog.pg_class.oid = inherits.inhrelid LEFT OUTER JOIN pg_catalog.pg_tablespace ON pg_catalog.pg_tablespace.oid = pg_catalog.pg_class.reltablespace JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relkind = ANY (ARRAY[$2::VARCHAR, $3::VARCHAR, $4::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $5::VARCHAR AND pg_catalog.pg_class.relname IN ($6::VARCHAR, $7::VARCHAR, $8::VARCHAR);

INSERT INTO sa_shepherd_nodeN (name) SELECT p0::VARCHAR FROM (VALUES ($1::VARCHAR, 0), ($2::VARCHAR, 1), ($3::VARCHAR, 2), ($4::VARCHAR, 3), ($5::VARCHAR, 4), ($6::VARCHAR, 5), ($7::VARCHAR, 6), ($8::VARCHAR, 7), ($9::VARCHAR, 8), ($10::VARCHAR, 9), ($11::VARCHAR, 10), ($12::VARCHAR, 11), ($13::VARCHAR, 12), ($14::VARCHAR, 13), ($15::VARCHAR, 14), ($16::VARCHAR, 15), ($17::VARCHAR, 16), ($18::VARCHAR, 17), ($19::VARCHAR, 18), ($20::VARCHAR, 19), ($21::VARCHAR, 20), ($22::VARCHAR, 21), ($23::VARCHAR, 22), ($24::VARCHAR, 23), ($25::VARCHAR, 24), ($26::VARCHAR, 25), ($27::VARCHAR, 26), ($28::VARCHAR, 27), ($29::VARCHAR, 28), ($30::VARCHAR, 29), ($31::VARCHAR, 30), ($32::VARCHAR, 31), ($33::VARCHAR, 32), ($34::VARCHAR, 33), ($35::VARCHAR, 34), ($36::VARCHAR, 35), ($37::VARCHAR, 36), ($38::VARCHAR, 37), ($39::VARCHAR, 38), ($40::VARCHAR, 39), ($41::VARCHAR, 40), ($42::VARCHAR, 41), ($43::VARCHAR, 42), ($44::VARCHAR, 43), ($45::VARCHAR, 44), ($46::VARCHAR, 45), ($47::VARCHAR, 46), ($48::VARCHAR, 47), ($49::VARCHAR, 48), ($50::VARCHAR, 49), ($51::VARCHAR, 50), ($52::VARCHAR, 51), ($53::VARCHAR, 52), ($54::VARCHAR, 53), ($55::VARCHAR, 54), ($56::VARCHAR, 55), ($57::VARCHAR, 56), ($58::VARCHAR, 57), ($59::VARCHAR, 58), ($60::VARCHAR, 59), ($61::VARCHAR, 60), ($62::VARCHAR, 61), ($63::VARCHAR, 62), ($64::VARCHAR, 63), ($65::VARCHAR, 64), ($66::VARCHAR, 65), ($67::VARCHAR, 66), ($68::VARCHAR, 67), ($69::VARCHAR, 68), ($70::VARCHAR, 69), ($71::VARCHAR, 70), ($72::VARCHAR, 71), ($73::VARCHAR, 72), ($74::VARCHAR, 73), ($75::VARCHAR, 74), ($76::VARCHAR, 75), ($77::VARCHAR, 76), ($78::VARCHAR, 77), ($79::VARCHAR, 78), ($80::VARCHAR, 79), ($81::VARCHAR, 80), ($82::VARCHAR, 81), ($83::VARCHAR, 82), ($84::VARCHAR, 83), ($85::VARCHAR, 84), ($86::VARCHAR, 85), ($87::VARCHAR, 86), ($88::VARCHAR, 87), ($89::VARCHAR, 88), ($90::VARCHAR, 89), ($91::VARCHAR, 90), ($92::VARCHAR, 91), ($93::VARCHAR, 92), ($94::VARCHAR, 93), ($95::VARCHAR, 94), ($96::VARCHAR, 95), ($97::VARCHAR, 96), ($98::VARCHAR, 97), ($99::VARCHAR, 98), ($100::VARCHAR, 99), ($101::VARCHAR, 100), ($102::VARCHAR, 101), ($103::VARCHAR, 102), ($104::VARCHAR, 103), ($105::VARCHAR, 104), ($106::VARCHAR, 105), ($107::VARCHAR, 106), ($108::VARCHAR, 107), ($109::VARCHAR, 108), ($110::VARCHAR, 109), ($111::VARCHAR, 110), ($112::VARCHAR, 111), ($113::VARCHAR, 112), ($114::VARCHAR, 113), ($115::VARCHAR, 114), ($116::VARCHAR, 115), ($117::VARCHAR, 116), ($118::VARCHAR, 117), ($119::VARCHAR, 118), ($120::VARCHAR, 119), ($121::VARCHAR, 120), ($122::VARCHAR, 121), ($123::VARCHAR, 122), ($124::VARCHAR, 123), ($125::VARCHAR, 124), ($126::VARCHAR, 125), ($127::VARCHAR, 126), ($128::VARCHAR, 127), ($129::VARCHAR, 128), ($130::VARCHAR, 129), ($131::VARCHAR, 130), ($132::VARCHAR, 131), ($133::VARCHAR, 132), ($134::VARCHAR, 133), ($135::VARCHAR, 134), ($136::VARCHAR, 135), ($137::VARCHAR, 136), ($138::VARCHAR, 137), ($139::VARCHAR, 138), ($140::VARCHAR, 139), ($141::VARCHAR, 140), ($142::VARCHAR, 141), ($143::VARCHAR, 142), ($144::VARCHAR, 143), ($145::VARCHAR, 144), ($146::VARCHAR, 145), ($147::VARCHAR, 146), ($148::VARCHAR, 147), ($149::VARCHAR, 148), ($150::VARCHAR, 149), ($151::VARCHAR, 150), ($152::VARCHAR, 151), ($153::VARCHAR, 152), ($154::VARCHAR, 153), ($155::VARCHAR, 154), ($156::VARCHAR, 155), ($157::VARCHAR, 156), ($158::VARCHAR, 157), ($159::VARCHAR, 158), ($160::VARCHAR, 159), ($161::VARCHAR, 160), ($162::VARCHAR, 161), ($163::VARCHAR, 162), ($164::VARCHAR, 163), ($165::VARCHAR, 164), ($166::VARCHAR, 165), ($167::VARCHAR, 166), ($168::VARCHAR, 167), ($169::VARCHAR, 168), ($170::VARCHAR, 169), ($171::VARCHAR, 170), ($172::VARCHAR, 171), ($173::VARCHAR, 172), ($174::VARCHAR, 173), ($175::VARCHAR, 174), ($176::VARCHAR, 175), ($177::VARCHAR, 176), ($178::VARCHAR, 177), ($179::VARCHAR, 178), ($180::VARCHAR, 179), ($181::VARCHAR, 180), ($182::VARCHAR, 181), ($183::VARCHAR, 182), ($184::VARCHAR, 183), ($185::VARCHAR, 184), ($186::VARCHAR, 185), ($187::VARCHAR, 186), ($188::VARCHAR, 187), ($189::VARCHAR, 188), ($190::VARCHAR, 189), ($191::VARCHAR, 190), ($192::VARCHAR, 191), ($193::VARCHAR, 192), ($194::VARCHAR, 193), ($195::VARCHAR, 194), ($196::VARCHAR, 195), ($197::VARCHAR, 196), ($198::VARCHAR, 197), ($199::VARCHAR, 198), ($200::VARCHAR, 199), ($201::VARCHAR, 200), ($202::VARCHAR, 201), ($203::VARCHAR, 202), ($204::VARCHAR, 203), ($205::VARCHAR, 204), ($206::VARCHAR, 205), ($207::VARCHAR, 206), ($208::VARCHAR, 207), ($209::VARCHAR, 208), ($210::VARCHAR, 209), ($211::VARCHAR, 210), ($212::VARCHAR, 211), ($213::VARCHAR, 212), ($214::VARCHAR, 213), ($215::VARCHAR, 214), ($216::VARCHAR, 215), ($217::VARCHAR, 216), ($218::VARCHAR, 217), ($219::VARCHAR, 218), ($220::VARCHAR, 219), ($221::VARCHAR, 220), ($222::VARCHAR, 221), ($223::VARCHAR, 222), ($224::VARCHAR, 223), ($225::VARCHAR, 224), ($226::VARCHAR, 225), ($227::VARCHAR, 226), ($228::VARCHAR, 227), ($229::VARCHAR, 228), ($230::VARCHAR, 229), ($231::VARCHAR, 230), ($232::VARCHAR, 231), ($233::VARCHAR, 232), ($234::VARCHAR, 233), ($235::VARCHAR, 234), ($236::VARCHAR, 235), ($237::VARCHAR, 236), ($238::VARCHAR, 237), ($239::VARCHAR, 238), ($240::VARCHAR, 239), ($241::VARCHAR, 240), ($242::VARCHAR, 241), ($243::VARCHAR, 242), ($244::VARCHAR, 243), ($245::VARCHAR, 244), ($246::VARCHAR, 245), ($247::VARCHAR, 246), ($248::VARCHAR, 247), ($249::VARCHAR, 248), ($250::VARCHAR, 249), ($251::VARCHAR, 250), ($252::VARCHAR, 251), ($253::VARCHAR, 252), ($254::VARCHAR, 253), ($255::VARCHAR, 254), ($256::VARCHAR, 255), ($257::VARCHAR, 256), ($258::VARCHAR, 257), ($259::VARCHAR, 258), ($260::VARCHAR, 259), ($261::VARCHAR, 260), ($262::VARCHAR, 261), ($263::VARCHAR, 262), ($264::VARCHAR, 263), ($265::VARCHAR, 264), ($266::VARCHAR, 265), ($267::VARCHAR, 266), ($268::VARCHAR, 267), ($269::VARCHAR, 268), ($270::VARCHAR, 269), ($271::VARCHAR, 270), ($272::VARCHAR, 271), ($273::VARCHAR, 272), ($274::VARCHAR, 273), ($275::VARCHAR, 274), ($276::VARCHAR, 275), ($277::VARCHAR, 276), ($278::VARCHAR, 277), ($279::VARCHAR, 278), ($280::VARCHAR, 279), ($281::VARCHAR, 280), ($282::VARCHAR, 281), ($283::VARCHAR, 282), ($284::VARCHAR, 283), ($285::VARCHAR, 284), ($286::VARCHAR, 285), ($287::VARCHAR, 286), ($288::VARCHAR, 287), ($289::VARCHAR, 288), ($290::VARCHAR, 289), ($291::VARCHAR, 290), ($292::VARCHAR, 291), ($293::VARCHAR, 292), ($294::VARCHAR, 293), ($295::VARCHAR, 294), ($296::VARCHAR, 295), ($297::VARCHAR, 296), ($298::VARCHAR, 297), ($299::VARCHAR, 298), ($300::VARCHAR, 299), ($301::VARCHAR, 300)) AS imp_sen(p0, sen_counter) ORDER BY sen_counter RETURNING sa_shepherd_nodeN.id, sa_shepherd_nodeN.id AS id__1;

INSERT INTO sa_sheep_nodeN (shepherd_id, name, weight, price, alive, born, tag, facts, wool) VALUES ($1::INTEGER, $2::VARCHAR, $3, $4, $5, $6::DATE, $7::UUID, $8::JSONB, $9) RETURNING sa_sheep_nodeN.id, sa_sheep_nodeN.seen;

INSERT INTO sa_sheep_nodeN (shepherd_id, name, weight, alive, born, tag, wool) VALUES ($1::INTEGER, $2::VARCHAR, $3, $4, $5::DATE, $6::UUID, $7) RETURNING sa_sheep_nodeN.id, sa_sheep_nodeN.price, sa_sheep_nodeN.seen;

SELECT sa_sheep_nodeN.id, sa_sheep_nodeN.shepherd_id, sa_sheep_nodeN.name, sa_sheep_nodeN.weight, sa_sheep_nodeN.price, sa_sheep_nodeN.alive, sa_sheep_nodeN.born, sa_sheep_nodeN.seen, sa_sheep_nodeN.tag, sa_sheep_nodeN.facts, sa_sheep_nodeN.wool
FROM sa_sheep_nodeN
WHERE sa_sheep_nodeN.id = $1::BIGINT;

SELECT sa_shepherd_nodeN.id, sa_shepherd_nodeN.name
FROM sa_shepherd_nodeN
WHERE sa_shepherd_nodeN.name = $1::VARCHAR;

SELECT sa_sheep_nodeN.shepherd_id, sa_sheep_nodeN.id, sa_sheep_nodeN.name, sa_sheep_nodeN.weight, sa_sheep_nodeN.price, sa_sheep_nodeN.alive, sa_sheep_nodeN.born, sa_sheep_nodeN.seen, sa_sheep_nodeN.tag, sa_sheep_nodeN.facts, sa_sheep_nodeN.wool
FROM sa_sheep_nodeN
WHERE sa_sheep_nodeN.shepherd_id IN ($1::INTEGER) ORDER BY sa_sheep_nodeN.id;

UPDATE sa_sheep_nodeN SET weight=$1 WHERE sa_sheep_nodeN.id = $2::BIGINT;

SELECT sa_shepherd_nodeN.name, count(*) AS count_1, min(sa_sheep_nodeN.weight) AS min_1
FROM sa_shepherd_nodeN JOIN sa_sheep_nodeN ON sa_shepherd_nodeN.id = sa_sheep_nodeN.shepherd_id GROUP BY sa_shepherd_nodeN.name;

SELECT sa_shepherd_nodeN.id, sa_shepherd_nodeN.name
FROM sa_shepherd_nodeN ORDER BY sa_shepherd_nodeN.id DESC
LIMIT $1::INTEGER OFFSET $2::INTEGER;

SELECT sa_shepherd_nodeN.id
FROM sa_shepherd_nodeN
WHERE sa_shepherd_nodeN.name IN ($1::VARCHAR, $2::VARCHAR) AND sa_shepherd_nodeN.name ILIKE $3::VARCHAR;

SELECT sa_shepherd_nodeN.id, sa_shepherd_nodeN.name
FROM sa_shepherd_nodeN
WHERE sa_shepherd_nodeN.id = $1::INTEGER;

SELECT sa_sheep_nodeN.id, sa_sheep_nodeN.shepherd_id, sa_sheep_nodeN.name, sa_sheep_nodeN.weight, sa_sheep_nodeN.price, sa_sheep_nodeN.alive, sa_sheep_nodeN.born, sa_sheep_nodeN.seen, sa_sheep_nodeN.tag, sa_sheep_nodeN.facts, sa_sheep_nodeN.wool
FROM sa_sheep_nodeN
WHERE $1::INTEGER = sa_sheep_nodeN.shepherd_id ORDER BY sa_sheep_nodeN.id;

SELECT sa_shepherd_nodeN.name, anon_1.most
FROM sa_shepherd_nodeN JOIN (SELECT sa_sheep_nodeN.shepherd_id AS shepherd_id, max(sa_sheep_nodeN.weight) AS most
FROM sa_sheep_nodeN GROUP BY sa_sheep_nodeN.shepherd_id) AS anon_1 ON anon_1.shepherd_id = sa_shepherd_nodeN.id;

INSERT INTO sa_shepherd_nodeN (name) VALUES ($1::VARCHAR), ($2::VARCHAR) ON CONFLICT (name) DO UPDATE SET name = (excluded.name || $3::VARCHAR) RETURNING sa_shepherd_nodeN.name;

INSERT INTO sa_award_nodeN (year, place, sheep_id) VALUES ($1::INTEGER, $2::INTEGER, $3::BIGINT);

RELEASE SAVEPOINT "…";

ROLLBACK TO SAVEPOINT "…";

UPDATE sa_sheep_nodeN SET alive=$1 WHERE sa_sheep_nodeN.name = $2::VARCHAR RETURNING sa_sheep_nodeN.alive;

DECLARE "…" CURSOR FOR SELECT sa_shepherd_nodeN.id
FROM sa_shepherd_nodeN;

FETCH FORWARD 1 FROM "…";

FETCH FORWARD ALL FROM "…";

CLOSE "…";

SELECT sa_sheep_nodeN.name, sa_sheep_nodeN.price
FROM sa_sheep_nodeN
WHERE sa_sheep_nodeN.name IN ($1::VARCHAR, $2::VARCHAR);

SELECT pg_catalog.pg_class.relname
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
WHERE pg_catalog.pg_class.relname IN ($7::VARCHAR) AND pg_catalog.pg_class.relkind = ANY (ARRAY[$1::VARCHAR, $2::VARCHAR, $3::VARCHAR, $4::VARCHAR, $5::VARCHAR]) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != $6::VARCHAR;

DROP TABLE sa_award_nodeN;

DROP TABLE sa_sheep_nodeN;

DROP TABLE sa_shepherd_nodeN;

