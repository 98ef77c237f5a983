CREATE TABLE node_pg_nodeN (
id serial PRIMARY KEY, four int4, big bigint, real float8, price numeric(10, 2), name varchar(20), wool bytea,
alive boolean, born date, seen timestamp, told timestamptz, tag uuid, facts jsonb);

INSERT INTO node_pg_nodeN (four, big, real, price, name, wool, alive, born, seen, told, tag, facts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *;

SELECT name FROM node_pg_nodeN WHERE id = $1;

INSERT INTO node_pg_nodeN (four, name) SELECT * FROM unnest($1::int[], $2::text[]);

SELECT four FROM node_pg_nodeN WHERE name = ANY($1) ORDER BY 1;

SELECT ARRAY['x', 'y z'] AS letters;

SELECT 1 AS one; SELECT 2 AS two;

BEGIN;

DELETE FROM node_pg_nodeN;

SAVEPOINT one;

INSERT INTO node_pg_nodeN (id) VALUES (1), (1);

ROLLBACK TO SAVEPOINT one;

ROLLBACK;

SELECT * FROM nowhere;

SELECT nosuch FROM node_pg_nodeN WHERE name::text = 'x';

SET statement_timeout = 100;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;

SELECT $1::int4 * 2 AS n;

