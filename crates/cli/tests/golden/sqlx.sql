CREATE TABLE sqlx_nodeN (id bigserial PRIMARY KEY, small smallint, four int4, real float8, name varchar(20) NOT NULL, wool bytea, alive boolean, born date, at time, seen timestamp, told timestamptz, tag uuid, facts jsonb);

INSERT INTO sqlx_nodeN (small, four, real, name, wool, alive, born, at, seen, told, tag, facts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id;

SELECT * FROM sqlx_nodeN WHERE id = $1;

SELECT EXISTS (SELECT 1 FROM sqlx_nodeN WHERE name = $1);

SELECT $1::int4 + 1;

WITH alive AS (SELECT real FROM sqlx_nodeN WHERE alive) SELECT count(*), max(real) FROM alive;

INSERT INTO sqlx_nodeN (four, name) SELECT * FROM unnest($1::int4[], $2::text[]);

SELECT name FROM sqlx_nodeN WHERE four = ANY($1) ORDER BY four;

SELECT count(*) FROM sqlx_nodeN WHERE tag = ANY($1);

SELECT array_agg(name ORDER BY id) FROM sqlx_nodeN WHERE four > 15;

BEGIN;

INSERT INTO sqlx_nodeN (id, name) VALUES ($1, '…');

SAVEPOINT "…";

ROLLBACK TO SAVEPOINT "…";

COMMIT;

ROLLBACK;

SELECT name FROM sqlx_nodeN WHERE id = 100;

SELECT * FROM nowhere;

