//! Whether a statement does the same at every replica: asked of the compiled statement, before it runs.
//!
//! What a statement is given with its record is the same everywhere: time, chance, the session's counters and facts. The
//! order in which SQLite finds rows is not, in principle: it is the query planner's, which another version may choose
//! otherwise. What depends on it is called unsafe, unless the order is proven to be total.
//!
//! Promises: names of functions come from the compiled statement, so those in triggers, defaults, generated columns, views
//! and CTEs are seen, however they are written. In doubt a statement is unsafe. What is missed all the same is caught by
//! the fingerprints of the tables, when the record is applied.

use std::collections::BTreeMap;

use bellwether_types::replication::StatementsWritten;
use bellwether_types::{ErrorKind, SqlError};

use crate::catalog::Catalog;
use crate::database::Database;
use crate::error::SqliteError;

mod functions;
mod order;
mod program;

use functions::Seen;
use program::Program;

/// Why a statement is not written to the log as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Unsafe {
    /// LIMIT without an order that is total.
    Limit,
    /// Rowids are given to rows in the order of a scan.
    ScanOrderRowids,
    /// Rows that conflict are met in the order of a scan.
    ScanOrderConflicts,
    /// A function's answer depends on the order of its rows.
    OrderDependentFunction,
    /// A sum of reals depends on their order in its last digits.
    RealSum,
    /// A virtual table is read or written.
    VirtualTable,
    /// A function looks at what replicas do not share.
    NodeFunction,
    /// A function that is not known to answer the same everywhere.
    UnknownFunction,
    /// The largest rowid is taken: SQLite draws the next one by chance.
    RowidsExhausted,
    /// Foreign keys are left to later statements of the transaction, which may be rows.
    ForeignKeysPending,
    /// Text and parameters are more than a record may have of one change.
    TooLarge,
}

impl Unsafe {
    /// All of them.
    pub const ALL: [Unsafe; 11] = [
        Unsafe::Limit,
        Unsafe::ScanOrderRowids,
        Unsafe::ScanOrderConflicts,
        Unsafe::OrderDependentFunction,
        Unsafe::RealSum,
        Unsafe::VirtualTable,
        Unsafe::NodeFunction,
        Unsafe::UnknownFunction,
        Unsafe::RowidsExhausted,
        Unsafe::ForeignKeysPending,
        Unsafe::TooLarge,
    ];

    /// As `bellwether.statement_safety` has it.
    pub fn flag(self) -> &'static str {
        match self {
            Unsafe::Limit => "limit",
            Unsafe::ScanOrderRowids => "scan_order_rowids",
            Unsafe::ScanOrderConflicts => "scan_order_conflicts",
            Unsafe::OrderDependentFunction => "order_dependent_function",
            Unsafe::RealSum => "real_sum",
            Unsafe::VirtualTable => "virtual_table",
            Unsafe::NodeFunction => "node_function",
            Unsafe::UnknownFunction => "unknown_function",
            Unsafe::RowidsExhausted => "rowids_exhausted",
            Unsafe::ForeignKeysPending => "foreign_keys_pending",
            Unsafe::TooLarge => "too_large",
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Unsafe::Limit => {
                "LIMIT without ORDER BY on a unique key takes rows in the order in which they are found"
            }
            Unsafe::ScanOrderRowids => "rows are given their rowids in the order in which others are found",
            Unsafe::ScanOrderConflicts => {
                "which rows stay depends on the order in which conflicting rows are found"
            }
            Unsafe::OrderDependentFunction => {
                "a function's answer depends on the order in which its rows are found"
            }
            Unsafe::RealSum => "the last digits of a sum of reals depend on the order of its rows",
            Unsafe::VirtualTable => "a virtual table writes its own tables when it wants to",
            Unsafe::NodeFunction => "a function looks at what the nodes do not share",
            Unsafe::UnknownFunction => "a function is not known to answer the same everywhere",
            Unsafe::RowidsExhausted => "the largest rowid is taken, and SQLite draws the next one by chance",
            Unsafe::ForeignKeysPending => {
                "foreign keys are violated until a later statement of the transaction"
            }
            Unsafe::TooLarge => "its text and parameters are more than 256 MiB",
        }
    }
}

