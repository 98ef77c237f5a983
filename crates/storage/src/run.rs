//! Autocommit transactions run as one group.

use std::sync::Arc;

use bellwether_types::record::Transaction;
use bellwether_types::{
    Column, Durability, ErrorKind, Facts, RequestId, SqlError, Statement, StatementResult, Value, ValueRef,
};

use crate::error::StorageError;
use crate::group::{Begin, GroupStart, RowSink};
use crate::outcome::ruled_out;
use crate::seen::Seen;
use crate::session::SessionState;
use crate::writer::Writer;

/// The most bytes of rows that one client transaction may answer when they are collected: what streams is not
/// bounded so.
pub const RESULT_BYTES_MAX: usize = 64 << 20;

/// A transaction whose statements are all known.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTransaction {
    /// For deduplication.
    pub request: RequestId,
    /// In order; the first error ends them. None at all: see [`ClientTransaction::ruling_out`].
    pub statements: Vec<Statement>,
    /// What the client was answered to the first of them already: they must be answered so again, and their rows are
    /// not collected.
    pub seen: Vec<Seen>,
    /// What the session comes with.
    pub session: SessionState,
    /// Whose session it is.
    pub facts: Arc<Facts>,
    /// When its client is to be answered.
    pub durability: Durability,
}

/// What a transaction answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// By statement, but those answered before; of a deduplicated transaction whose statements answered no rows, or
    /// whose rows are not known, the last one's tag alone.
    pub results: Vec<StatementResult>,
    /// What the session goes on with.
    pub session: SessionState,
    /// Executed before, and not again.
    pub deduplicated: bool,
    /// It was executed before and answered rows then, which were too many to be kept.
    pub rows_lost: bool,
}

/// A group of autocommit transactions under way: each in its savepoint, deduplicated; one that fails changes nothing.
/// When one's error loses the group, the others are run again. It is left open, to be sealed; after an error of any
/// of these functions it is rolled back.
#[derive(Debug)]
pub struct GroupRun {
    start: GroupStart,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    transaction: ClientTransaction,
    answer: Result<Answer, SqlError>,
    /// Not run again, or the group would be lost again.
    has_lost_group: bool,
}

impl ClientTransaction {
    /// That which, instead of a request, makes sure that it never is executed: when it was before, the answer is its.
    pub fn ruling_out(request: RequestId) -> ClientTransaction {
        ClientTransaction {
            request,
            statements: Vec::new(),
            seen: Vec::new(),
            session: SessionState::default(),
            facts: Arc::default(),
            durability: Durability::On,
        }
    }
}

impl GroupRun {
    /// An empty one, open.
    pub fn begin(writer: &mut Writer, start: GroupStart) -> Result<GroupRun, StorageError> {
        writer.begin_group(start)?;
        Ok(GroupRun {
            start,
            members: Vec::new(),
        })
    }

