CREATE TABLE asyncpg_nodeN (
id serial PRIMARY KEY, small smallint, four int4, big bigint, single float4, real float8,
price numeric(12, 2), name text, short varchar(20), wool bytea, alive boolean, born date, at time,
seen timestamp, told timestamptz, tag uuid, facts json, more jsonb);

INSERT INTO asyncpg_nodeN (small, four, big, single, real, price, name, short, wool, alive, born, at, seen, told, tag, facts, more) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) RETURNING id;

SELECT small, four, big, single, real, price, name, short, wool, alive, born, at, seen, told, tag, facts, more FROM asyncpg_nodeN WHERE id = $1;

INSERT INTO asyncpg_nodeN (price, seen, born) VALUES ($1, $2, $3);

SELECT price, seen, born, told FROM asyncpg_nodeN WHERE seen < $1;

SELECT $1::int + $2::int;

SELECT $1::text || '…';

SELECT now() > $1::timestamptz;

SELECT now();

SELECT '…'::jsonb;

SELECT 1.50::numeric(10,2);

INSERT INTO asyncpg_nodeN (id, name) VALUES ($1, $2);

SELECT id FROM asyncpg_nodeN WHERE id = ANY($1);

SELECT
current_setting('jit') AS cur,
set_config('jit', 'off', false) AS new;

WITH RECURSIVE typeinfo_tree(
oid, ns, name, kind, basetype, elemtype, elemdelim,
range_subtype, attrtypoids, attrnames, depth)
AS (
SELECT
ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
ti.elemtype, ti.elemdelim, ti.range_subtype,
ti.attrtypoids, ti.attrnames, 0
FROM
(
SELECT
t.oid                           AS oid,
ns.nspname                      AS ns,
t.typname                       AS name,
t.typtype                       AS kind,
(CASE WHEN t.typtype = 'd' THEN
(WITH RECURSIVE typebases(oid, depth) AS (
SELECT
t2.typbasetype      AS oid,
0                   AS depth
FROM
pg_type t2
WHERE
t2.oid = t.oid
UNION ALL
SELECT
t2.typbasetype      AS oid,
tb.depth + 1        AS depth
FROM
pg_type t2,
typebases tb
WHERE
tb.oid = t2.oid
AND t2.typbasetype != 0
) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)
ELSE NULL
END)                            AS basetype,
t.typelem                       AS elemtype,
elem_t.typdelim                 AS elemdelim,
COALESCE(
range_t.rngsubtype,
multirange_t.rngsubtype)    AS range_subtype,
(CASE WHEN t.typtype = 'c' THEN
(SELECT
array_agg(ia.atttypid ORDER BY ia.attnum)
FROM
pg_attribute ia
INNER JOIN pg_class c
ON (ia.attrelid = c.oid)
WHERE
ia.attnum > 0 AND NOT ia.attisdropped
AND c.reltype = t.oid)
ELSE NULL
END)                            AS attrtypoids,
(CASE WHEN t.typtype = 'c' THEN
(SELECT
array_agg(ia.attname::text ORDER BY ia.attnum)
FROM
pg_attribute ia
INNER JOIN pg_class c
ON (ia.attrelid = c.oid)
WHERE
ia.attnum > 0 AND NOT ia.attisdropped
AND c.reltype = t.oid)
ELSE NULL
END)                            AS attrnames
FROM
pg_catalog.pg_type AS t
INNER JOIN pg_catalog.pg_namespace ns ON (
ns.oid = t.typnamespace)
LEFT JOIN pg_type elem_t ON (
t.typlen = -1 AND
t.typelem != 0 AND
t.typelem = elem_t.oid
)
LEFT JOIN pg_range range_t ON (
t.oid = range_t.rngtypid
)
LEFT JOIN pg_range multirange_t ON (
t.oid = multirange_t.rngmultitypid
)
)
AS ti
WHERE
ti.oid = any($1::oid[])
UNION ALL
SELECT
ti.oid, ti.ns, ti.name, ti.kind, ti.basetype,
ti.elemtype, ti.elemdelim, ti.range_subtype,
ti.attrtypoids, ti.attrnames, tt.depth + 1
FROM
(
SELECT
t.oid                           AS oid,
ns.nspname                      AS ns,
t.typname                       AS name,
t.typtype                       AS kind,
(CASE WHEN t.typtype = 'd' THEN
(WITH RECURSIVE typebases(oid, depth) AS (
SELECT
t2.typbasetype      AS oid,
0                   AS depth
FROM
pg_type t2
WHERE
t2.oid = t.oid
UNION ALL
SELECT
t2.typbasetype      AS oid,
tb.depth + 1        AS depth
FROM
pg_type t2,
typebases tb
WHERE
tb.oid = t2.oid
AND t2.typbasetype != 0
) SELECT oid FROM typebases ORDER BY depth DESC LIMIT 1)
ELSE NULL
END)                            AS basetype,
t.typelem                       AS elemtype,
elem_t.typdelim                 AS elemdelim,
COALESCE(
range_t.rngsubtype,
multirange_t.rngsubtype)    AS range_subtype,
(CASE WHEN t.typtype = 'c' THEN
(SELECT
array_agg(ia.atttypid ORDER BY ia.attnum)
FROM
pg_attribute ia
INNER JOIN pg_class c
ON (ia.attrelid = c.oid)
WHERE
ia.attnum > 0 AND NOT ia.attisdropped
AND c.reltype = t.oid)
ELSE NULL
END)                            AS attrtypoids,
(CASE WHEN t.typtype = 'c' THEN
(SELECT
array_agg(ia.attname::text ORDER BY ia.attnum)
FROM
pg_attribute ia
INNER JOIN pg_class c
ON (ia.attrelid = c.oid)
WHERE
ia.attnum > 0 AND NOT ia.attisdropped
AND c.reltype = t.oid)
ELSE NULL
END)                            AS attrnames
FROM
pg_catalog.pg_type AS t
INNER JOIN pg_catalog.pg_namespace ns ON (
ns.oid = t.typnamespace)
LEFT JOIN pg_type elem_t ON (
t.typlen = -1 AND
t.typelem != 0 AND
t.typelem = elem_t.oid
)
LEFT JOIN pg_range range_t ON (
t.oid = range_t.rngtypid
)
LEFT JOIN pg_range multirange_t ON (
t.oid = multirange_t.rngmultitypid
)
)
ti,
typeinfo_tree tt
WHERE
(tt.elemtype IS NOT NULL AND ti.oid = tt.elemtype)
OR (tt.attrtypoids IS NOT NULL AND ti.oid = any(tt.attrtypoids))
OR (tt.range_subtype IS NOT NULL AND ti.oid = tt.range_subtype)
OR (tt.basetype IS NOT NULL AND ti.oid = tt.basetype)
)
SELECT DISTINCT
*,
basetype::regtype::text AS basetype_name,
elemtype::regtype::text AS elemtype_name,
range_subtype::regtype::text AS range_subtype_name
FROM
typeinfo_tree
ORDER BY
depth DESC;

