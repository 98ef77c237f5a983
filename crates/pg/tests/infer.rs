//! Inferred types, against a schema of three tables.

use std::time::Instant;

use bellwether_pg::infer::{Schema, describe};
use bellwether_pg::types::Type;
use bellwether_types::Column;

struct Shop;

impl Schema for Shop {
    fn columns(&self, table: &str) -> Vec<(String, String)> {
        let columns: &[(&str, &str)] = match table.to_ascii_lowercase().as_str() {
            "item" => &[
                ("id", "INTEGER"),
                ("name", "TEXT"),
                ("price", "NUMERIC(10,2)"),
                ("weight", "REAL"),
                ("sold", "BOOLEAN"),
                ("added", "TIMESTAMP"),
                ("photo", "BLOB"),
                ("any", ""),
            ],
            "sale" => &[
                ("id", "INTEGER"),
                ("item_id", "INT"),
                ("count", "SMALLINT"),
                ("name", "VARCHAR(20)"),
            ],
            _ => &[],
        };
        columns
            .iter()
            .map(|&(name, type_)| (name.to_owned(), type_.to_owned()))
            .collect()
    }
}

fn names(oids: &[bellwether_pg::types::Oid]) -> String {
    let names = oids
        .iter()
        .map(|oid| Type::from_oid(*oid).map_or("?", Type::name));
    names.collect::<Vec<_>>().join(" ")
}

/// Parameter types; `?` is unknown.
fn parameters(sql: &str) -> String {
    names(&describe(sql, &[], &Shop).parameters)
}

