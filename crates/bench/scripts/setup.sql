-- The tables of our own scripts, with their first rows. Each statement is one transaction. TPC-B's are pgbench's.
DROP TABLE IF EXISTS bench_counters;
DROP TABLE IF EXISTS bench_events;
DROP TABLE IF EXISTS bench_accounts;
CREATE TABLE bench_counters (id integer PRIMARY KEY, n integer NOT NULL);
CREATE TABLE bench_events (id integer PRIMARY KEY, client integer NOT NULL, body text NOT NULL);
CREATE TABLE bench_accounts (aid integer PRIMARY KEY, bid integer NOT NULL, abalance integer NOT NULL, filler text NOT NULL);
-- Rows beyond the first 10,000 are copies: a hundred thousand rows in one statement would test something else.
INSERT INTO bench_counters (id, n) WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 10000) SELECT i, 0 FROM s;
INSERT INTO bench_counters (id, n) SELECT id + 10000, 0 FROM bench_counters WHERE id <= 10000;
INSERT INTO bench_counters (id, n) SELECT id + 20000, 0 FROM bench_counters WHERE id <= 20000;
INSERT INTO bench_counters (id, n) SELECT id + 40000, 0 FROM bench_counters WHERE id <= 20000;
INSERT INTO bench_counters (id, n) SELECT id + 60000, 0 FROM bench_counters WHERE id <= 20000;
INSERT INTO bench_counters (id, n) SELECT id + 80000, 0 FROM bench_counters WHERE id <= 20000;
INSERT INTO bench_accounts (aid, bid, abalance, filler) WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 10000) SELECT i, 1, 0, '                                                                                    ' FROM s;
INSERT INTO bench_accounts (aid, bid, abalance, filler) SELECT aid + 10000, bid, 0, filler FROM bench_accounts WHERE aid <= 10000;
INSERT INTO bench_accounts (aid, bid, abalance, filler) SELECT aid + 20000, bid, 0, filler FROM bench_accounts WHERE aid <= 20000;
INSERT INTO bench_accounts (aid, bid, abalance, filler) SELECT aid + 40000, bid, 0, filler FROM bench_accounts WHERE aid <= 20000;
INSERT INTO bench_accounts (aid, bid, abalance, filler) SELECT aid + 60000, bid, 0, filler FROM bench_accounts WHERE aid <= 20000;
INSERT INTO bench_accounts (aid, bid, abalance, filler) SELECT aid + 80000, bid, 0, filler FROM bench_accounts WHERE aid <= 20000;
