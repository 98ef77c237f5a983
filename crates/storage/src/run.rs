//! Autocommit transactions run as one group.

use bellwether_types::{Column, CommandTag, ErrorKind, RequestId, SqlError, Statement, Value, ValueRef};

use crate::error::StorageError;
use crate::group::{Begin, GroupStart, RowSink};
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
    /// In order; the first error ends them.
    pub statements: Vec<Statement>,
    /// What the session comes with.
    pub session: SessionState,
}

/// What a transaction answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// By statement; of a deduplicated transaction the last one's tag alone.
    pub results: Vec<StatementResult>,
    /// What the session goes on with.
    pub session: SessionState,
    /// Executed before, and not again.
    pub deduplicated: bool,
    /// It was executed before and returned rows then, which are not known any more.
    pub rows_lost: bool,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementResult {
    /// Empty for none.
    pub columns: Vec<Column>,
    /// All rows.
    pub rows: Vec<Vec<Value>>,
    /// The command's tag.
    pub tag: CommandTag,
}

/// Runs autocommit transactions as one group: each in its savepoint, deduplicated; one that fails changes nothing. When
/// one's error loses the group, the others are run again. The group is left open, to be sealed; after an error
/// of this function it is rolled back.
pub fn run_group(
    writer: &mut Writer,
    start: GroupStart,
    transactions: &[ClientTransaction],
) -> Result<Vec<Result<Answer, SqlError>>, StorageError> {
    let mut answers: Vec<Option<Result<Answer, SqlError>>> = vec![None; transactions.len()];
    // Those that lost a group: not run again, or it would be lost again.
    let mut culprits = vec![false; transactions.len()];
    writer.begin_group(start)?;
    let mut next = 0;
    while next < transactions.len() {
        if !culprits[next] {
            answers[next] = Some(run_one(writer, &transactions[next]));
            if writer.is_group_lost() {
                culprits[next] = true;
                writer.rollback()?;
                writer.begin_group(start)?;
                next = 0;
                continue;
            }
        }
        next += 1;
    }
    Ok(answers
        .into_iter()
        .map(|answer| answer.expect("each was run"))
        .collect())
}

fn run_one(writer: &mut Writer, transaction: &ClientTransaction) -> Result<Answer, SqlError> {
    if let Begin::Executed(executed) = writer.begin(transaction.request, transaction.session)? {
        return Ok(Answer {
            results: vec![StatementResult {
                columns: Vec::new(),
                rows: Vec::new(),
                tag: executed.tag,
            }],
            session: transaction.session,
            deduplicated: true,
            rows_lost: executed.returned_rows,
        });
    }
    let mut results = Vec::with_capacity(transaction.statements.len());
    let mut size_bytes = 0;
    for statement in &transaction.statements {
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
    Ok(Answer {
        results,
        session: writer.finish()?,
        deduplicated: false,
        rows_lost: false,
    })
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