    /// Runs one more.
    pub fn run(&mut self, writer: &mut Writer, transaction: ClientTransaction) -> Result<(), StorageError> {
        let answer = run_one(writer, &transaction);
        self.members.push(Member {
            transaction,
            answer,
            has_lost_group: false,
        });
        let mut latest = self.members.len() - 1;
        while writer.is_group_lost() {
            self.members[latest].has_lost_group = true;
            writer.rollback()?;
            writer.begin_group(self.start)?;
            for (place, member) in self.members.iter_mut().enumerate() {
                if !member.has_lost_group {
                    latest = place;
                    member.answer = run_one(writer, &member.transaction);
                    if writer.is_group_lost() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// How many were run.
    pub fn transactions(&self) -> usize {
        self.members.len()
    }

    /// What each is answered once the group is committed, in the order they were run.
    pub fn into_answers(self) -> Vec<Result<Answer, SqlError>> {
        self.members.into_iter().map(|member| member.answer).collect()
    }
}

/// Runs these as a [`GroupRun`], which is left open.
pub fn run_group(
    writer: &mut Writer,
    start: GroupStart,
    transactions: &[ClientTransaction],
) -> Result<Vec<Result<Answer, SqlError>>, StorageError> {
    let mut group = GroupRun::begin(writer, start)?;
    for transaction in transactions {
        group.run(writer, transaction.clone())?;
    }
    Ok(group.into_answers())
}

fn run_one(writer: &mut Writer, transaction: &ClientTransaction) -> Result<Answer, SqlError> {
    writer.set_facts(&transaction.facts);
    let is_ruling_out = transaction.statements.is_empty();
    match writer.begin(transaction.request, transaction.session)? {
        Begin::Fresh => {}
        Begin::Executed(executed) => return Ok(answered_before(transaction, executed)),
        Begin::RuledOut if is_ruling_out => return Ok(ruled_out_for(transaction, true)),
        Begin::RuledOut => return Err(ruled_out(transaction.request)),
    }
    writer.set_durability(transaction.durability)?;
    if is_ruling_out {
        writer.rule_out()?;
        return Ok(ruled_out_for(transaction, false));
    }
    let mut results = Vec::with_capacity(transaction.statements.len());
    let mut size_bytes = 0;
    let mut seen = transaction.seen.iter();
    for statement in &transaction.statements {
        if let Some(seen) = seen.next() {
            if let Err(error) = writer.repeat(statement, seen) {
                writer.abandon();
                return Err(error);
            }
            continue;
        }
        let mut rows = Collected {
            columns: Vec::new(),
            rows: Vec::new(),
            size_bytes,
        };
        match writer.execute(statement, &mut rows) {
            Ok(tag) => {
                size_bytes = rows.size_bytes;
                results.push(StatementResult {
                    columns: rows.columns,
                    rows: rows.rows,
                    tag,
                });
            }
            Err(error) => {
                writer.abandon();
                return Err(error);
            }
        }
    }
    writer.keep_results(&results)?;
    Ok(Answer {
        results,
        session: writer.finish()?,
        deduplicated: false,
        rows_lost: false,
    })
}

/// As it was, if that is known.
fn answered_before(transaction: &ClientTransaction, executed: Transaction) -> Answer {
    let recalled = executed.result.recall(&executed.tag);
    Answer {
        rows_lost: recalled.is_none(),
        results: recalled.unwrap_or_else(|| vec![StatementResult::without_rows(executed.tag)]),
        session: transaction.session,
        deduplicated: true,
    }
}

/// To whoever wanted it.
fn ruled_out_for(transaction: &ClientTransaction, deduplicated: bool) -> Answer {
    Answer {
        results: Vec::new(),
        session: transaction.session,
        deduplicated,
        rows_lost: false,
    }
}

/// Rows in memory.
struct Collected {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    size_bytes: usize,
}

impl RowSink for Collected {
    fn columns(&mut self, columns: &[Column]) -> Result<(), SqlError> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        let row = values
            .iter()
            .map(|value| value.to_value())
            .collect::<Result<Vec<Value>, SqlError>>()?;
        self.size_bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        if self.size_bytes > RESULT_BYTES_MAX {
            return Err(SqlError::new(
                ErrorKind::ProgramLimit,
                format!("the result is larger than {} MiB", RESULT_BYTES_MAX >> 20),
            )
            .with_hint("Read with a SELECT of its own: its rows are streamed."));
        }
        self.rows.push(row);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bellwether_types::{NodeId, Position, SessionId, Timestamp};

    use super::*;
    use crate::files::{Files, Vfs};
    use crate::group::Sealed;

    fn transaction(session: u128, sequence: u64, statements: &[&str]) -> ClientTransaction {
        ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request: RequestId {
                session: SessionId(session),
                sequence,
            },
            statements: statements.iter().map(|sql| Statement::new(*sql)).collect(),
            session: SessionState::default(),
            facts: Default::default(),
        }
    }

    fn writer(directory: &tempfile::TempDir) -> Writer {
        let files = Files::new(directory.path().join("replica.db"), Vfs::Os);
        Writer::open(&files).expect("a new file")
    }

    /// Runs a group and commits it.
    fn run(writer: &mut Writer, transactions: &[ClientTransaction]) -> Vec<Result<Answer, SqlError>> {
        let next = Position::new(1, writer.position().index.0 + 1);
        let start = GroupStart {
            origin: NodeId(1),
            timestamp: Timestamp(next.index.0),
        };
        let answers = run_group(writer, start, transactions).expect("the group runs");
        if writer.seal(next).expect("it seals") != Sealed::Empty {
            while writer.next_payload().expect("readable").is_some() {}
            writer.commit().expect("it commits");
        }
        let scratch = writer.recompute_fingerprints().expect("readable");
        assert_eq!(writer.fingerprints(), scratch);
        answers
    }

    #[test]
    fn a_full_disk_fails_the_transaction_that_met_it_and_no_other() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut writer = writer(&directory);
        run(&mut writer, &[transaction(1, 1, &["CREATE TABLE t(a)"])])[0]
            .as_ref()
            .expect("a table");
        writer
            .connection
            .database
            .execute("PRAGMA max_page_count = 20")
            .expect("a limit");
        let answers = run(
            &mut writer,
            &[
                transaction(1, 2, &["INSERT INTO t VALUES (1)"]),
                transaction(
                    2,
                    1,
                    &[
                        "INSERT INTO t VALUES (2)",
                        "INSERT INTO t VALUES (randomblob(500000))",
                    ],
                ),
                transaction(3, 1, &["INSERT INTO t VALUES (3)"]),
            ],
        );
        let kinds: Vec<Option<ErrorKind>> = answers
            .iter()
            .map(|answer| answer.as_ref().err().map(|error| error.kind))
            .collect();
        assert_eq!(kinds, [None, Some(ErrorKind::DiskFull), None]);
        let rows = run(&mut writer, &[transaction(1, 3, &["SELECT sum(a) FROM t"])]);
        assert_eq!(
            rows[0].as_ref().expect("a sum").results[0].rows,
            [[Value::Integer(4)]]
        );
    }

    #[test]
    fn an_interrupted_write_fails_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut writer = writer(&directory);
        run(&mut writer, &[transaction(1, 1, &["CREATE TABLE t(a)"])])[0]
            .as_ref()
            .expect("a table");
        let handle = writer.interrupt_handle();
        let endless =
            "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        let lone = transaction(2, 1, &[endless]);
        let answers = std::thread::scope(|scope| {
            scope.spawn(|| {
                let other = RequestId {
                    sequence: 2,
                    ..lone.request
                };
                while !handle.interrupt_request(lone.request) {
                    assert!(!handle.interrupt_request(other));
                    std::thread::yield_now();
                }
                // Our own statements are never hit, however long this goes on.
                for _ in 0..10_000 {
                    handle.interrupt();
                }
            });
            let hit = transaction(4, 1, &["INSERT INTO t VALUES (4)"]);
            run(&mut writer, &[lone.clone(), hit])
        });
        let kind = |place: usize| answers[place].as_ref().err().map(|error: &SqlError| error.kind);
        assert_eq!(kind(0), Some(ErrorKind::Cancelled));
        assert!(matches!(kind(1), None | Some(ErrorKind::Cancelled)));
        let kept = i64::from(kind(1).is_none());
        let answers = run(
            &mut writer,
            &[transaction(
                3,
                1,
                &["INSERT INTO t VALUES (3)", "SELECT count(*) FROM t"],
            )],
        );
        let counted = &answers[0].as_ref().expect("a count").results[1].rows;
        assert_eq!(*counted, [[Value::Integer(1 + kept)]]);
    }
}
