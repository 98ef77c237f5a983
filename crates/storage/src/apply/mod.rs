//! The follower's side: committed entries, in order, become one SQLite transaction per record.
//!
//! Chunks are applied as they arrive, into a transaction that stays open until their record; nobody sees them before
//! its COMMIT. Memory is bounded by one chunk and the largest single change.

use bellwether_types::format::row::Change;
use bellwether_types::format::statement::Step;
use bellwether_types::{
    DecodeError, Decoder, Entry, Fingerprint, Format, LogIndex, Payload, Position, Record, TableId, Term,
};

use rusqlite::ffi;

use crate::apply::row::ApplyStatements;
use crate::capture::Purpose;
use crate::database::VALUE_BYTES_MAX;
use crate::error::{ApplyError, Divergence, SqliteError, StorageError};
use crate::seal;
use crate::writer::{Phase, Writer};

pub(crate) mod row;
pub(crate) mod statement;

/// A change has a row's old key, its new values and its old ones: no change is longer.
pub(crate) const CHANGE_BYTES_MAX: usize = 3 * VALUE_BYTES_MAX as usize + (1 << 20);

/// Chunks that were applied, waiting for their record.
pub(crate) struct Run {
    term: Term,
    last: LogIndex,
    next_chunk: u64,
    /// The beginning of a change whose end is in the next entry.
    rest: Vec<u8>,
    before: statement::Before,
}

/// Whether a payload stands where it says.
fn check_place(expected: Position, entry: &Entry) -> Result<(), ApplyError> {
    if expected == entry.position {
        return Ok(());
    }
    Err(ApplyError::Misplaced {
        expected,
        found: entry.position,
    })
}

