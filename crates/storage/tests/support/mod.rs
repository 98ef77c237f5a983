//! A leader and a follower, side by side: what one executes, the other applies; then they must be equal.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod mirror;

use bellwether_storage::{
    Answer, ClientTransaction, Files, GroupStart, Reader, Sealed, SessionState, Spill, Vfs, Writer, run_group,
};
use bellwether_types::format::statement::Step;
use bellwether_types::{
    Entry, Fingerprint, LogFormat, NodeId, Payload, Position, Record, RequestId, SessionId, SqlError,
    Statement, StatementResult, TableId, Timestamp, Value, ValueRef,
};

/// Two replicas of one database.
pub struct Pair {
    pub directory: tempfile::TempDir,
    pub leader: Writer,
    pub follower: Writer,
    pub position: Position,
    /// All that was proposed.
    pub log: Vec<Entry>,
    sequence: u64,
    /// Of the session that `run` uses.
    pub session: SessionState,
}

impl Pair {
    pub fn new() -> Pair {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let leader = Writer::open(&files(&directory, "leader")).expect("a new file");
        let follower = Writer::open(&files(&directory, "follower")).expect("a new file");
        Pair {
            directory,
            leader,
            follower,
            position: Position::new(1, 0),
            log: Vec::new(),
            sequence: 0,
            session: SessionState::default(),
        }
    }

    pub fn files(&self, name: &str) -> Files {
        files(&self.directory, name)
    }

    pub fn start(&self) -> GroupStart {
        GroupStart {
            origin: NodeId(1),
            timestamp: Timestamp(self.position.index.0 + 1),
        }
    }

    pub fn request(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId {
            session: SessionId(1_000_000),
            sequence: self.sequence,
        }
    }

    /// One client transaction in a group of its own, committed and applied.
    pub fn try_run(&mut self, statements: &[Statement]) -> Result<Answer, SqlError> {
        let transaction = ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request: self.request(),
            statements: statements.to_vec(),
            session: self.session,
            facts: Default::default(),
        };
        let mut answers = self.run_group(&[transaction]);
        let answer = answers.pop().expect("one answer");
        if let Ok(answer) = &answer {
            self.session = answer.session;
        }
        answer
    }

    /// A group, committed and applied.
    pub fn run_group(&mut self, transactions: &[ClientTransaction]) -> Vec<Result<Answer, SqlError>> {
        let start = self.start();
        let answers = run_group(&mut self.leader, start, transactions).expect("the group runs");
        self.replicate();
        answers
    }

    /// Statements without parameters, as one transaction that must succeed; the last one's result.
    pub fn run(&mut self, statements: &[&str]) -> StatementResult {
        let list: Vec<Statement> = statements.iter().map(|sql| Statement::new(*sql)).collect();
        match self.try_run(&list) {
            Ok(mut answer) => answer.results.pop().expect("a statement"),
            Err(error) => panic!("{statements:?}: {error:?}"),
        }
    }

    /// From here on the log is written so. Answers the statement that says it.
    pub fn write_log(&mut self, format: LogFormat) -> String {
        let sql = format!("PRAGMA bellwether_log_format = {format}");
        self.run(&[&sql]);
        assert_eq!(self.leader.log_format(), format);
        assert_eq!(self.follower.log_format(), format);
        sql
    }

    /// Statements as one transaction that must fail.
    pub fn fail(&mut self, statements: &[&str]) -> SqlError {
        let list: Vec<Statement> = statements.iter().map(|sql| Statement::new(*sql)).collect();
        match self.try_run(&list) {
            Ok(answer) => panic!("{statements:?} did not fail: {answer:?}"),
            Err(error) => error,
        }
    }

    /// Seals the leader's open group, takes its entries.
    pub fn propose(&mut self) -> Vec<Entry> {
        let mut next = self.position;
        next.index = next.index.next();
        let count = match self.leader.seal(next).expect("the group seals") {
            Sealed::Empty => return Vec::new(),
            Sealed::Payloads(count) => count,
        };
        let mut entries = Vec::new();
        while let Some(payload) = self.leader.next_payload().expect("payloads are read back") {
            entries.push(Entry {
                position: next,
                payload,
            });
            next.index = next.index.next();
        }
        assert_eq!(entries.len() as u64, count);
        entries
    }

    /// Seals, commits at the leader, applies at the follower, compares.
    pub fn replicate(&mut self) {
        let entries = self.propose();
        let Some(last) = entries.last() else { return };
        self.leader.commit().expect("the leader commits");
        self.position = last.position;
        for entry in &entries {
            self.follower
                .apply(entry)
                .unwrap_or_else(|error| panic!("{error}: {:#?}", changes(entry)));
        }
        self.log.extend(entries);
        assert_eq!(self.leader.position(), self.position);
        assert_eq!(self.follower.position(), self.position);
        self.check();
    }

    /// Same sums, right sums, same content.
    pub fn check(&mut self) {
        let sums = self.leader.fingerprints();
        assert_eq!(sums, self.follower.fingerprints());
        let expected = without_zeros(sums);
        let scratch = self.leader.recompute_fingerprints().expect("readable");
        assert_eq!(without_zeros(scratch), expected, "leader's sums against its rows");
        let scratch = self.follower.recompute_fingerprints().expect("readable");
        assert_eq!(
            without_zeros(scratch),
            expected,
            "follower's sums against its rows"
        );
        let (leader, follower) = (dump(&self.files("leader")), dump(&self.files("follower")));
        let differing: Vec<_> = leader
            .iter()
            .zip(&follower)
            .filter(|(one, other)| one != other)
            .collect();
        assert!(leader == follower, "(leader, follower): {differing:#?}");
    }

    /// The follower becomes the leader, and the other way round.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.leader, &mut self.follower);
        self.position = Position {
            term: bellwether_types::Term(self.position.term.0 + 1),
            index: self.position.index.next(),
        };
        let empty = Entry {
            position: self.position,
            payload: Default::default(),
        };
        self.leader.apply(&empty).expect("an empty entry");
        self.follower.apply(&empty).expect("an empty entry");
    }

    /// The last record.
    pub fn last_record(&self) -> Box<Record> {
        match Payload::from_bytes(&self.log.last().expect("a record").payload) {
            Ok(Payload::Record(record)) => record,
            other => panic!("not a record: {other:?}"),
        }
    }

    /// The last record's changes, readably.
    pub fn last_changes(&self) -> Vec<String> {
        changes(self.log.last().expect("a record"))
    }
}

