//! The facility, with a small catalog of its own.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};

use bellwether_types::extension::{RowKey, Rows, View, VirtualColumn, VirtualTable};
use bellwether_types::function::{Arity, Call, Facts, ScalarFunction};
use bellwether_types::schema::{Attribute, Class, IndexKey, Relation, Rule};
use bellwether_types::{
    ErrorKind, Extension, NodeId, Position, RequestId, Schema, SessionId, SqlError, Statement, Timestamp,
    Value, ValueRef,
};

use super::Extended;
use crate::{
    Answer, ClientTransaction, Files, GroupStart, Reader, Sealed, SessionState, Spill, Vfs, Writer, run_group,
};

static EXTENSION: LazyLock<Extension> = LazyLock::new(|| Extension {
    functions: vec![FUNCTIONS],
    tables: tables(),
});

const FUNCTIONS: &[ScalarFunction] = &[
    ScalarFunction {
        name: "twice",
        arguments: Arity::exactly(1),
        call: Call::Pure(|arguments| match arguments {
            [ValueRef::Integer(number)] => Ok(Value::Integer(number * 2)),
            _ => Err(SqlError::new(ErrorKind::InvalidText, "not a number").with_hint("Give a number.")),
        }),
    },
    ScalarFunction {
        name: "broken",
        arguments: Arity::at_least(0),
        call: Call::Pure(|_| panic!("on purpose")),
    },
    ScalarFunction {
        name: "asking",
        arguments: Arity::between(0, 1),
        call: Call::Session(|_, facts| Ok(Value::Text(facts.user.clone()))),
    },
    ScalarFunction {
        name: "id_of",
        arguments: Arity::exactly(1),
        call: Call::Schema(|arguments, schema, _| {
            let [ValueRef::Text(name)] = arguments else {
                return Ok(Value::Null);
            };
            let class = schema.class_named(std::str::from_utf8(name).unwrap_or_default());
            Ok(class.map_or(Value::Null, |class| Value::Integer(i64::from(class.id().0))))
        }),
    },
];

fn relation<'a>(view: &View<'a>, row: RowKey) -> &'a Relation {
    &view.schema.relations()[row.0[0] as usize]
}

fn attribute<'a>(view: &View<'a>, row: RowKey) -> &'a Attribute {
    &relation(view, row).columns[row.0[1] as usize]
}

fn list_relations(schema: &Schema) -> Vec<RowKey> {
    (0..schema.relations().len() as u32)
        .map(|at| RowKey([at, 0, 0]))
        .collect()
}

fn list_attributes(schema: &Schema) -> Vec<RowKey> {
    let of = |(relation, at): (&Relation, u32)| {
        (0..relation.columns.len() as u32).map(move |column| RowKey([at, column, 0]))
    };
    schema.relations().iter().zip(0..).flat_map(of).collect()
}

fn column(name: &'static str, declared_type: &'static str, is_indexed: bool) -> VirtualColumn {
    VirtualColumn {
        name,
        declared_type,
        is_hidden: false,
        is_indexed,
        default: Value::Null,
    }
}

fn value(view: &View<'_>, row: RowKey, column: &str) -> Option<Value> {
    Some(match column {
        "oid" | "attrelid" => Value::Integer(i64::from(relation(view, row).id.0)),
        "relname" => Value::Text(relation(view, row).name.clone()),
        "attname" => Value::Text(attribute(view, row).name.clone()),
        "table_catalog" => Value::Text(view.facts.database.clone()),
        _ => return None,
    })
}

fn tables() -> Vec<VirtualTable> {
    let table = |namespace, name, columns, rows| VirtualTable {
        namespace,
        name,
        columns,
        rows,
        value,
    };
    let class = vec![column("oid", "oid", true), column("relname", "name", true)];
    let attribute = vec![column("attrelid", "oid", true), column("attname", "name", false)];
    let tables = vec![column("table_catalog", "name", true)];
    vec![
        table("pg_catalog", "pg_class", class, Rows::Schema(list_relations)),
        table(
            "pg_catalog",
            "pg_attribute",
            attribute,
            Rows::Schema(list_attributes),
        ),
        table(
            "information_schema",
            "tables",
            tables,
            Rows::Session(|_| vec![RowKey::default()]),
        ),
    ]
}

struct Replica {
    _directory: tempfile::TempDir,
    files: Files,
    writer: Writer,
    sequence: u64,
}

impl Replica {
    fn new() -> Replica {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Files {
            path: directory.path().join("replica.db"),
            vfs: Vfs::Os,
            spill: Spill::Memory,
            extended: Extended::by(&EXTENSION),
            damage: Default::default(),
        };
        Replica {
            writer: Writer::open(&files).expect("a new file"),
            files,
            _directory: directory,
            sequence: 0,
        }
    }