/// Result types of expressions, as if SQLite had told no declared type.
fn results(sql: &str, count: usize) -> String {
    let columns: Vec<_> = (0..count)
        .map(|n| Column {
            name: n.to_string(),
            declared_type: None,
        })
        .collect();
    let fields = describe(sql, &columns, &Shop).fields.expect("has columns");
    names(
        &fields
            .iter()
            .map(|field| field.type_.type_.oid())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn parameters_have_the_type_of_the_column_they_fill() {
    for (sql, expected) in [
        (
            "INSERT INTO item VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            "int8 text numeric float8 bool timestamp bytea ?",
        ),
        (
            "INSERT INTO item (name, id) VALUES ($1, $2), ($3, ($4))",
            "text int8 text int8",
        ),
        ("REPLACE INTO item (id, sold) VALUES ($1, $2)", "int8 bool"),
        ("INSERT OR IGNORE INTO item (weight) VALUES ($1)", "float8"),
        (
            "INSERT INTO item (id, name) SELECT $1, name FROM sale WHERE count > $2",
            "int8 int2",
        ),
        (
            "UPDATE item SET price = $2, photo = $3 WHERE id = $1",
            "int8 numeric bytea",
        ),
        (
            "INSERT INTO item (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = $3, price = excluded.price + $4",
            "int8 text text numeric",
        ),
        ("DELETE FROM item WHERE id IN ($1, $2)", "int8 int8"),
    ] {
        assert_eq!(parameters(sql), expected, "{sql}");
    }
}

#[test]
fn parameters_have_the_type_of_what_they_meet() {
    for (sql, expected) in [
        ("SELECT * FROM item WHERE id = $1 AND $2 < weight", "int8 float8"),
        (
            "SELECT * FROM item i JOIN sale s ON i.id = s.item_id WHERE s.name = $1 AND i.name = $2",
            "varchar text",
        ),
        ("SELECT * FROM item, sale WHERE name = $1", "?"),
        ("SELECT * FROM item WHERE id BETWEEN $1 AND $2", "int8 int8"),
        (
            "SELECT * FROM item WHERE $1 IN (SELECT item_id FROM sale)",
            "int8",
        ),
        (
            "SELECT * FROM item WHERE name LIKE $1 LIMIT $2 OFFSET $3",
            "text int8 int8",
        ),
        ("SELECT * FROM item LIMIT $2, $1", "int8 int8"),
        (
            "SELECT CAST($1 AS REAL), $2 + 1, $3 || 'x', coalesce($4, sold) FROM item",
            "float8 int4 text bool",
        ),
        (
            "SELECT CASE WHEN id = $1 THEN $2 ELSE name END FROM item",
            "int8 text",
        ),
        ("SELECT $1, $3", "? ? ?"),
        ("SELECT * FROM unknown WHERE x = $1", "?"),
        ("SELECT * FROM item WHERE any = $1", "?"),
        ("SELECT * FROM item WHERE rowid = $1", "int8"),
        ("SELECT count(*) FROM item HAVING count(*) > $1", "int8"),
    ] {
        assert_eq!(parameters(sql), expected, "{sql}");
    }
}

#[test]
fn results_have_the_type_of_their_expression() {
    for (sql, count, expected) in [
        (
            "SELECT 1, 1.5, 'a', x'00', NULL, TRUE",
            6,
            "int4 float8 text bytea text bool",
        ),
        (
            "SELECT count(*), sum(id), sum(weight), avg(id), min(name), max(price) FROM item",
            6,
            "int8 int8 float8 float8 text numeric",
        ),
        (
            "SELECT id + 1, id * weight, price - 1, name || id, -id, id / 2 FROM item",
            6,
            "int8 float8 numeric text int8 int8",
        ),
        (
            "SELECT id >> 2, id << 1, id & 3, ~id, sum(id >> 1), name GLOB 'x*', id NOTNULL FROM item",
            7,
            "int8 int8 int8 int8 int8 bool bool",
        ),
        (
            "SELECT id = 1, id IS NULL, NOT sold, id IN (1), EXISTS (SELECT 1) FROM item",
            5,
            "bool bool bool bool bool",
        ),
        (
            "SELECT CAST(name AS INTEGER), CAST(id AS TEXT), CAST(name AS DATE), CAST(id AS REAL) FROM item",
            4,
            "int8 text text float8",
        ),
        (
            "SELECT CASE WHEN id = 1 THEN 2 ELSE NULL END, CASE WHEN 1 THEN 2 ELSE 'x' END FROM item",
            2,
            "int4 text",
        ),
        (
            "SELECT coalesce(price, price), ifnull(id, 0), nullif(name, ''), upper(name), length(name) FROM item",
            5,
            "numeric int8 text text int8",
        ),
        (
            "SELECT substr(photo, 1), substr(name, 1), datetime('now'), julianday('now'), random() FROM item",
            5,
            "bytea text text float8 int8",
        ),
        (
            "SELECT (SELECT max(id) FROM item), row_number() OVER (ORDER BY id), lag(weight) OVER (ORDER BY id) FROM item",
            3,
            "int8 int8 float8",
        ),
        (
            "SELECT count(*), * FROM item",
            9,
            "int8 int8 text numeric float8 bool timestamp bytea text",
        ),
        (
            "SELECT *, count(*) FROM item",
            9,
            "int8 text numeric float8 bool timestamp bytea text int8",
        ),
    ] {
        assert_eq!(results(sql, count), expected, "{sql}");
    }
}

#[test]
fn results_of_more_than_a_plain_select_are_inferred_where_their_parts_agree() {
    for (sql, count, expected) in [
        ("VALUES (1, 'a'), (2, 3)", 2, "int4 text"),
        ("SELECT 1 UNION ALL SELECT 2", 1, "int4"),
        ("SELECT 1 UNION ALL SELECT 'a'", 1, "text"),
        (
            "INSERT INTO item (id) VALUES (1) RETURNING id + 1, upper(name)",
            2,
            "int8 text",
        ),
        ("WITH x AS (SELECT 1) SELECT count(*) FROM x", 1, "int8"),
        ("PRAGMA user_version", 1, "text"),
        ("SELECT this is not SQL", 1, "text"),
    ] {
        assert_eq!(results(sql, count), expected, "{sql}");
    }
}

#[test]
fn columns_of_subqueries_have_the_types_of_what_they_select() {
    for (sql, count, expected) in [
        (
            "SELECT min(x.least), max(x.n) FROM (SELECT min(price) AS least, count(*) AS n FROM item GROUP BY name) AS x",
            2,
            "numeric int8",
        ),
        (
            "SELECT y + 1, x.* FROM (SELECT id AS y, upper(name) FROM item) x",
            3,
            "int8 int8 text",
        ),
        (
            "WITH x(a, b) AS (SELECT id, weight FROM item) SELECT sum(a), sum(b) FROM x AS y",
            2,
            "int8 float8",
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i), i FROM n",
            2,
            "int8 int8",
        ),
        (
            "SELECT max(v), min(w) FROM (SELECT id AS v, name AS w FROM item UNION ALL SELECT item_id, 'x' FROM sale)",
            2,
            "int8 text",
        ),
        (
            "SELECT (SELECT max(i.weight + s.id) FROM sale s WHERE s.item_id = i.id) FROM item i",
            1,
            "float8",
        ),
        (
            "SELECT max(id), max(name) FROM (item JOIN sale ON 1)",
            2,
            "int8 text",
        ),
        (
            "SELECT max(s.name), count FROM item JOIN sale s USING (id)",
            2,
            "varchar int2",
        ),
        ("SELECT * FROM item JOIN sale USING (id)", 3, "text text text"),
        (
            "SELECT max(photo) FROM item, (SELECT 1 AS one) WHERE one",
            1,
            "bytea",
        ),
        (
            "UPDATE item SET name = s.name FROM sale s RETURNING id + 1, *",
            9,
            "int8 int8 text numeric float8 bool timestamp bytea text",
        ),
    ] {
        assert_eq!(results(sql, count), expected, "{sql}");
    }
}

#[test]
fn parameters_inside_and_outside_of_subqueries_have_types() {
    for (sql, expected) in [
        (
            "SELECT 1 FROM (SELECT price AS p FROM item) x WHERE x.p > $1 AND p < $2",
            "numeric numeric",
        ),
        (
            "WITH x AS (SELECT weight FROM item WHERE name = $1) SELECT 1 FROM x WHERE weight = $2",
            "text float8",
        ),
        (
            "SELECT 1 FROM item WHERE EXISTS (SELECT 1 FROM sale WHERE sale.name = $1 AND item.sold = $2)",
            "varchar bool",
        ),
        (
            "SELECT 1 FROM sale UNION SELECT 2 FROM item WHERE weight = $1",
            "float8",
        ),
        (
            "UPDATE sale SET name = $1 FROM item WHERE item.id = sale.item_id",
            "varchar",
        ),
        (
            "WITH x AS (SELECT 1) INSERT INTO item (price) VALUES ($1)",
            "numeric",
        ),
    ] {
        assert_eq!(parameters(sql), expected, "{sql}");
    }
}

#[test]
fn arrays_have_the_type_of_their_elements() {
    let elements = "(SELECT coalesce(array_to_json($1), '[null]') AS any_array), json_each(any_array)";
    for (left, expected) in [
        ("id", "_int8"),
        ("name", "_text"),
        ("price", "_numeric"),
        ("any", "?"),
    ] {
        let sql = format!("SELECT 1 FROM item WHERE {left} IN (SELECT value FROM {elements})");
        assert_eq!(parameters(&sql), expected, "{sql}");
    }
    assert_eq!(parameters("SELECT array_has($1, upper(name)) FROM item"), "_text");
    for (expression, expected) in [
        ("array_of(1, 2)", "_int4"),
        ("array_of('a', 1)", "_text"),
        ("cast_array('{1}', 'int')", "_int4"),
        ("cast_array('{1}', 'uuid')", "_uuid"),
        (
            "array_from_json(nullif(json_group_array(weight), '[]'))",
            "_float8",
        ),
        ("array_get(array_of(1), 1)", "int4"),
        ("json('{}')", "json"),
    ] {
        let sql = format!("SELECT {expression} FROM item");
        assert_eq!(results(&sql, 1), expected, "{sql}");
    }
}

#[test]
fn a_declared_type_is_taken_before_any_inference() {
    let columns = [Column {
        name: "n".into(),
        declared_type: Some("VARCHAR(7)".into()),
    }];
    let description = describe("SELECT 1", &columns, &Shop);
    let fields = description.fields.expect("one column");
    assert_eq!(
        (fields[0].type_.type_, fields[0].type_.modifier),
        (Type::Varchar, 11)
    );
}

#[test]
fn a_statement_without_columns_has_no_fields() {
    assert_eq!(
        describe("INSERT INTO item (id) VALUES (1)", &[], &Shop).fields,
        None
    );
}

/// Such statements are made to be slow to read or to need a deep stack; a client's thread has 2 MiB.
#[test]
fn statements_nested_without_end_are_answered_soon() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth))
    };
    let started = Instant::now();
    for depth in [10, 24, 25, 50, 1_000, 50_000] {
        for sql in [
            nested("(", ")", depth),
            nested("1+", "", depth),
            nested("", " IS NULL", depth),
            nested("-", "", depth),
            nested("NOT ", "", depth),
            nested("CASE WHEN ", " THEN 1 END", depth),
            nested("abs(", ")", depth),
            nested("(SELECT ", ")", depth),
            nested("[", "]", depth),
            nested("", " UNION SELECT 1", depth),
            nested("", " COLLATE a", depth),
            nested("1 FROM (SELECT x.*, x.* FROM (SELECT ", ") x) y", depth),
            nested(
                "(WITH RECURSIVE r AS (SELECT 1 UNION SELECT ",
                ") SELECT * FROM r)",
                depth,
            ),
            format!("WITH {} SELECT 1", vec!["c AS (SELECT 1)"; depth].join(", ")),
            nested("", "::int", depth),
            nested("", " ::int", depth),
            nested("", " -> 'x'", depth),
            nested("EXISTS (SELECT * FROM a JOIN (", "", depth),
            format!("SELECT * FROM {}a{}", "(".repeat(depth), ")".repeat(depth)),
            format!(
                "WITH a AS {}SELECT 1{} SELECT 1",
                "(".repeat(depth),
                ")".repeat(depth)
            ),
        ] {
            let sql = sql.clone();
            let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
                let columns = [Column {
                    name: "x".into(),
                    declared_type: None,
                }];
                describe(&sql, &columns, &Shop);
            });
            thread.expect("a thread").join().expect("no panic");
        }
    }
    // Generous: unoptimised and on a busy machine it takes a second or two; without the limits, for ever.
    assert!(started.elapsed().as_secs() < 60);
}

