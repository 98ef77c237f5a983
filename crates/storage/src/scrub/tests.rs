//! Changes made with a connection that nobody captures.

use bellwether_types::{NodeId, RequestId, SessionId, Statement, Timestamp};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::*;
use crate::group::{GroupStart, Sealed};
use crate::run::{ClientTransaction, run_group};
use crate::session::SessionState;
use crate::testing::{ForgetfulDisk, Registered};
use crate::writer::Writer;

const TABLES: &[&str] = &[
    "CREATE TABLE plain(a, b)",
    "CREATE TABLE keyed(id INTEGER PRIMARY KEY, name TEXT UNIQUE, half REAL)",
    "CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
    "CREATE TABLE pairs(a TEXT, b TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE words USING fts5(body)",
    "CREATE INDEX plain_a ON plain(a)",
    "CREATE INDEX plain_b ON plain(b)",
];

const ROWS: &[&str] = &[
    "INSERT INTO plain VALUES (1, 'x'), (2.5, NULL), (x'00', 'z')",
    "INSERT INTO keyed VALUES (7, 'seven', 3.0), (8, 'eight', -0.0)",
    "INSERT INTO counted(x) VALUES (1), (2), (3)",
    "DELETE FROM counted WHERE id = 3",
    "INSERT INTO pairs VALUES ('a', 'b'), ('a', 'c')",
    "INSERT INTO words VALUES ('a quick brown fox')",
    "ALTER TABLE plain ADD COLUMN c DEFAULT 'later'",
    "ALTER TABLE keyed RENAME COLUMN half TO quarter",
];

struct Replica {
    files: Files,
    writer: Writer,
    index: u64,
    _vfs: Registered,
}

impl Replica {
    fn new() -> Replica {
        let vfs = Registered::new(ForgetfulDisk::new(1), 1);
        let files = vfs.files();
        let writer = Writer::open(&files).expect("a new replica");
        let mut replica = Replica {
            files,
            writer,
            index: 0,
            _vfs: vfs,
        };
        replica.run(TABLES);
        for row in ROWS {
            replica.run(&[row]);
        }
        replica
    }

    /// One record.
    fn run(&mut self, statements: &[&str]) {
        self.index += 1;
        let request = RequestId {
            session: SessionId(1),
            sequence: self.index,
        };
        let transaction = ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request,
            statements: statements.iter().map(|sql| Statement::new(*sql)).collect(),
            session: SessionState::default(),
            facts: Default::default(),
        };
        let start = GroupStart {
            origin: NodeId(1),
            timestamp: Timestamp(self.index << 16),
        };
        let answers = run_group(&mut self.writer, start, &[transaction]).expect("a group");
        for answer in answers {
            answer.unwrap_or_else(|error| panic!("{statements:?}: {error}"));
        }
        let sealed = self.writer.seal(Position::new(1, self.index)).expect("a record");
        assert_eq!(sealed, Sealed::Payloads(1));
        while self.writer.next_payload().expect("a payload").is_some() {}
        self.writer.commit().expect("a commit");
    }

    /// A connection of its own, which may do anything.
    fn intruder(&self) -> Connection {
        let connection = self.files.connect(ConnectionRole::Writer).expect("a connection");
        for (switch, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false),
            (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true),
        ] {
            connection.set_db_config(switch, on).expect("a switch");
        }
        connection
    }

    fn scrub(&self, depth: Depth, rows_max: u64) -> (Vec<Difference>, Progress) {
        let mut scrub = Scrub::start(&self.files, depth).expect("a scrub");
        let mut differences = Vec::new();
        loop {
            match scrub.step(rows_max).expect("a step") {
                Progress::Scanned { rows } => assert!(rows <= rows_max),
                Progress::Differs(difference) => differences.push(difference),
                finished => return (differences, finished),
            }
        }
    }
}

fn names(differences: &[Difference]) -> Vec<&str> {
    differences
        .iter()
        .map(|difference| difference.name.as_str())
        .collect()
}

#[test]
fn a_replica_that_only_records_changed_has_no_difference() {
    let replica = Replica::new();
    for depth in [Depth::Rows, Depth::RowsAndIndexes] {
        for rows_max in [1, 4, 1000] {
            let (differences, finished) = replica.scrub(depth, rows_max);
            assert_eq!(differences, []);
            let Progress::Finished {
                position,
                pages,
                tables,
                rows,
            } = finished
            else {
                panic!("{finished:?}")
            };
            assert_eq!(position, Position::new(1, 1 + ROWS.len() as u64));
            assert!(pages > 9, "{pages} pages");
            // The four tables and the five of FTS5.
            assert!(tables == 9 && rows > 9, "{tables} tables, {rows} rows");
        }
    }
}

#[test]
fn a_change_behind_the_replicas_back_names_its_table() {
    for (sql, table) in [
        ("UPDATE plain SET b = 'y' WHERE a = 1", "plain"),
        ("UPDATE plain SET c = 'now' WHERE a = 1", "plain"),
        ("DELETE FROM keyed WHERE id = 8", "keyed"),
        ("INSERT INTO pairs VALUES ('b', 'b')", "pairs"),
        ("UPDATE sqlite_sequence SET seq = 2", "counted"),
        ("UPDATE words_docsize SET sz = x'05'", "words_docsize"),
    ] {
        let replica = Replica::new();
        replica.intruder().execute_batch(sql).expect(sql);
        let (differences, _) = replica.scrub(Depth::Rows, 2);
        assert_eq!(names(&differences), [table], "{sql}");
        assert!(differences[0].to_string().contains(table), "{}", differences[0]);
    }
}

#[test]
fn a_changed_schema_is_table_zero() {
    let replica = Replica::new();
    replica
        .intruder()
        .execute_batch("DROP INDEX plain_b")
        .expect("no index");
    let (differences, _) = replica.scrub(Depth::Rows, 100);
    assert_eq!(
        differences.iter().map(|found| found.table).collect::<Vec<_>>(),
        [TableId(0)]
    );
}

#[test]
fn indexes_are_looked_at_when_asked() {
    let replica = Replica::new();
    let swap = "UPDATE sqlite_schema SET rootpage = (
                    SELECT sum(rootpage) FROM sqlite_schema WHERE name IN ('plain_a', 'plain_b')) - rootpage
                WHERE name IN ('plain_a', 'plain_b')";
    assert_eq!(replica.intruder().execute(swap, []).expect("a swap"), 2);
    assert_eq!(replica.scrub(Depth::Rows, 100).0, []);
    let (differences, _) = replica.scrub(Depth::RowsAndIndexes, 100);
    assert_eq!(names(&differences), ["plain"]);
    assert!(matches!(differences[0].kind, DifferenceKind::Structure { .. }));
}

#[test]
fn a_busy_writer_is_not_taken_for_a_difference() {
    let mut replica = Replica::new();
    let mut scrub = Scrub::start(&replica.files, Depth::Rows).expect("a scrub");
    for round in 0.. {
        assert!(round < 1000, "the scrub never ends");
        match scrub.step(3).expect("a step") {
            Progress::Scanned { .. } => {}
            Progress::Differs(difference) => panic!("{difference}"),
            Progress::Finished { .. } => break,
        }
        replica.run(&[
            "UPDATE plain SET b = coalesce(b, 0) || 'x'",
            "INSERT INTO counted(x) VALUES (9)",
            "INSERT INTO words VALUES ('more words')",
        ]);
        if round == 2 {
            replica.run(&[
                "CREATE TABLE late(x)",
                "INSERT INTO late VALUES (1)",
                "DROP TABLE pairs",
            ]);
        }
    }
}