pub fn files(directory: &tempfile::TempDir, name: &str) -> Files {
    Files {
        path: directory.path().join(format!("{name}.db")),
        vfs: Vfs::Os,
        spill: Spill::Directory(directory.path().join("spill")),
        extended: Default::default(),
        damage: Default::default(),
    }
}

fn without_zeros(sums: Vec<(TableId, String, Fingerprint)>) -> Vec<(TableId, String, Fingerprint)> {
    sums.into_iter()
        .filter(|(_, _, sum)| *sum != Fingerprint::default())
        .collect()
}

/// Changes of a record without chunks.
pub fn changes(entry: &Entry) -> Vec<String> {
    let Ok(Payload::Record(record)) = Payload::from_bytes(&entry.payload) else {
        return vec!["a chunk".to_owned()];
    };
    let mut input = bellwether_types::Decoder::new(&record.body);
    let mut changes = Vec::new();
    while input.remaining() > 0 {
        match Step::decode(&mut input) {
            Ok(Step::Change(change)) => changes.push(format!("{change:?}")),
            Ok(Step::Statement(executed)) => changes.push(format!("{executed:?}")),
            Ok(step @ (Step::Images | Step::NoImages)) => changes.push(format!("{step:?}")),
            Err(error) => {
                changes.push(error.to_string());
                break;
            }
        }
    }
    changes
}

/// Rows of a query.
pub fn query(reader: &mut Reader, sql: &str) -> Vec<String> {
    let mut cursor = reader
        .open_cursor(&Statement::new(sql))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = Vec::new();
    while cursor.step().unwrap_or_else(|error| panic!("{sql}: {error}")) {
        let values: Vec<String> = (0..cursor.columns().len())
            .map(|place| show(cursor.value(place)))
            .collect();
        rows.push(values.join("|"));
    }
    rows
}

fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("x{bytes:02x?}"),
    }
}

/// Everything that a client can see: schema, rows with their rowids, numbers of the header.
pub fn dump(files: &Files) -> Vec<String> {
    let mut reader = Reader::open(files).expect("a replica");
    let mut lines = query(
        &mut reader,
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_bellwether%' ESCAPE '\\'
         AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY name",
    );
    lines.extend(query(&mut reader, "PRAGMA user_version"));
    lines.extend(query(&mut reader, "PRAGMA application_id"));
    lines.extend(query(&mut reader, "PRAGMA integrity_check"));
    let tables = query(
        &mut reader,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0
         AND name NOT LIKE '\\_bellwether%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY name",
    );
    for table in tables {
        let table: String = table[1..table.len() - 1].replace("\\\"", "\"\"");
        lines.push(format!("-- {table}"));
        if table == "sqlite_sequence" {
            // SQLite goes by the first line of a name, wherever that stands.
            lines.extend(query(
                &mut reader,
                "SELECT name, typeof(seq), seq, min(rowid) > 0 FROM sqlite_sequence GROUP BY name",
            ));
            continue;
        }
        // `quote` shows every byte, also of text that is not UTF-8, and the sign of zero.
        let columns: Vec<String> = query(
            &mut reader,
            &format!("SELECT name FROM pragma_table_xinfo(\"{table}\")"),
        )
        .into_iter()
        .map(|name| {
            let name = name[1..name.len() - 1].replace("\\\"", "\"\"");
            format!("typeof(\"{name}\"), hex(\"{name}\"), hex(quote(\"{name}\"))")
        })
        .collect();
        let columns = columns.join(", ");
        let with_rowid = format!("SELECT rowid, {columns} FROM \"{table}\" ORDER BY 1");
        let rows = match reader.describe(&with_rowid) {
            Ok(_) => query(&mut reader, &with_rowid),
            Err(_) => query(&mut reader, &format!("SELECT {columns} FROM \"{table}\"")),
        };
        lines.extend(rows);
    }
    lines
}

pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}