    fn run_group(&mut self, statements: &[&str]) -> Result<Answer, SqlError> {
        self.sequence += 1;
        let transaction = ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request: RequestId {
                session: SessionId(1),
                sequence: self.sequence,
            },
            statements: statements.iter().map(|sql| Statement::new(*sql)).collect(),
            session: SessionState::default(),
            facts: facts("writer"),
        };
        let start = GroupStart {
            origin: NodeId(1),
            timestamp: Timestamp(self.sequence),
        };
        let mut answers = run_group(&mut self.writer, start, &[transaction]).expect("the group runs");
        answers.pop().expect("one answer")
    }

    /// Executed and committed; the last statement's rows.
    fn run(&mut self, statements: &[&str]) -> Vec<Vec<Value>> {
        let answer = self.run_group(statements);
        let next = Position::new(1, self.writer.position().index.0 + 1);
        if self.writer.seal(next).expect("it seals") != Sealed::Empty {
            while self.writer.next_payload().expect("readable").is_some() {}
            self.writer.commit().expect("it commits");
        }
        let mut answer = answer.unwrap_or_else(|error| panic!("{statements:?}: {error:?}"));
        answer.results.pop().expect("a statement").rows
    }

    /// Executed, and taken back.
    fn fail(&mut self, sql: &str) -> SqlError {
        let answer = self.run_group(&[sql]);
        self.writer.rollback().expect("rolled back");
        answer.expect_err(sql)
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::open(&self.files).expect("a reader");
        reader.set_facts(&facts("reader"));
        reader
    }
}

fn facts(user: &str) -> Arc<Facts> {
    Arc::new(Facts {
        user: user.to_owned(),
        database: "flock".to_owned(),
        ..Facts::default()
    })
}

fn try_read(reader: &mut Reader, sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
    let mut cursor = reader.open_cursor(&Statement::new(sql))?;
    let mut rows = Vec::new();
    while cursor.step()? {
        let columns = 0..cursor.columns().len();
        rows.push(
            columns
                .map(|column| cursor.value(column).to_value())
                .collect::<Result<_, _>>()?,
        );
    }
    Ok(rows)
}

fn read(reader: &mut Reader, sql: &str) -> Vec<Vec<Value>> {
    try_read(reader, sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The first column, as text.
fn texts(rows: Vec<Vec<Value>>) -> Vec<String> {
    let text = |row: Vec<Value>| match row.into_iter().next() {
        Some(Value::Text(text)) => text,
        other => format!("{other:?}"),
    };
    rows.into_iter().map(text).collect()
}

#[test]
fn a_virtual_table_is_found_with_and_without_its_namespace() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE public.t(a, b)"]);
    let mut reader = replica.reader();
    for sql in [
        "SELECT relname FROM pg_class",
        "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class WHERE pg_catalog.pg_class.oid > 0",
        "SELECT c.relname FROM pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE attname = 'b'",
    ] {
        assert_eq!(texts(read(&mut reader, sql)), ["t"], "{sql}");
    }
    let sql = "SELECT table_catalog FROM information_schema.tables WHERE table_catalog = 'flock'";
    assert_eq!(texts(read(&mut reader, sql)), ["flock"]);
    assert_eq!(
        read(&mut reader, "SELECT count(*) FROM public.t, main.t AS u").len(),
        1
    );
    let described = reader
        .describe("SELECT oid, relname FROM pg_class")
        .expect("it compiles");
    let types: Vec<_> = described
        .columns
        .iter()
        .map(|column| column.declared_type.as_deref())
        .collect();
    assert_eq!(types, [Some("oid"), Some("name")]);
}

#[test]
fn a_clients_own_table_goes_before_one_of_the_same_name() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE pg_class(x)", "INSERT INTO pg_class VALUES (7)"]);
    let mut reader = replica.reader();
    assert_eq!(read(&mut reader, "SELECT x FROM pg_class"), [[Value::Integer(7)]]);
    assert_eq!(
        texts(read(&mut reader, "SELECT relname FROM pg_catalog.pg_class")),
        ["pg_class"]
    );
}

