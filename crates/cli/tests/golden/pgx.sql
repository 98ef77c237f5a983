CREATE TABLE pgx_nodeN (
id serial PRIMARY KEY, four int4, big bigint, real float8, price numeric(10, 2), name varchar(20), wool bytea,
alive boolean, born date, seen timestamp, told timestamptz, tag uuid, facts jsonb);

INSERT INTO pgx_nodeN (four, big, real, price, name, wool, alive, born, seen, told, tag, facts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id;

SELECT four, big, real, price::text, name, wool, alive, born, seen, told, tag, facts FROM pgx_nodeN WHERE id = $1;

SELECT NULLIF($1::text, '…');

SELECT count(*) FROM pgx_nodeN WHERE four = ANY($1);

SELECT 41::int4 + 1;

INSERT INTO pgx_nodeN (four, name) VALUES ($1, $2);

SELECT count(*) FROM pgx_nodeN WHERE name = '…';

DELETE FROM pgx_nodeN;

INSERT INTO pgx_nodeN (id) VALUES ($1), ($1);

SELECT count(*) FROM pgx_nodeN;

select "four", "big", "name", "alive" from "pgx_nodeN";

copy "pgx_nodeN" ( "four", "big", "name", "alive" ) from stdin binary;

SELECT sum(big >> 33) FROM pgx_nodeN WHERE name = '…';

SELECT four FROM pgx_nodeN WHERE name = '…' AND alive ORDER BY four;

begin isolation level serializable;

savepoint "…";

INSERT INTO pgx_nodeN (id) VALUES (1), (1);

rollback to savepoint "…";

rollback;

begin read only;

SELECT * FROM nowhere;

SET statement_timeout = 100;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;

SET statement_timeout = 0;

LISTEN channel_nodeN;

SELECT pg_notify($1, 'bell');

SELECT $1::int4 * 2;

DROP TABLE pgx_nodeN;

