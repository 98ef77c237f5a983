//! Our own tables in the user's file: position, fingerprints, requests, the group. (The catalog's is in `catalog`.)
//!
//! Written in the transaction of the record that they tell about. Hidden from clients by the authorizer, in no
//! fingerprint, and never reported by capture.

use std::collections::BTreeMap;

use bellwether_types::record::Transaction;
use bellwether_types::{
    CommandTag, Configuration, Durability, Fingerprint, KeptResult, LogFormat, LogIndex, NodeId, Position,
    RequestId, SessionId, TableId, Term, Timestamp, ValueRef,
};
use bytes::Bytes;
use rusqlite::ffi;

use crate::catalog::Catalog;
use crate::database::Database;
use crate::error::SqliteError;
use crate::statement::Prepared;

const CREATE: [&str; 5] = [
    "CREATE TABLE _bellwether_position(
        one INTEGER PRIMARY KEY CHECK(one = 1),
        term INTEGER NOT NULL, log_index INTEGER NOT NULL, timestamp INTEGER NOT NULL)",
    "INSERT INTO _bellwether_position VALUES (1, 0, 0, 0)",
    "CREATE TABLE _bellwether_fingerprint(table_id INTEGER PRIMARY KEY, sum BLOB NOT NULL)",
    "CREATE TABLE _bellwether_request(
        session BLOB PRIMARY KEY, sequence INTEGER NOT NULL,
        term INTEGER NOT NULL, log_index INTEGER NOT NULL, timestamp INTEGER NOT NULL,
        tag_verb TEXT NOT NULL, tag_rows INTEGER, result) WITHOUT ROWID",
    "CREATE TABLE _bellwether_configuration(node INTEGER PRIMARY KEY, is_voter INTEGER NOT NULL)",
];

/// Reads the position.
pub(crate) const SELECT_POSITION: &str = "SELECT term, log_index, timestamp FROM _bellwether_position";

/// Whether the file has our tables.
pub(crate) fn exists(database: &Database) -> Result<bool, SqliteError> {
    Prepared::internal(
        database,
        "SELECT 1 FROM sqlite_schema WHERE name = '_bellwether_position'",
    )?
    .step()
}

/// Creates our tables, all or none.
pub(crate) fn create(database: &Database) -> Result<(), SqliteError> {
    for sql in CREATE {
        database.execute(sql)?;
    }
    database.execute(Catalog::CREATE)
}

/// The position kept, and the time of its record.
pub(crate) fn read_position(line: &mut Prepared) -> Result<(Position, Timestamp), SqliteError> {
    line.reset();
    line.step()?;
    let position = Position {
        term: Term(line.integer(0).cast_unsigned()),
        index: LogIndex(line.integer(1).cast_unsigned()),
    };
    let timestamp = Timestamp(line.integer(2).cast_unsigned());
    line.reset();
    Ok((position, timestamp))
}

/// Reads the group, a member a line.
pub(crate) const SELECT_CONFIGURATION: &str = "SELECT node, is_voter FROM _bellwether_configuration";

/// The group as the last record that said it did; `None` before the first.
pub(crate) fn read_configuration(mut lines: Prepared) -> Result<Option<Configuration>, SqliteError> {
    let mut configuration = Configuration::default();
    while lines.step()? {
        let node = NodeId(lines.integer(0).cast_unsigned());
        configuration = match lines.integer(1) {
            0 => configuration.with_learner(node),
            _ => configuration.with_voter(node),
        };
    }
    Ok((!configuration.is_empty()).then_some(configuration))
}

/// Replaces the group by this one, within the transaction that is open.
pub(crate) fn write_configuration(
    database: &Database,
    configuration: &Configuration,
) -> Result<(), SqliteError> {
    database.execute("DELETE FROM _bellwether_configuration")?;
    let mut line = Prepared::internal(database, "INSERT INTO _bellwether_configuration VALUES (?1, ?2)")?;
    for node in configuration.members() {
        line.bind(1, integer(node.0))?;
        line.bind(2, integer(configuration.voters.contains(&node).into()))?;
        line.run()?;
    }
    Ok(())
}