impl Writer {
    /// Applies the next committed entry. Entries at or below [`Writer::position`] are skipped; an empty one (a new
    /// leader's first) abandons a run of chunks, and changes nothing but the position: so an image of this replica can
    /// be continued by a log that begins after it. After an error nothing of the record is there.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        if entry.position.index <= self.position.index {
            return Ok(());
        }
        if matches!(self.phase, Phase::Group(_) | Phase::Sealed(_)) {
            return Err(StorageError::OutOfOrder("apply while a group is open").into());
        }
        let result = match entry.payload.is_empty() {
            true => {
                self.discard();
                let timestamp = self.timestamp;
                let passed = self.write_down(entry.position, timestamp, |_| Ok(()));
                passed.map_err(ApplyError::from)
            }
            false => self.apply_payload(entry),
        };
        if result.is_err() {
            self.discard();
        }
        result.map_err(|error| self.blame(error))
    }

    /// SQLite does not always say that it met a page that is not what was written: of a schema that it cannot read it
    /// says that there is no such table. That is no divergence.
    fn blame(&self, error: ApplyError) -> ApplyError {
        match (error, self.files.damage.first()) {
            (ApplyError::Diverged { .. }, Some(fault)) => {
                ApplyError::Storage(StorageError::Sqlite(SqliteError {
                    code: ffi::SQLITE_IOERR_DATA,
                    message: fault.to_string(),
                    offset: None,
                }))
            }
            (error, _) => error,
        }
    }

    /// Abandons a run of chunks whose record will not come.
    pub fn discard(&mut self) {
        if !matches!(self.phase, Phase::Run(_)) {
            return;
        }
        let database = self.connection.database.clone();
        let _gate = database.enter();
        if !database.is_autocommit() {
            let _ = self.connection.internal.rollback.run();
        }
        self.connection.hook.capture().roll_back();
        // The schema may have been another one in the run.
        self.connection.apply = ApplyStatements::default();
        self.phase = Phase::Idle;
    }

    fn apply_payload(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        match Payload::from_bytes(&entry.payload)? {
            Payload::Chunk { sequence, body } => {
                self.enter_run(entry, sequence)?;
                self.apply_body(&body)?;
                if let Phase::Run(run) = &mut self.phase {
                    run.next_chunk += 1;
                    run.last = entry.position.index;
                }
                Ok(())
            }
            Payload::Record(record) => {
                check_place(record.position, entry)?;
                self.enter_run(entry, record.chunks)?;
                self.apply_body(&record.body)?;
                self.end_record(&record)
            }
            Payload::Vacuum {
                position,
                timestamp,
                transaction,
                ..
            } => {
                check_place(position, entry)?;
                self.vacuum(position, timestamp, &transaction)
                    .map_err(|error| match error {
                        StorageError::Diverged { table, kept, found } => ApplyError::Diverged {
                            table,
                            divergence: Divergence::Fingerprint {
                                expected: kept,
                                found,
                            },
                        },
                        error => ApplyError::Storage(error),
                    })
            }
            Payload::Configure {
                position,
                timestamp,
                configuration,
                ..
            } => {
                check_place(position, entry)?;
                Ok(self.configure(position, timestamp, &configuration)?)
            }
        }
    }

    /// Continues the run that has `sequence` chunks so far, or begins one.
    fn enter_run(&mut self, entry: &Entry, sequence: u64) -> Result<(), ApplyError> {
        if sequence == 0 {
            self.discard();
            self.turn_to(Purpose::Apply)?;
            let database = self.connection.database.clone();
            let _gate = database.enter();
            self.connection.internal.begin.run()?;
            self.connection.hook.capture().begin(Purpose::Apply);
            self.phase = Phase::Run(Run {
                term: entry.position.term,
                last: entry.position.index,
                next_chunk: 0,
                rest: Vec::new(),
                before: statement::Before::default(),
            });
            return Ok(());
        }
        match &self.phase {
            Phase::Run(run)
                if run.next_chunk == sequence
                    && run.term == entry.position.term
                    && run.last.next() == entry.position.index =>
            {
                Ok(())
            }
            _ => Err(ApplyError::Nonsense(format!(
                "the entry at {} continues a run of {sequence} chunks that are not there",
                entry.position
            ))),
        }
    }

    /// Applies the changes that are whole.
    fn apply_body(&mut self, body: &[u8]) -> Result<(), ApplyError> {
        let Phase::Run(run) = &mut self.phase else {
            return Err(StorageError::OutOfOrder("no run is open").into());
        };
        let database = self.connection.database.clone();
        let _gate = database.enter();
        let joined = if run.rest.is_empty() {
            None
        } else {
            run.rest.extend_from_slice(body);
            Some(std::mem::take(&mut run.rest))
        };
        let mut input = Decoder::new(joined.as_deref().unwrap_or(body));
        while input.remaining() > 0 {
            let mut ahead = input.clone();
            match Step::decode(&mut ahead) {
                Ok(Step::Images) => run.before.skips = true,
                Ok(Step::NoImages) => {}
                // What the statement after it does.
                Ok(Step::Change(_)) if run.before.skips => {}
                Ok(Step::Change(change)) => {
                    if !matches!(change, Change::Sequence { .. }) {
                        self.connection.set_replays(false)?;
                    }
                    row::apply(&mut self.connection, &change)?;
                }
                Ok(Step::Statement(executed)) => {
                    run.before.skips = false;
                    statement::replay(&mut self.connection, &executed, &mut run.before)?;
                }
                Err(DecodeError::Truncated) => break,
                Err(error) => return Err(error.into()),
            }
            input = ahead;
        }
        if input.remaining() > CHANGE_BYTES_MAX {
            return Err(ApplyError::Nonsense(format!(
                "a change of more than {CHANGE_BYTES_MAX} bytes"
            )));
        }
        run.rest = match joined {
            Some(joined) if input.remaining() == joined.len() => joined,
            _ => input.rest().to_vec(),
        };
        Ok(())
    }

    /// Verifies, writes down, commits.
    fn end_record(&mut self, record: &Record) -> Result<(), ApplyError> {
        if let Phase::Run(run) = &self.phase {
            if !run.rest.is_empty() || run.before.skips {
                return Err(DecodeError::Truncated.into());
            }
            if run.before.sql.is_some() != (record.format == Format::Statement) {
                let format = record.format.name();
                let text = format!("a body that is none of the format {format}");
                return Err(ApplyError::Nonsense(text));
            }
        }
        let database = self.connection.database.clone();
        let _gate = database.enter();
        self.connection.hook.capture().check()?;
        self.verify(record)?;
        seal::write_down(&mut self.connection, record)?;
        self.connection.internal.commit.run()?;
        let mut capture = self.connection.hook.capture();
        capture.check()?;
        capture.commit();
        drop(capture);
        self.notifications.clone_from(&record.notifications);
        self.position = record.position;
        self.timestamp = record.timestamp;
        self.ended_sessions
            .retain(|session| !record.ended_sessions.contains(session));
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Each table that the leader or this replica touched has the leader's sum.
    fn verify(&self, record: &Record) -> Result<(), ApplyError> {
        let capture = self.connection.hook.capture();
        let expected = |table: TableId| {
            let place = record
                .fingerprints
                .binary_search_by_key(&table, |(table, _)| *table);
            place.ok().map(|place| record.fingerprints[place].1)
        };
        let touched = capture.touched().into_iter().map(|(table, _)| table);
        for table in record.fingerprints.iter().map(|(table, _)| *table).chain(touched) {
            let found = capture.sum(table);
            let committed = || capture.sums().get(&table).copied().unwrap_or_default();
            let expected: Fingerprint = expected(table).unwrap_or_else(committed);
            if found != expected {
                let name = capture
                    .catalog()
                    .tables
                    .get(&table)
                    .map(|table| table.name.clone());
                return Err(ApplyError::Diverged {
                    table: name.unwrap_or_default(),
                    divergence: Divergence::Fingerprint { expected, found },
                });
            }
        }
        Ok(())
    }
}
