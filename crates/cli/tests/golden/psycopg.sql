CREATE TABLE psycopg_nodeN (id INTEGER PRIMARY KEY, name TEXT, price REAL, wool BLOB, alive BOOLEAN);

BEGIN;

INSERT INTO psycopg_nodeN VALUES ($1, $2, $3, $4, $5);

COMMIT;

SELECT * FROM psycopg_nodeN;

ROLLBACK;

SELECT id, name, price, wool, alive FROM psycopg_nodeN WHERE id = $1;

INSERT INTO psycopg_nodeN (id, wool) VALUES ($1, $2) RETURNING id, wool;

SELECT count(*) FROM psycopg_nodeN;

INSERT INTO psycopg_nodeN (id, name) VALUES ($1, $2);

DELETE FROM psycopg_nodeN WHERE id >= 50;

SAVEPOINT "…";

INSERT INTO psycopg_nodeN (id) VALUES (1);

ROLLBACK TO "…";

RELEASE "…";

DEALLOCATE ALL;

SELECT * FROM nowhere;

INSERT INTO psycopg_nodeN (id) VALUES ($1);

SELECT id FROM psycopg_nodeN WHERE id BETWEEN $1 AND $2 ORDER BY id;

BEGIN READ ONLY;

DELETE FROM psycopg_nodeN;

BEGIN ISOLATION LEVEL SERIALIZABLE;

DELETE FROM psycopg_nodeN WHERE id = 1;

