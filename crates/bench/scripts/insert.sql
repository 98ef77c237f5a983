-- One new row. All clients together fill the key nearly in order, as a sequence would.
\set n :n + 1
\set id :base + :n * :clients + :client_id
INSERT INTO bench_events (id, client, body) VALUES (:id, :client_id, 'the quick brown fox jumps over the lazy dog');