/// What was found out about a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// Why it is unsafe; none: it is safe.
    pub(crate) reasons: Vec<Unsafe>,
    /// It may draw chance.
    pub(crate) draws: bool,
    /// It may ask about the session.
    pub(crate) asks_facts: bool,
    /// It may ask for SQLite's version.
    pub(crate) asks_version: bool,
    /// SQLite may give rowids to rows of tables that are not AUTOINCREMENT.
    pub(crate) gives_rowids: bool,
    /// And to those of tables that are.
    pub(crate) gives_sequence: bool,
}

/// Of one INSERT, UPDATE or DELETE that compiles.
pub(crate) fn judge(database: &Database, catalog: &Catalog, sql: &str) -> Result<Verdict, SqliteError> {
    let program = Program::of(database, sql)?;
    let seen = Seen::of(database, &program)?;
    let mut verdict = Verdict {
        draws: seen.draws,
        asks_facts: seen.asks_facts,
        asks_version: seen.asks_version,
        gives_rowids: program.gives_rowids(false),
        gives_sequence: program.gives_rowids(true),
        reasons: seen.reasons,
    };
    if program.uses_virtual_table {
        verdict.reasons.push(Unsafe::VirtualTable);
    }
    let statement = order::Statement::read(database, catalog, sql);
    if program.limits && (!statement.limits_are_ordered || order::schema_limits(database)?) {
        verdict.reasons.push(Unsafe::Limit);
    }
    // An INSERT … SELECT in a total order meets its rows in that order; what its triggers find is another matter.
    let (main, fired) = (&program.main, &program.fired);
    let is_ordered = statement.source_is_ordered;
    let gives = (main.gives_while_scanning && !is_ordered) || fired.gives_while_scanning;
    if gives && program.gives_any_rowids() {
        verdict.reasons.push(Unsafe::ScanOrderRowids);
    }
    let scans = (main.scans && !is_ordered) || fired.scans;
    if scans && (statement.resolves_conflicts || order::schema_resolves_conflicts(database)?) {
        verdict.reasons.push(Unsafe::ScanOrderConflicts);
    }
    verdict.reasons.sort_unstable();
    verdict.reasons.dedup();
    Ok(verdict)
}

/// How often statements were written as such, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SafetyCounts {
    /// Written as they were.
    pub safe: u64,
    /// By reason: refused, and written as rows.
    pub by_reason: BTreeMap<Unsafe, (u64, u64)>,
}

impl SafetyCounts {
    /// For `bellwether.statement_safety`: first those that are safe, then a line for each reason.
    pub fn lines(&self) -> Vec<StatementsWritten> {
        let safe = StatementsWritten {
            flag: "safe",
            reason: "it does the same at every replica with what stands beside it",
            as_statements: self.safe,
            as_rows: 0,
            refused: 0,
        };
        let line = |reason: Unsafe| {
            let (refused, as_rows) = self.by_reason.get(&reason).copied().unwrap_or_default();
            StatementsWritten {
                flag: reason.flag(),
                reason: reason.reason(),
                as_statements: 0,
                as_rows,
                refused,
            }
        };
        std::iter::once(safe)
            .chain(Unsafe::ALL.into_iter().map(line))
            .collect()
    }
}

/// In a log of statements.
pub(crate) fn refusal(reasons: &[Unsafe]) -> SqlError {
    let mut told = reasons
        .iter()
        .map(|reason| format!("{}: {}.", reason.flag(), reason.reason()));
    let message =
        "the statement might not do the same at every replica, and the log is written in statements";
    SqlError::new(ErrorKind::NotSupported, message)
        .with_detail(told.by_ref().collect::<Vec<_>>().join("\n"))
        .with_hint(
            "ALTER DATABASE … SET bellwether.log_format = 'mixed' sends such statements as rows; 'row' sends all so.",
        )
}