#[test]
fn a_statement_sees_the_schema_of_its_transaction() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE t(a)"]);
    let mut reader = replica.reader();
    let names = "SELECT relname FROM pg_class ORDER BY 1";
    assert_eq!(texts(read(&mut reader, names)), ["t"]);
    reader.begin_snapshot().expect("a snapshot");
    assert_eq!(texts(replica.run(&["CREATE TABLE u(a)", names])), ["t", "u"]);
    assert_eq!(texts(read(&mut reader, names)), ["t"], "of the snapshot");
    assert_eq!(read(&mut reader, "SELECT id_of('u')"), [[Value::Null]]);
    reader.end_snapshot();
    assert_eq!(texts(read(&mut reader, names)), ["t", "u"]);
    assert_ne!(read(&mut reader, "SELECT id_of('u')"), [[Value::Null]]);
    // What is rolled back leaves nothing behind, though the next change has the same version of the schema.
    let seen = replica
        .run_group(&["CREATE TABLE gone(a)", names])
        .expect("it runs");
    assert_eq!(texts(seen.results[1].rows.clone()), ["gone", "t", "u"]);
    replica.writer.rollback().expect("rolled back");
    assert_eq!(texts(replica.run(&["CREATE TABLE v(a)", names])), ["t", "u", "v"]);
    assert_eq!(texts(read(&mut reader, names)), ["t", "u", "v"]);
}

#[test]
fn ids_are_the_catalogs_and_outlive_a_renaming() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE a(x)", "CREATE TABLE b(x)"]);
    let id = "SELECT oid FROM pg_class WHERE relname = ";
    let before = replica.run(&[&format!("{id}'b'")]);
    assert_eq!(before, [[Value::Integer(16_386)]]);
    replica.run(&["DROP TABLE a", "ALTER TABLE b RENAME TO a"]);
    assert_eq!(read(&mut replica.reader(), &format!("{id}'a'")), before);
}

#[test]
fn functions_see_what_they_may_and_fail_with_their_own_words() {
    let mut replica = Replica::new();
    let mut reader = replica.reader();
    assert_eq!(texts(read(&mut reader, "SELECT asking()")), ["reader"]);
    assert_eq!(texts(replica.run(&["SELECT asking(1)"])), ["writer"]);
    let error = try_read(&mut reader, "SELECT twice('x')").expect_err("not a number");
    assert_eq!(
        (error.kind, error.hint.as_deref()),
        (ErrorKind::InvalidText, Some("Give a number."))
    );
    let error = try_read(&mut reader, "SELECT broken(1, 2)").expect_err("it panics");
    assert_eq!(error.kind, ErrorKind::Internal);
    for sql in ["SELECT twice()", "SELECT asking(1, 2)"] {
        let error = try_read(&mut reader, sql).expect_err(sql);
        assert_eq!(error.kind, ErrorKind::UndefinedFunction, "{sql}");
    }
}

#[test]
fn pure_functions_make_indexes_and_others_do_not() {
    let mut replica = Replica::new();
    replica.run(&[
        "CREATE TABLE t(a, b GENERATED ALWAYS AS (twice(a)) STORED)",
        "CREATE INDEX i ON t(twice(a))",
        "INSERT INTO t(a) VALUES (4)",
    ]);
    let error = replica.fail("CREATE INDEX j ON t(asking())");
    assert!(error.message.contains("non-deterministic"), "{error:?}");
    drop(std::mem::replace(
        &mut replica.writer,
        Writer::open(&replica.files).expect("it opens again"),
    ));
    assert_eq!(
        replica.run(&["SELECT b FROM t WHERE twice(a) = 8"]),
        [[Value::Integer(8)]]
    );
}

#[test]
fn the_catalog_cannot_be_changed() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE t(a)"]);
    for sql in [
        "INSERT INTO pg_class VALUES (1, 'x')",
        "DELETE FROM pg_catalog.pg_class",
        "CREATE TABLE pg_catalog.x(a)",
        "CREATE VIEW information_schema.x AS SELECT 1",
        "DROP TABLE pg_class",
        "ALTER TABLE pg_class RENAME TO x",
        "CREATE VIRTUAL TABLE x USING bellwether_extension(pg_catalog)",
    ] {
        let error = replica.fail(sql);
        assert!(
            matches!(error.kind, ErrorKind::Forbidden | ErrorKind::NotSupported),
            "{sql}: {error:?}"
        );
    }
    let names = replica.run(&["SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_%' ESCAPE '\\'"]);
    assert_eq!(texts(names), ["t"]);
}

#[test]
fn fingerprints_and_vacuum_know_nothing_of_it() {
    let mut replica = Replica::new();
    replica.run(&["CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"]);
    let before = replica.writer.fingerprint();
    replica.run(&["SELECT count(*) FROM pg_class"]);
    assert_eq!(replica.writer.fingerprint(), before);
    let recomputed = replica.writer.recompute_fingerprints().expect("readable");
    assert_eq!(recomputed, replica.writer.fingerprints());
}

