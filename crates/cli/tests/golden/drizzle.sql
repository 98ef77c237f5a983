SELECT
n.nspname AS table_schema,
c.relname AS table_name,
CASE
WHEN c.relkind = 'r' THEN 'table'
WHEN c.relkind = 'v' THEN 'view'
WHEN c.relkind = 'm' THEN 'materialized_view'
END AS type,
c.relrowsecurity AS rls_enabled
FROM
pg_catalog.pg_class c
JOIN
pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE
c.relkind IN ('r', 'v', 'm')
AND n.nspname = 'public';

select s.nspname as table_schema
from pg_catalog.pg_namespace s
join pg_catalog.pg_user u on u.usesysid = s.nspowner
where nspname not in ('information_schema', 'pg_catalog', 'public')
and nspname not like 'pg_toast%'
and nspname not like 'pg_temp_%'
order by table_schema;

select schemaname, sequencename, start_value, min_value, max_value, increment_by, cycle, cache_size from pg_sequences as seq WHERE schemaname = 'public';

select n.nspname as enum_schema,
t.typname as enum_name,
e.enumlabel as enum_value,
e.enumsortorder as sort_order
from pg_type t
join pg_enum e on t.oid = e.enumtypid
join pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = 'public'
order by enum_schema, enum_name, sort_order;

SELECT rolname, rolinherit, rolcreatedb, rolcreaterole FROM pg_roles;

SELECT schemaname, tablename, policyname as name, permissive as "as", roles as to, cmd as for, qual as using, with_check as "withCheck" FROM pg_policies WHERE schemaname = 'public';

CREATE TABLE "dz_award_nodeN" (
"year" integer NOT NULL,
"place" integer NOT NULL,
"sheep" integer NOT NULL,
CONSTRAINT "dz_award_nodeN_year_place_pk" PRIMARY KEY("year","place")
);

CREATE TABLE "dz_sheep_nodeN" (
"id" serial PRIMARY KEY NOT NULL,
"shepherd" integer,
"name" text NOT NULL,
"weight" double precision,
"price" numeric(10, 2) DEFAULT '0',
"wool" bigint,
"alive" boolean DEFAULT true NOT NULL,
"born" date,
"seen" timestamp with time zone DEFAULT now(),
"tag" uuid DEFAULT gen_random_uuid(),
"facts" jsonb,
CONSTRAINT "dz_once_nodeN" UNIQUE("name","weight"),
CONSTRAINT "dz_heavy_nodeN" CHECK (weight > 0)
);

CREATE TABLE "dz_shepherd_nodeN" (
"id" serial PRIMARY KEY NOT NULL,
"name" varchar(40) NOT NULL,
CONSTRAINT "dz_shepherd_nodeN_name_unique" UNIQUE("name")
);

ALTER TABLE "dz_award_nodeN" ADD CONSTRAINT "dz_award_nodeN_sheep_dz_sheep_nodeN_id_fk" FOREIGN KEY ("sheep") REFERENCES "public"."dz_sheep_nodeN"("id") ON DELETE no action ON UPDATE no action;

ALTER TABLE "dz_sheep_nodeN" ADD CONSTRAINT "dz_sheep_nodeN_shepherd_dz_shepherd_nodeN_id_fk" FOREIGN KEY ("shepherd") REFERENCES "public"."dz_shepherd_nodeN"("id") ON DELETE cascade ON UPDATE no action;

CREATE INDEX "dz_by_name_nodeN" ON "dz_sheep_nodeN" USING btree ("name","born");

CREATE UNIQUE INDEX "dz_by_tag_nodeN" ON "dz_sheep_nodeN" USING btree ("tag");