/// In what the log is written; rows, until a record says otherwise.
pub(crate) fn read_log_format(database: &Database) -> Result<LogFormat, SqliteError> {
    let sql = "SELECT 1 FROM main.sqlite_schema WHERE name = '_bellwether_log_format'";
    if !Prepared::internal(database, sql)?.step()? {
        return Ok(LogFormat::default());
    }
    let mut line = Prepared::internal(database, "SELECT format FROM _bellwether_log_format")?;
    line.step()?;
    let number = u8::try_from(line.integer(0)).unwrap_or(0);
    LogFormat::from_number(number).map_err(|error| SqliteError {
        code: ffi::SQLITE_CORRUPT,
        message: format!("the log's format: {error}"),
        offset: None,
    })
}

/// Replaces it, within the transaction that is open.
pub(crate) fn write_log_format(database: &Database, format: LogFormat) -> Result<(), SqliteError> {
    database.execute(
        "CREATE TABLE IF NOT EXISTS _bellwether_log_format(
            one INTEGER PRIMARY KEY CHECK(one = 1), format INTEGER NOT NULL)",
    )?;
    let sql = "INSERT OR REPLACE INTO _bellwether_log_format VALUES (1, ?1)";
    let mut line = Prepared::internal(database, sql)?;
    line.bind(1, ValueRef::Integer(format.number().into()))?;
    line.run()
}

/// All sums kept.
pub(crate) fn read_fingerprints(database: &Database) -> Result<BTreeMap<TableId, Fingerprint>, SqliteError> {
    let mut sums = BTreeMap::new();
    let mut lines = Prepared::internal(database, "SELECT table_id, sum FROM _bellwether_fingerprint")?;
    while lines.step()? {
        let table = TableId(u32::try_from(lines.integer(0)).unwrap_or(0));
        let ValueRef::Blob(bytes) = lines.value(1) else {
            continue;
        };
        let Ok(bytes) = <[u8; 16]>::try_from(bytes) else {
            continue;
        };
        sums.insert(table, Fingerprint(u128::from_le_bytes(bytes)));
    }
    Ok(sums)
}

fn integer(value: u64) -> ValueRef<'static> {
    ValueRef::Integer(value.cast_signed())
}

/// A kept result as its column has it: nothing, the bytes, or a zero for what was too large.
fn result_column(result: &KeptResult) -> ValueRef<'_> {
    match result {
        KeptResult::TagAlone => ValueRef::Null,
        KeptResult::Rows(bytes) => ValueRef::Blob(bytes),
        KeptResult::TooLarge => ValueRef::Integer(0),
    }
}

/// What [`result_column`] made.
fn kept_result(column: ValueRef<'_>) -> KeptResult {
    match column {
        ValueRef::Null => KeptResult::TagAlone,
        ValueRef::Blob(bytes) => KeptResult::Rows(Bytes::copy_from_slice(bytes)),
        _ => KeptResult::TooLarge,
    }
}

/// Statements on our tables that the hot path needs, compiled once.
pub(crate) struct InternalStatements {
    pub(crate) begin: Prepared,
    pub(crate) commit: Prepared,
    pub(crate) rollback: Prepared,
    /// Of a client's transaction.
    pub(crate) savepoint: Prepared,
    pub(crate) release: Prepared,
    pub(crate) rollback_to: Prepared,
    position: Prepared,
    fingerprint: Prepared,
    no_fingerprint: Prepared,
    find_request: Prepared,
    request: Prepared,
    no_request: Prepared,
    sequences: Prepared,
}

