-- One row of 100,000 counts up; the row is there, so this is the conflicting path of an upsert.
\set id random(1, 100000)
INSERT INTO bench_counters (id, n) VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET n = bench_counters.n + 1;
