// A session of node-postgres, the pool and cursors of rows included. Says "done" at the end.

import assert from "node:assert/strict";
import pg from "pg";

const [port, node] = process.argv.slice(2);
const settings = { host: "127.0.0.1", port: Number(port), user: "postgres", database: "postgres" };
const table = `node_pg_${node}`;

const client = new pg.Client(settings);
await client.connect();
await client.query(`CREATE TABLE ${table} (
  id serial PRIMARY KEY, four int4, big bigint, real float8, price numeric(10, 2), name varchar(20), wool bytea,
  alive boolean, born date, seen timestamp, told timestamptz, tag uuid, facts jsonb)`);
const moment = new Date(Date.UTC(2024, 1, 29, 12, 30, 15, 250));
const row = [7, "9007199254740993", 0.1, "1234.5", "Dölly 🐑", Buffer.from([0, 255, 39]), true, "2024-02-29",
  "2024-02-29 12:30:15.25", moment, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", { legs: [1, "zwei", null] }];
const columns = "four, big, real, price, name, wool, alive, born, seen, told, tag, facts";
const places = row.map((_, index) => `$${index + 1}`).join(", ");
const inserted = await client.query(`INSERT INTO ${table} (${columns}) VALUES (${places}) RETURNING *`, row);
assert.equal(inserted.rowCount, 1);
assert.equal(inserted.command, "INSERT");
const [came] = inserted.rows;
// 64-bit numbers and numerics are texts there: JavaScript's numbers do not hold them.
assert.deepEqual([came.id, came.four, came.big, came.real, came.price, came.name, came.alive, came.tag, came.facts],
  ["1", 7, row[1], 0.1, "1234.5", row[4], true, row[10], row[11]]);
assert.deepEqual(came.wool, row[5]);
assert.equal(came.told.getTime(), moment.getTime());
assert.equal(came.born.getDate(), 29);
assert.equal(came.seen.getMilliseconds(), 250);

// By name: prepared once; arrays; several statements at once; binary.
for (const id of [1, 2]) {
  const named = { name: "by-id", text: `SELECT name FROM ${table} WHERE id = $1`, values: [id] };
  assert.equal((await client.query(named)).rowCount, id === 1 ? 1 : 0);
}
await client.query(`INSERT INTO ${table} (four, name) SELECT * FROM unnest($1::int[], $2::text[])`, [[8, 9], ["a", "b"]]);
const few = await client.query(`SELECT four FROM ${table} WHERE name = ANY($1) ORDER BY 1`, [["a", "b", "c"]]);
assert.deepEqual(few.rows, [{ four: 8 }, { four: 9 }]);
assert.deepEqual((await client.query("SELECT ARRAY['x', 'y z'] AS letters")).rows[0].letters, ["x", "y z"]);
const several = await client.query("SELECT 1 AS one; SELECT 2 AS two");
assert.deepEqual(several.map((result) => result.rows.length), [1, 1]);
const text = { text: `SELECT name FROM ${table} WHERE id = $1`, values: [1], rowMode: "array" };
assert.deepEqual((await client.query(text)).rows, [["Dölly 🐑"]]);

await client.query("BEGIN");
await client.query(`DELETE FROM ${table}`);
await client.query("SAVEPOINT one");
await assert.rejects(client.query(`INSERT INTO ${table} (id) VALUES (1), (1)`), { code: "23505" });
await client.query("ROLLBACK TO SAVEPOINT one");
await client.query("ROLLBACK");
await assert.rejects(client.query("SELECT * FROM nowhere"), { code: "42P01" });
await assert.rejects(client.query(`SELECT nosuch FROM ${table} WHERE name::text = 'x'`), { code: "42703" });
await client.query("SET statement_timeout = 100");
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
await assert.rejects(client.query(endless), { code: "57014" });
await client.end();

const pool = new pg.Pool({ ...settings, max: 4 });
const all = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query("SELECT $1::int4 * 2 AS n", [n])));
assert.deepEqual(all.map((result) => result.rows[0].n), Array.from({ length: 20 }, (_, n) => n * 2));
await pool.end();
console.log("done");