impl InternalStatements {
    pub(crate) fn prepare(database: &Database) -> Result<InternalStatements, SqliteError> {
        let prepare = |sql| Prepared::internal(database, sql);
        Ok(InternalStatements {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            rollback: prepare("ROLLBACK")?,
            savepoint: prepare("SAVEPOINT transaction_")?,
            release: prepare("RELEASE transaction_")?,
            rollback_to: prepare("ROLLBACK TO transaction_")?,
            position: prepare("UPDATE _bellwether_position SET term = ?1, log_index = ?2, timestamp = ?3")?,
            fingerprint: prepare("INSERT OR REPLACE INTO _bellwether_fingerprint VALUES (?1, ?2)")?,
            no_fingerprint: prepare("DELETE FROM _bellwether_fingerprint WHERE table_id = ?1")?,
            find_request: prepare(
                "SELECT sequence, tag_verb, tag_rows, result FROM _bellwether_request WHERE session = ?1",
            )?,
            request: prepare(
                "INSERT OR REPLACE INTO _bellwether_request VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            no_request: prepare("DELETE FROM _bellwether_request WHERE session = ?1")?,
            // Absent until the first AUTOINCREMENT table: compiled again when it is needed.
            sequences: prepare("SELECT 1")?,
        })
    }

    pub(crate) fn write_position(
        &mut self,
        position: Position,
        timestamp: Timestamp,
    ) -> Result<(), SqliteError> {
        self.position.bind(1, integer(position.term.0))?;
        self.position.bind(2, integer(position.index.0))?;
        self.position.bind(3, integer(timestamp.0))?;
        self.position.run()
    }

    /// Of a table that is there, or (`None`) no more.
    pub(crate) fn write_fingerprint(
        &mut self,
        table: TableId,
        sum: Option<Fingerprint>,
    ) -> Result<(), SqliteError> {
        let id = ValueRef::Integer(i64::from(table.0));
        let Some(sum) = sum else {
            self.no_fingerprint.bind(1, id)?;
            return self.no_fingerprint.run();
        };
        self.fingerprint.bind(1, id)?;
        self.fingerprint.bind(2, ValueRef::Blob(&sum.0.to_le_bytes()))?;
        self.fingerprint.run()
    }

    /// The last transaction of a request's session. What it answered is read only of that request itself: it may be
    /// large.
    pub(crate) fn find_request(&mut self, request: RequestId) -> Result<Option<Transaction>, SqliteError> {
        self.find_request
            .bind(1, ValueRef::Blob(&request.session.0.to_le_bytes()))?;
        let line = &mut self.find_request;
        let found = line.step()?.then(|| Transaction {
            request: RequestId {
                sequence: line.integer(0).cast_unsigned(),
                ..request
            },
            tag: CommandTag {
                verb: line.string(1).unwrap_or_default().to_owned(),
                rows: match line.value(2) {
                    ValueRef::Integer(rows) => Some(rows.cast_unsigned()),
                    _ => None,
                },
            },
            result: match line.integer(0).cast_unsigned() == request.sequence {
                true => kept_result(line.value(3)),
                false => KeptResult::TooLarge,
            },
            // Whoever retries says it anew.
            durability: Durability::default(),
            body_bytes: 0,
        });
        line.reset();
        Ok(found)
    }

    pub(crate) fn write_request(
        &mut self,
        transaction: &Transaction,
        position: Position,
        timestamp: Timestamp,
    ) -> Result<(), SqliteError> {
        let line = &mut self.request;
        line.bind(1, ValueRef::Blob(&transaction.request.session.0.to_le_bytes()))?;
        line.bind(2, integer(transaction.request.sequence))?;
        line.bind(3, integer(position.term.0))?;
        line.bind(4, integer(position.index.0))?;
        line.bind(5, integer(timestamp.0))?;
        line.bind(6, ValueRef::Text(transaction.tag.verb.as_bytes()))?;
        line.bind(7, transaction.tag.rows.map_or(ValueRef::Null, integer))?;
        line.bind(8, result_column(&transaction.result))?;
        line.run()
    }

    pub(crate) fn forget_request(&mut self, session: SessionId) -> Result<(), SqliteError> {
        self.no_request
            .bind(1, ValueRef::Blob(&session.0.to_le_bytes()))?;
        self.no_request.run()
    }

    /// The lines of `sqlite_sequence`, by table name; of several of one name SQLite uses the first.
    pub(crate) fn read_sequences(
        &mut self,
        database: &Database,
    ) -> Result<BTreeMap<String, i64>, SqliteError> {
        let mut found = BTreeMap::new();
        if self.sequences.column_count() != 2 {
            let sql = "SELECT name, CAST(seq AS INTEGER) FROM sqlite_sequence ORDER BY rowid";
            self.sequences = Prepared::internal(database, sql)?;
        }
        while self.sequences.step()? {
            let Some(name) = self.sequences.string(0) else {
                continue;
            };
            found.entry(name.to_owned()).or_insert(self.sequences.integer(1));
        }
        self.sequences.reset();
        Ok(found)
    }
}