SELECT
a.attrelid::regclass::text AS table_name,  -- Table, view, or materialized view name
a.attname AS column_name,   -- Column name
CASE
WHEN NOT a.attisdropped THEN
CASE
WHEN a.attnotnull THEN 'NO'
ELSE 'YES'
END
ELSE NULL
END AS is_nullable,  -- NULL or NOT NULL constraint
a.attndims AS array_dimensions,  -- Array dimensions
CASE
WHEN a.atttypid = ANY ('{int,int8,int2}'::regtype[])
AND EXISTS (
SELECT FROM pg_attrdef ad
WHERE ad.adrelid = a.attrelid
AND ad.adnum = a.attnum
AND pg_get_expr(ad.adbin, ad.adrelid) = 'nextval('''
|| pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass || '''::regclass)'
)
THEN CASE a.atttypid
WHEN 'int'::regtype THEN 'serial'
WHEN 'int8'::regtype THEN 'bigserial'
WHEN 'int2'::regtype THEN 'smallserial'
END
ELSE format_type(a.atttypid, a.atttypmod)
END AS data_type,  -- Column data type
--    ns.nspname AS type_schema,  -- Schema name
pg_get_serial_sequence('"public"."dz_award_nodeN"', a.attname)::regclass AS seq_name,  -- Serial sequence (if any)
c.column_default,  -- Column default value
c.data_type AS additional_dt,  -- Data type from information_schema
c.udt_name AS enum_name,  -- Enum type (if applicable)
c.is_generated,  -- Is it a generated column?
c.generation_expression,  -- Generation expression (if generated)
c.is_identity,  -- Is it an identity column?
c.identity_generation,  -- Identity generation strategy (ALWAYS or BY DEFAULT)
c.identity_start,  -- Start value of identity column
c.identity_increment,  -- Increment for identity column
c.identity_maximum,  -- Maximum value for identity column
c.identity_minimum,  -- Minimum value for identity column
c.identity_cycle,  -- Does the identity column cycle?
enum_ns.nspname AS type_schema  -- Schema of the enum type
FROM
pg_attribute a
JOIN
pg_class cls ON cls.oid = a.attrelid  -- Join pg_class to get table/view/materialized view info
JOIN
pg_namespace ns ON ns.oid = cls.relnamespace  -- Join namespace to get schema info
LEFT JOIN
information_schema.columns c ON c.column_name = a.attname
AND c.table_schema = ns.nspname
AND c.table_name = cls.relname  -- Match schema and table/view name
LEFT JOIN
pg_type enum_t ON enum_t.oid = a.atttypid  -- Join to get the type info
LEFT JOIN
pg_namespace enum_ns ON enum_ns.oid = enum_t.typnamespace  -- Join to get the enum schema
WHERE
a.attnum > 0  -- Valid column numbers only
AND NOT a.attisdropped  -- Skip dropped columns
AND cls.relkind IN ('r', 'v', 'm')  -- Include regular tables ('r'), views ('v'), and materialized views ('m')
AND ns.nspname = 'public'  -- Filter by schema
AND cls.relname = 'dz_award_nodeN'  -- Filter by table name
ORDER BY
a.attnum;  -- Order by column number;

SELECT
a.attrelid::regclass::text AS table_name,  -- Table, view, or materialized view name
a.attname AS column_name,   -- Column name
CASE
WHEN NOT a.attisdropped THEN
CASE
WHEN a.attnotnull THEN 'NO'
ELSE 'YES'
END
ELSE NULL
END AS is_nullable,  -- NULL or NOT NULL constraint
a.attndims AS array_dimensions,  -- Array dimensions
CASE
WHEN a.atttypid = ANY ('{int,int8,int2}'::regtype[])
AND EXISTS (
SELECT FROM pg_attrdef ad
WHERE ad.adrelid = a.attrelid
AND ad.adnum = a.attnum
AND pg_get_expr(ad.adbin, ad.adrelid) = 'nextval('''
|| pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass || '''::regclass)'
)
THEN CASE a.atttypid
WHEN 'int'::regtype THEN 'serial'
WHEN 'int8'::regtype THEN 'bigserial'
WHEN 'int2'::regtype THEN 'smallserial'
END
ELSE format_type(a.atttypid, a.atttypmod)
END AS data_type,  -- Column data type
--    ns.nspname AS type_schema,  -- Schema name
pg_get_serial_sequence('"public"."dz_sheep_nodeN"', a.attname)::regclass AS seq_name,  -- Serial sequence (if any)
c.column_default,  -- Column default value
c.data_type AS additional_dt,  -- Data type from information_schema
c.udt_name AS enum_name,  -- Enum type (if applicable)
c.is_generated,  -- Is it a generated column?
c.generation_expression,  -- Generation expression (if generated)
c.is_identity,  -- Is it an identity column?
c.identity_generation,  -- Identity generation strategy (ALWAYS or BY DEFAULT)
c.identity_start,  -- Start value of identity column
c.identity_increment,  -- Increment for identity column
c.identity_maximum,  -- Maximum value for identity column
c.identity_minimum,  -- Minimum value for identity column
c.identity_cycle,  -- Does the identity column cycle?
enum_ns.nspname AS type_schema  -- Schema of the enum type
FROM
pg_attribute a
JOIN
pg_class cls ON cls.oid = a.attrelid  -- Join pg_class to get table/view/materialized view info
JOIN
pg_namespace ns ON ns.oid = cls.relnamespace  -- Join namespace to get schema info
LEFT JOIN
information_schema.columns c ON c.column_name = a.attname
AND c.table_schema = ns.nspname
AND c.table_name = cls.relname  -- Match schema and table/view name
LEFT JOIN
pg_type enum_t ON enum_t.oid = a.atttypid  -- Join to get the type info
LEFT JOIN
pg_namespace enum_ns ON enum_ns.oid = enum_t.typnamespace  -- Join to get the enum schema
WHERE
a.attnum > 0  -- Valid column numbers only
AND NOT a.attisdropped  -- Skip dropped columns
AND cls.relkind IN ('r', 'v', 'm')  -- Include regular tables ('r'), views ('v'), and materialized views ('m')
AND ns.nspname = 'public'  -- Filter by schema
AND cls.relname = 'dz_sheep_nodeN'  -- Filter by table name
ORDER BY
a.attnum;  -- Order by column number;

SELECT
a.attrelid::regclass::text AS table_name,  -- Table, view, or materialized view name
a.attname AS column_name,   -- Column name
CASE
WHEN NOT a.attisdropped THEN
CASE
WHEN a.attnotnull THEN 'NO'
ELSE 'YES'
END
ELSE NULL
END AS is_nullable,  -- NULL or NOT NULL constraint
a.attndims AS array_dimensions,  -- Array dimensions
CASE
WHEN a.atttypid = ANY ('{int,int8,int2}'::regtype[])
AND EXISTS (
SELECT FROM pg_attrdef ad
WHERE ad.adrelid = a.attrelid
AND ad.adnum = a.attnum
AND pg_get_expr(ad.adbin, ad.adrelid) = 'nextval('''
|| pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass || '''::regclass)'
)
THEN CASE a.atttypid
WHEN 'int'::regtype THEN 'serial'
WHEN 'int8'::regtype THEN 'bigserial'
WHEN 'int2'::regtype THEN 'smallserial'
END
ELSE format_type(a.atttypid, a.atttypmod)
END AS data_type,  -- Column data type
--    ns.nspname AS type_schema,  -- Schema name
pg_get_serial_sequence('"public"."dz_shepherd_nodeN"', a.attname)::regclass AS seq_name,  -- Serial sequence (if any)
c.column_default,  -- Column default value
c.data_type AS additional_dt,  -- Data type from information_schema
c.udt_name AS enum_name,  -- Enum type (if applicable)
c.is_generated,  -- Is it a generated column?
c.generation_expression,  -- Generation expression (if generated)
c.is_identity,  -- Is it an identity column?
c.identity_generation,  -- Identity generation strategy (ALWAYS or BY DEFAULT)
c.identity_start,  -- Start value of identity column
c.identity_increment,  -- Increment for identity column
c.identity_maximum,  -- Maximum value for identity column
c.identity_minimum,  -- Minimum value for identity column
c.identity_cycle,  -- Does the identity column cycle?
enum_ns.nspname AS type_schema  -- Schema of the enum type
FROM
pg_attribute a
JOIN
pg_class cls ON cls.oid = a.attrelid  -- Join pg_class to get table/view/materialized view info
JOIN
pg_namespace ns ON ns.oid = cls.relnamespace  -- Join namespace to get schema info
LEFT JOIN
information_schema.columns c ON c.column_name = a.attname
AND c.table_schema = ns.nspname
AND c.table_name = cls.relname  -- Match schema and table/view name
LEFT JOIN
pg_type enum_t ON enum_t.oid = a.atttypid  -- Join to get the type info
LEFT JOIN
pg_namespace enum_ns ON enum_ns.oid = enum_t.typnamespace  -- Join to get the enum schema
WHERE
a.attnum > 0  -- Valid column numbers only
AND NOT a.attisdropped  -- Skip dropped columns
AND cls.relkind IN ('r', 'v', 'm')  -- Include regular tables ('r'), views ('v'), and materialized views ('m')
AND ns.nspname = 'public'  -- Filter by schema
AND cls.relname = 'dz_shepherd_nodeN'  -- Filter by table name
ORDER BY
a.attnum;  -- Order by column number;

SELECT c.column_name, c.data_type, constraint_type, constraint_name, constraint_schema
FROM information_schema.table_constraints tc
JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_name)
JOIN information_schema.columns AS c ON c.table_schema = tc.constraint_schema
AND tc.table_name = c.table_name AND ccu.column_name = c.column_name
WHERE tc.table_name = 'dz_award_nodeN' and constraint_schema = 'public';

SELECT c.column_name, c.data_type, constraint_type, constraint_name, constraint_schema
FROM information_schema.table_constraints tc
JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_name)
JOIN information_schema.columns AS c ON c.table_schema = tc.constraint_schema
AND tc.table_name = c.table_name AND ccu.column_name = c.column_name
WHERE tc.table_name = 'dz_sheep_nodeN' and constraint_schema = 'public';

SELECT c.column_name, c.data_type, constraint_type, constraint_name, constraint_schema
FROM information_schema.table_constraints tc
JOIN information_schema.constraint_column_usage AS ccu USING (constraint_schema, constraint_name)
JOIN information_schema.columns AS c ON c.table_schema = tc.constraint_schema
AND tc.table_name = c.table_name AND ccu.column_name = c.column_name
WHERE tc.table_name = 'dz_shepherd_nodeN' and constraint_schema = 'public';

SELECT
tc.constraint_name,
tc.constraint_type,
pg_get_constraintdef(con.oid) AS constraint_definition
FROM
information_schema.table_constraints AS tc
JOIN pg_constraint AS con
ON tc.constraint_name = con.conname
AND con.conrelid = (
SELECT oid
FROM pg_class
WHERE relname = tc.table_name
AND relnamespace = (
SELECT oid
FROM pg_namespace
WHERE nspname = tc.constraint_schema
)
)
WHERE
tc.table_name = 'dz_award_nodeN'
AND tc.constraint_schema = 'public'
AND tc.constraint_type = 'CHECK'
AND con.contype = 'c';

SELECT
tc.constraint_name,
tc.constraint_type,
pg_get_constraintdef(con.oid) AS constraint_definition
FROM
information_schema.table_constraints AS tc
JOIN pg_constraint AS con
ON tc.constraint_name = con.conname
AND con.conrelid = (
SELECT oid
FROM pg_class
WHERE relname = tc.table_name
AND relnamespace = (
SELECT oid
FROM pg_namespace
WHERE nspname = tc.constraint_schema
)
)
WHERE
tc.table_name = 'dz_sheep_nodeN'
AND tc.constraint_schema = 'public'
AND tc.constraint_type = 'CHECK'
AND con.contype = 'c';

SELECT
tc.constraint_name,
tc.constraint_type,
pg_get_constraintdef(con.oid) AS constraint_definition
FROM
information_schema.table_constraints AS tc
JOIN pg_constraint AS con
ON tc.constraint_name = con.conname
AND con.conrelid = (
SELECT oid
FROM pg_class
WHERE relname = tc.table_name
AND relnamespace = (
SELECT oid
FROM pg_namespace
WHERE nspname = tc.constraint_schema
)
)
WHERE
tc.table_name = 'dz_shepherd_nodeN'
AND tc.constraint_schema = 'public'
AND tc.constraint_type = 'CHECK'
AND con.contype = 'c';

SELECT
con.contype AS constraint_type,
nsp.nspname AS constraint_schema,
con.conname AS constraint_name,
rel.relname AS table_name,
att.attname AS column_name,
fnsp.nspname AS foreign_table_schema,
frel.relname AS foreign_table_name,
fatt.attname AS foreign_column_name,
CASE con.confupdtype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS update_rule,
CASE con.confdeltype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS delete_rule
FROM
pg_catalog.pg_constraint con
JOIN pg_catalog.pg_class rel ON rel.oid = con.conrelid
JOIN pg_catalog.pg_namespace nsp ON nsp.oid = con.connamespace
LEFT JOIN pg_catalog.pg_attribute att ON att.attnum = ANY (con.conkey)
AND att.attrelid = con.conrelid
LEFT JOIN pg_catalog.pg_class frel ON frel.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace fnsp ON fnsp.oid = frel.relnamespace
LEFT JOIN pg_catalog.pg_attribute fatt ON fatt.attnum = ANY (con.confkey)
AND fatt.attrelid = con.confrelid
WHERE
nsp.nspname = 'public'
AND rel.relname = 'dz_award_nodeN'
AND con.contype IN ('f');

SELECT
con.contype AS constraint_type,
nsp.nspname AS constraint_schema,
con.conname AS constraint_name,
rel.relname AS table_name,
att.attname AS column_name,
fnsp.nspname AS foreign_table_schema,
frel.relname AS foreign_table_name,
fatt.attname AS foreign_column_name,
CASE con.confupdtype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS update_rule,
CASE con.confdeltype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS delete_rule
FROM
pg_catalog.pg_constraint con
JOIN pg_catalog.pg_class rel ON rel.oid = con.conrelid
JOIN pg_catalog.pg_namespace nsp ON nsp.oid = con.connamespace
LEFT JOIN pg_catalog.pg_attribute att ON att.attnum = ANY (con.conkey)
AND att.attrelid = con.conrelid
LEFT JOIN pg_catalog.pg_class frel ON frel.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace fnsp ON fnsp.oid = frel.relnamespace
LEFT JOIN pg_catalog.pg_attribute fatt ON fatt.attnum = ANY (con.confkey)
AND fatt.attrelid = con.confrelid
WHERE
nsp.nspname = 'public'
AND rel.relname = 'dz_sheep_nodeN'
AND con.contype IN ('f');

SELECT
con.contype AS constraint_type,
nsp.nspname AS constraint_schema,
con.conname AS constraint_name,
rel.relname AS table_name,
att.attname AS column_name,
fnsp.nspname AS foreign_table_schema,
frel.relname AS foreign_table_name,
fatt.attname AS foreign_column_name,
CASE con.confupdtype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS update_rule,
CASE con.confdeltype
WHEN 'a' THEN 'NO ACTION'
WHEN 'r' THEN 'RESTRICT'
WHEN 'n' THEN 'SET NULL'
WHEN 'c' THEN 'CASCADE'
WHEN 'd' THEN 'SET DEFAULT'
END AS delete_rule
FROM
pg_catalog.pg_constraint con
JOIN pg_catalog.pg_class rel ON rel.oid = con.conrelid
JOIN pg_catalog.pg_namespace nsp ON nsp.oid = con.connamespace
LEFT JOIN pg_catalog.pg_attribute att ON att.attnum = ANY (con.conkey)
AND att.attrelid = con.conrelid
LEFT JOIN pg_catalog.pg_class frel ON frel.oid = con.confrelid
LEFT JOIN pg_catalog.pg_namespace fnsp ON fnsp.oid = frel.relnamespace
LEFT JOIN pg_catalog.pg_attribute fatt ON fatt.attnum = ANY (con.confkey)
AND fatt.attrelid = con.confrelid
WHERE
nsp.nspname = 'public'
AND rel.relname = 'dz_shepherd_nodeN'
AND con.contype IN ('f');

SELECT conname AS primary_key
FROM   pg_constraint join pg_class on (pg_class.oid = conrelid)
WHERE  contype = 'p'
AND    connamespace = $1::regnamespace
AND    pg_class.relname = $2;

SELECT  DISTINCT ON (t.relname, ic.relname, k.i) t.relname as table_name, ic.relname AS indexname,
k.i AS index_order,
i.indisunique as is_unique,
am.amname as method,
ic.reloptions as with,
coalesce(a.attname, pg_get_indexdef(i.indexrelid, k.i, false)) AS column_name,
CASE
WHEN pg_get_expr(i.indexprs, i.indrelid) IS NOT NULL THEN 1
ELSE 0
END AS is_expression,
i.indoption[k.i-1] & 1 = 1 AS descending,
i.indoption[k.i-1] & 2 = 2 AS nulls_first,
pg_get_expr(
i.indpred,
i.indrelid
) as where,
opc.opcname
FROM pg_class t
LEFT JOIN pg_index i ON t.oid = i.indrelid
LEFT JOIN pg_class ic ON ic.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT unnest(i.indkey), generate_subscripts(i.indkey, 1) + 1) AS k(attnum, i)
LEFT JOIN pg_attribute AS a
ON i.indrelid = a.attrelid AND k.attnum = a.attnum
JOIN pg_namespace c on c.oid = t.relnamespace
LEFT JOIN pg_am AS am ON ic.relam = am.oid
JOIN pg_opclass opc ON opc.oid = ANY(i.indclass)
WHERE
c.nspname = 'public' AND
t.relname = 'dz_sheep_nodeN';

SELECT  DISTINCT ON (t.relname, ic.relname, k.i) t.relname as table_name, ic.relname AS indexname,
k.i AS index_order,
i.indisunique as is_unique,
am.amname as method,
ic.reloptions as with,
coalesce(a.attname, pg_get_indexdef(i.indexrelid, k.i, false)) AS column_name,
CASE
WHEN pg_get_expr(i.indexprs, i.indrelid) IS NOT NULL THEN 1
ELSE 0
END AS is_expression,
i.indoption[k.i-1] & 1 = 1 AS descending,
i.indoption[k.i-1] & 2 = 2 AS nulls_first,
pg_get_expr(
i.indpred,
i.indrelid
) as where,
opc.opcname
FROM pg_class t
LEFT JOIN pg_index i ON t.oid = i.indrelid
LEFT JOIN pg_class ic ON ic.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT unnest(i.indkey), generate_subscripts(i.indkey, 1) + 1) AS k(attnum, i)
LEFT JOIN pg_attribute AS a
ON i.indrelid = a.attrelid AND k.attnum = a.attnum
JOIN pg_namespace c on c.oid = t.relnamespace
LEFT JOIN pg_am AS am ON ic.relam = am.oid
JOIN pg_opclass opc ON opc.oid = ANY(i.indclass)
WHERE
c.nspname = 'public' AND
t.relname = 'dz_shepherd_nodeN';

SELECT
idx.indexrelname AS index_name,
idx.relname AS table_name,
schemaname,
CASE WHEN con.conname IS NOT NULL THEN 1 ELSE 0 END AS generated_by_constraint
FROM
pg_stat_user_indexes idx
LEFT JOIN
pg_constraint con ON con.conindid = idx.indexrelid
WHERE idx.relname = 'dz_sheep_nodeN' and schemaname = 'public'
group by index_name, table_name,schemaname, generated_by_constraint;

SELECT
idx.indexrelname AS index_name,
idx.relname AS table_name,
schemaname,
CASE WHEN con.conname IS NOT NULL THEN 1 ELSE 0 END AS generated_by_constraint
FROM
pg_stat_user_indexes idx
LEFT JOIN
pg_constraint con ON con.conindid = idx.indexrelid
WHERE idx.relname = 'dz_shepherd_nodeN' and schemaname = 'public'
group by index_name, table_name,schemaname, generated_by_constraint;

SELECT  DISTINCT ON (t.relname, ic.relname, k.i) t.relname as table_name, ic.relname AS indexname,
k.i AS index_order,
i.indisunique as is_unique,
am.amname as method,
ic.reloptions as with,
coalesce(a.attname, pg_get_indexdef(i.indexrelid, k.i, false)) AS column_name,
CASE
WHEN pg_get_expr(i.indexprs, i.indrelid) IS NOT NULL THEN 1
ELSE 0
END AS is_expression,
i.indoption[k.i-1] & 1 = 1 AS descending,
i.indoption[k.i-1] & 2 = 2 AS nulls_first,
pg_get_expr(
i.indpred,
i.indrelid
) as where,
opc.opcname
FROM pg_class t
LEFT JOIN pg_index i ON t.oid = i.indrelid
LEFT JOIN pg_class ic ON ic.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT unnest(i.indkey), generate_subscripts(i.indkey, 1) + 1) AS k(attnum, i)
LEFT JOIN pg_attribute AS a
ON i.indrelid = a.attrelid AND k.attnum = a.attnum
JOIN pg_namespace c on c.oid = t.relnamespace
LEFT JOIN pg_am AS am ON ic.relam = am.oid
JOIN pg_opclass opc ON opc.oid = ANY(i.indclass)
WHERE
c.nspname = 'public' AND
t.relname = 'dz_award_nodeN';

SELECT
idx.indexrelname AS index_name,
idx.relname AS table_name,
schemaname,
CASE WHEN con.conname IS NOT NULL THEN 1 ELSE 0 END AS generated_by_constraint
FROM
pg_stat_user_indexes idx
LEFT JOIN
pg_constraint con ON con.conindid = idx.indexrelid
WHERE idx.relname = 'dz_award_nodeN' and schemaname = 'public'
group by index_name, table_name,schemaname, generated_by_constraint;

insert into "dz_shepherd_nodeN" ("id", "name") values (default, $1) returning "id", "name";

insert into "dz_shepherd_nodeN" ("id", "name") values (default, $1), (default, $2) on conflict do nothing;

insert into "dz_sheep_nodeN" ("id", "shepherd", "name", "weight", "price", "wool", "alive", "born", "seen", "tag", "facts") values (default, $1, $2, $3, $4, $5, default, $6, default, default, $7) returning "id", "shepherd", "name", "weight", "price", "wool", "alive", "born", "seen", "tag", "facts";

insert into "dz_sheep_nodeN" ("id", "shepherd", "name", "weight", "price", "wool", "alive", "born", "seen", "tag", "facts") values (default, $1, $2, default, default, default, default, default, default, default, default);

select "dz_shepherd_nodeN"."name", count("dz_sheep_nodeN"."id"), max("dz_sheep_nodeN"."weight") from "dz_shepherd_nodeN" left join "dz_sheep_nodeN" on "dz_sheep_nodeN"."shepherd" = "dz_shepherd_nodeN"."id" group by "dz_shepherd_nodeN"."name" order by "dz_shepherd_nodeN"."name" desc;

select "id", "shepherd", "name", "weight", "price", "wool", "alive", "born", "seen", "tag", "facts" from "dz_sheep_nodeN" where ("dz_sheep_nodeN"."name" in ($1, $2) and "dz_sheep_nodeN"."weight" > $3 and "dz_sheep_nodeN"."name" ilike $4);

update "dz_sheep_nodeN" set "weight" = "dz_sheep_nodeN"."weight" + 1 where "dz_sheep_nodeN"."id" = $1;

insert into "dz_shepherd_nodeN" ("id", "name") values (default, $1) on conflict ("name") do update set "name" = $2;

select "dz_shepherd_nodeN"."name", "most" from "dz_shepherd_nodeN" inner join (select "shepherd", max("weight") as "most" from "dz_sheep_nodeN" group by "dz_sheep_nodeN"."shepherd") "inside" on "inside"."shepherd" = "dz_shepherd_nodeN"."id";

begin;

insert into "dz_award_nodeN" ("year", "place", "sheep") values ($1, $2, $3);

savepoint "…";

release savepoint "…";

rollback;

select "year", "place", "sheep" from "dz_award_nodeN";

