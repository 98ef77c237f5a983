// Tables as drizzle-kit and drizzle_session.mjs have them.

import { sql } from "drizzle-orm";
import {
  bigint, boolean, check, date, doublePrecision, index, integer, jsonb, numeric, pgTable, primaryKey, serial, text,
  timestamp, unique, uniqueIndex, uuid, varchar,
} from "drizzle-orm/pg-core";

const node = process.env.NODE;

export const shepherd = pgTable(`dz_shepherd_${node}`, {
  id: serial("id").primaryKey(),
  name: varchar("name", { length: 40 }).notNull().unique(),
});

export const sheep = pgTable(`dz_sheep_${node}`, {
  id: serial("id").primaryKey(),
  shepherd: integer("shepherd").references(() => shepherd.id, { onDelete: "cascade" }),
  name: text("name").notNull(),
  weight: doublePrecision("weight"),
  price: numeric("price", { precision: 10, scale: 2 }).default("0"),
  wool: bigint("wool", { mode: "number" }),
  alive: boolean("alive").default(true).notNull(),
  born: date("born"),
  seen: timestamp("seen", { withTimezone: true }).defaultNow(),
  tag: uuid("tag").defaultRandom(),
  facts: jsonb("facts"),
}, (table) => [
  index(`dz_by_name_${node}`).on(table.name, table.born),
  uniqueIndex(`dz_by_tag_${node}`).on(table.tag),
  unique(`dz_once_${node}`).on(table.name, table.weight),
  check(`dz_heavy_${node}`, sql`weight > 0`),
]);

export const award = pgTable(`dz_award_${node}`, {
  year: integer("year").notNull(),
  place: integer("place").notNull(),
  sheep: integer("sheep").notNull().references(() => sheep.id),
}, (table) => [primaryKey({ columns: [table.year, table.place] })]);