#[test]
fn the_schema_tells_keys_references_checks_and_triggers() {
    let mut replica = Replica::new();
    replica.run(&[
        "CREATE TABLE parent(id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL DEFAULT 'x' UNIQUE)",
        "CREATE TABLE child(a INT, b INT, parent INT REFERENCES parent ON DELETE CASCADE,
            CONSTRAINT both PRIMARY KEY (b, a), CHECK (a < b)) WITHOUT ROWID",
        "CREATE INDEX i ON child(a DESC, b + 1) WHERE a > 0",
        "CREATE VIEW v AS SELECT name, id FROM parent",
        "CREATE TRIGGER g AFTER INSERT ON child BEGIN SELECT 1; END",
    ]);
    let reader = replica.reader();
    let kept = reader.attached().kept().expect("readable");
    let schema = &kept.schema;
    let parent = schema.relation("PARENT").expect("a table");
    let names: Vec<&str> = parent
        .constraints
        .iter()
        .map(|constraint| constraint.name.as_str())
        .collect();
    assert_eq!(names, ["parent_name_key", "parent_pkey"]);
    assert!(parent.columns[0].is_rowid && parent.columns[0].is_not_null);
    assert_eq!(parent.columns[1].default.as_deref(), Some("'x'"));
    let child = schema.relation("child").expect("a table");
    let names: Vec<&str> = child
        .constraints
        .iter()
        .map(|constraint| constraint.name.as_str())
        .collect();
    assert_eq!(names, ["both", "child_parent_fkey", "child_check"]);
    assert!(matches!(&child.constraints[2].rule, Rule::Check(text) if text == "a < b"));
    assert_eq!(child.primary_key().collect::<Vec<_>>(), [1, 0]);
    let Some(Class::Index(_, index)) = schema.class_named("i") else {
        panic!("an index");
    };
    assert!(index.columns[0].is_descending);
    assert_eq!(index.columns[1].key, IndexKey::Expression("b + 1".to_owned()));
    assert_eq!(index.predicate.as_deref(), Some("a > 0"));
    assert_eq!(child.triggers[0].name, "g");
    let view = schema.relation("v").expect("a view");
    assert_eq!(view.columns[0].declared_type, "VARCHAR(20)");
}

#[test]
fn a_join_over_ten_thousand_tables_visits_a_few_rows() {
    const TABLES: usize = 10_000;
    let mut replica = Replica::new();
    let tables: Vec<String> = (0..TABLES)
        .map(|number| format!("CREATE TABLE t{number}(a INTEGER PRIMARY KEY, b TEXT, c REAL)"))
        .collect();
    {
        // Not through a group: that compares the whole schema after each statement.
        let connection = replica
            .files
            .connect(crate::files::ConnectionRole::Checkpointer)
            .expect("the file");
        connection
            .execute_batch(&format!("BEGIN; {}; COMMIT", tables.join(";")))
            .expect("tables");
    }
    let mut reader = replica.reader();
    let visited = |reader: &Reader| reader.attached().rows_visited.swap(0, Relaxed);
    let sql = "SELECT c.relname, a.attname FROM pg_catalog.pg_class c
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE c.relname = 't4711' ORDER BY 2";
    assert_eq!(read(&mut reader, sql).len(), 3);
    // One class, its three attributes.
    assert_eq!(visited(&reader), 4);
    assert_eq!(
        read(
            &mut reader,
            "SELECT id_of(relname) FROM pg_class WHERE oid = id_of('t1')"
        )
        .len(),
        1
    );
    assert_eq!(visited(&reader), 1);
    drop(replica.run(&["SELECT 1"]));
}

#[test]
fn statements_about_the_whole_database_leave_the_catalog_alone() {
    let mut replica = Replica::new();
    replica.run(&[
        "CREATE TABLE t(a UNIQUE, b)",
        "INSERT INTO t VALUES (1, 2), (2, 3)",
    ]);
    replica.run(&["ANALYZE"]);
    assert_eq!(
        replica.run(&["SELECT count(*) FROM sqlite_stat1 WHERE tbl = 't'"]),
        [[Value::Integer(1)]]
    );
    let mut reader = replica.reader();
    let estimate = reader
        .attached()
        .kept()
        .expect("readable")
        .schema
        .relation("t")
        .map(|t| t.row_estimate);
    assert_eq!(estimate, Some(Some(2)));
    for sql in [
        "REINDEX",
        "ANALYZE t",
        "ANALYZE main",
        "ALTER TABLE t RENAME COLUMN b TO c",
        "ALTER TABLE t DROP COLUMN c",
    ] {
        replica.run(&[sql]);
    }
    for sql in ["PRAGMA integrity_check", "PRAGMA quick_check"] {
        assert_eq!(texts(read(&mut reader, sql)), ["ok"], "{sql}");
    }
    assert!(read(&mut reader, "PRAGMA foreign_key_check").is_empty());
    assert!(!read(&mut reader, "PRAGMA table_list").is_empty());
}