SELECT id FROM asyncpg_nodeN WHERE id = ANY($1::int[]);

SELECT id FROM asyncpg_nodeN WHERE id = ANY($1::bigint[]);

SELECT id FROM asyncpg_nodeN WHERE name = ANY($1);

SELECT id FROM asyncpg_nodeN WHERE name = ANY($1::text[]);

SELECT id FROM asyncpg_nodeN WHERE name = ANY($1::varchar[]);

SELECT id FROM asyncpg_nodeN WHERE tag = ANY($1::uuid[]);

SELECT id FROM asyncpg_nodeN WHERE id <> ALL($1::int[]);

SELECT ARRAY[1, 2, 3];

SELECT ARRAY['a', 'b c'];

SELECT $1::int[];

SELECT array_agg(name ORDER BY id) FROM asyncpg_nodeN WHERE id > 17;

SELECT * FROM unnest($1::int[], $2::text[]) AS u(n, t);

INSERT INTO asyncpg_nodeN (id, name) SELECT * FROM unnest($1::int[], $2::text[]);

BEGIN;

DELETE FROM asyncpg_nodeN WHERE id >= 30;

SAVEPOINT "…";

INSERT INTO asyncpg_nodeN (id) VALUES (1);

ROLLBACK TO "…";

SELECT id FROM asyncpg_nodeN WHERE id > $1;

COMMIT;

BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;

DELETE FROM asyncpg_nodeN;

ROLLBACK;

SELECT * FROM nowhere;

SELECT "id", "name", "seen" FROM "asyncpg_nodeN" LIMIT 1;

COPY "asyncpg_nodeN"("id", "name", "seen") FROM STDIN (FORMAT binary);

SELECT count(*) FROM asyncpg_nodeN WHERE seen = $1 AND id >= 100;

SELECT count(*) FROM asyncpg_nodeN;

SELECT pg_advisory_unlock_all();
CLOSE ALL;
UNLISTEN *;
RESET ALL;