#[test]
fn columns_without_an_alias_are_called_as_postgresql_calls_them() {
    let called = |sql: &str, count: usize| {
        let columns: Vec<Column> = (0..count)
            .map(|place| Column {
                name: format!("sqlite{place}"),
                declared_type: None,
            })
            .collect();
        let fields = describe(sql, &columns, &Shop).fields.expect("columns");
        let names = fields.iter().map(|field| field.name.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    for (sql, count, expected) in [
        (
            "SELECT COUNT(*), max(price), id, name AS n FROM item",
            4,
            "count max sqlite2 sqlite3",
        ),
        (
            "SELECT 1 + 1, CAST(id AS TEXT), CASE WHEN sold THEN 1 END FROM item",
            3,
            "?column? id case",
        ),
        (
            "SELECT count(*), *, upper(name) FROM sale",
            6,
            "count sqlite1 sqlite2 sqlite3 sqlite4 upper",
        ),
        (
            "SELECT count(*) FROM item UNION ALL SELECT max(id) FROM sale",
            1,
            "count",
        ),
        (
            "WITH s AS (SELECT 1) SELECT (SELECT max(id) FROM item), EXISTS (SELECT 1)",
            2,
            "max exists",
        ),
        (
            "UPDATE item SET id = 1 RETURNING id, lower(name)",
            2,
            "sqlite0 lower",
        ),
        (
            "SELECT (id), ((item.name)), (1) FROM item",
            3,
            "sqlite0 sqlite1 ?column?",
        ),
        ("PRAGMA table_info(item)", 1, "sqlite0"),
    ] {
        assert_eq!(called(sql, count), expected, "{sql}");
    }
}
