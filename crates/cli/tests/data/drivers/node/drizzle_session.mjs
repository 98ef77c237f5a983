// Drizzle: drizzle-kit makes the tables, and reads them back as a schema; the ORM keeps rows. Says "done" at the end.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { and, count, desc, eq, gt, ilike, inArray, max, relations, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";

const [port, node] = process.argv.slice(2);
process.env.NODE = node;
const schema = await import("./drizzle_schema.mjs");
const { shepherd, sheep, award } = schema;
const here = dirname(fileURLToPath(import.meta.url));
const url = `postgres://postgres@127.0.0.1:${port}/postgres`;

const directory = mkdtempSync(join(tmpdir(), "drizzle-"));
const kit = (...command) => {
  const config = join(directory, "drizzle.config.json");
  writeFileSync(config, JSON.stringify({
    dialect: "postgresql", schema: join(here, "drizzle_schema.mjs"), out: directory, dbCredentials: { url },
    tablesFilter: [`dz_*_${node}`],
  }));
  return execFileSync(process.execPath, [join(here, "node_modules/drizzle-kit/bin.cjs"), ...command, `--config=${config}`],
    { env: process.env, cwd: here, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
};

kit("push", "--force");
kit("introspect");
const read = readFileSync(join(directory, "schema.ts"), "utf8");
for (const part of [`dz_shepherd_${node}`, `dz_heavy_${node}`, `dz_by_name_${node}`, `.onDelete("cascade")`, "primaryKey(",
  "generatedByDefaultAsIdentity", "table.name.asc()", "precision: 10, scale:  2"]) {
  assert.ok(read.includes(part), `${part} in ${read}`);
}

assert.ok(!read.includes("pkey"), read);

const pool = new pg.Pool({ connectionString: url, max: 1 });
const db = drizzle(pool, {
  schema: {
    ...schema,
    shepherdRelations: relations(shepherd, ({ many }) => ({ sheep: many(sheep) })),
    sheepRelations: relations(sheep, ({ one }) => ({ of: one(shepherd, { fields: [sheep.shepherd], references: [shepherd.id] }) })),
  },
});
const [bo] = await db.insert(shepherd).values({ name: "Bo" }).returning();
await db.insert(shepherd).values([{ name: "Bo" }, { name: "Peep" }]).onConflictDoNothing();
const born = "2024-02-29";
const [dolly] = await db.insert(sheep).values({
  shepherd: bo.id, name: "Dolly", weight: 42.5, price: "13.86", wool: 2 ** 40, born, facts: { legs: 4 },
}).returning();
assert.deepEqual([dolly.price, dolly.wool, dolly.alive, dolly.born, dolly.facts], ["13.86", 2 ** 40, true, born, { legs: 4 }]);
assert.ok(dolly.seen instanceof Date && dolly.tag.length === 36);
await db.insert(sheep).values({ shepherd: bo.id, name: "Shaun" });
const joined = await db.select({ name: shepherd.name, n: count(sheep.id), most: max(sheep.weight) }).from(shepherd)
  .leftJoin(sheep, eq(sheep.shepherd, shepherd.id)).groupBy(shepherd.name).orderBy(desc(shepherd.name));
assert.deepEqual(joined, [{ name: "Peep", n: 0, most: null }, { name: "Bo", n: 2, most: 42.5 }]);
const few = await db.select().from(sheep).where(and(inArray(sheep.name, ["Dolly", "x"]), gt(sheep.weight, 1), ilike(sheep.name, "d%")));
assert.equal(few.length, 1);
await db.update(sheep).set({ weight: sql`${sheep.weight} + 1` }).where(eq(sheep.id, dolly.id));
await db.insert(shepherd).values({ name: "Peep" }).onConflictDoUpdate({ target: shepherd.name, set: { name: "Peep!" } });
const inside = db.select({ of: sheep.shepherd, most: max(sheep.weight).as("most") }).from(sheep).groupBy(sheep.shepherd).as("inside");
const most = await db.select({ name: shepherd.name, most: inside.most }).from(shepherd).innerJoin(inside, eq(inside.of, shepherd.id));
assert.deepEqual(most, [{ name: "Bo", most: 43.5 }]);
await assert.rejects(db.transaction(async (tx) => {
  await tx.insert(award).values({ year: 2024, place: 1, sheep: dolly.id });
  await tx.transaction(async (inner) => inner.insert(award).values({ year: 2024, place: 2, sheep: dolly.id }));
  await tx.insert(award).values({ year: 2024, place: 1, sheep: dolly.id });
}), (error) => error.cause.code === "23505");
assert.equal((await db.select().from(award)).length, 0);
await pool.end();
rmSync(directory, { recursive: true });
console.log("done");
