-- One row of 100,000 by its key.
\set aid random(1, 100000)
SELECT abalance FROM bench_accounts WHERE aid = :aid;
