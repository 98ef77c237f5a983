//! Looks, in the background, for changes that were made behind a replica's back.
//!
//! Reads every page first, by which its checksum is compared ([`crate::pages`]; in the WAL: [`crate::wal`]), also those
//! of indexes and free ones; then every table, computes its fingerprint anew and compares it with the one that records have kept: with
//! the same function, so what differs is the content. Bounded steps; the caller sets the pace.
//!
//! Promises: each table is compared within one read snapshot, so a busy writer is never taken for a divergence.
//! The snapshot is renewed between tables, for while it lasts no checkpoint passes it: the WAL grows by what is
//! written during the scan of [`ROWS_PER_SNAPSHOT`] rows or of the largest table.
//! Does not repair. What indexes say is compared with their tables only when asked ([`Depth::RowsAndIndexes`]).

use std::fmt;
use std::sync::Arc;

use bellwether_types::lexer::quoted_name;
use bellwether_types::{Fingerprint, Position, TableId, ValueRef};

use crate::catalog::{Catalog, Table};
use crate::database::Database;
use crate::error::SqliteError;
use crate::extension::Extended;
use crate::files::{ConnectionRole, Files, OpenError, is_damage_code};
use crate::fingerprint::{self, RowHasher};
use crate::internal;
use crate::statement::Prepared;
use crate::wal::live::{LiveWal, LookError, RottenFrame};

/// Small tables share a snapshot until so many rows were read in it.
pub const ROWS_PER_SNAPSHOT: u64 = 100_000;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every row of every table.
    Rows,
    /// Also that every index agrees with its table and every page of both is well formed (`PRAGMA
    /// integrity_check`). That is one step per table, as long as the table is large.
    RowsAndIndexes,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read.
    Scanned {
        /// Rows read by this step; a page counts as one.
        rows: u64,
    },
    /// A table is not what the log made it. The replica must stop serving and be seeded anew.
    Differs(Difference),
    /// All tables were compared, and agree.
    Finished {
        /// Of the last snapshot.
        position: Position,
        /// Pages compared.
        pages: u64,
        /// Tables compared.
        tables: u64,
        /// Rows read in all.
        rows: u64,
    },
}

/// A table whose content is not what the log made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table; `TableId(0)` is the schema.
    pub table: TableId,
    /// Its name; empty for the schema and for a table that is gone.
    pub name: String,
    /// Of the snapshot in which it was read.
    pub position: Position,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// How a table differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Its rows are others.
    Content {
        /// What the records came to.
        kept: Fingerprint,
        /// What is there.
        found: Fingerprint,
    },
    /// SQLite finds its pages or indexes damaged.
    Structure {
        /// The first complaint of `PRAGMA integrity_check`.
        complaint: String,
    },
}

/// What a replica says of its own content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of the last record applied.
    pub position: Position,
    /// Each table with its name and the fingerprint after that record; `TableId(0)` is the schema.
    pub tables: Vec<(TableId, String, Fingerprint)>,
}

/// A walk over all tables of a replica.
pub struct Scrub {
    // Statements go before the connection.
    walk: Walk,
    scan: Option<Scan>,
    snapshot: Option<Snapshot>,
    database: Arc<Database>,
    depth: Depth,
    hasher: RowHasher,
    /// The table compared last; they go by id.
    last: TableId,
    pages: u64,
    tables: u64,
    rows: u64,
}

/// The walk over the pages, which goes first.
enum Walk {
    /// From this page on, in a snapshot of its own each time.
    From(u32),
    Done,
}

/// One read transaction and what it says about itself.
struct Snapshot {
    position: Position,
    catalog: Catalog,
    kept: std::collections::BTreeMap<TableId, Fingerprint>,
    rows: u64,
}

/// A table that is being read.
struct Scan {
    lines: Prepared,
    table: Arc<Table>,
    sum: Fingerprint,
}

impl Scrub {
    /// Opens a connection; reads nothing yet.
    pub fn start(files: &Files, depth: Depth) -> Result<Scrub, ScrubError> {
        let connection = files.connect(ConnectionRole::Reader)?;
        Ok(Scrub {
            walk: Walk::From(1),
            scan: None,
            snapshot: None,
            database: Database::new(connection, &Extended::default(), ConnectionRole::Reader)?,
            depth,
            hasher: RowHasher::default(),
            last: TableId(0),
            pages: 0,
            tables: 0,
            rows: 0,
        })
    }

    /// Reads up to `rows_max` rows, at least one. After a difference it goes on with the next table.
    pub fn step(&mut self, rows_max: u64) -> Result<Progress, ScrubError> {
        let database = Arc::clone(&self.database);
        let _gate = database.enter();
        let progress = self.advance(rows_max.max(1));
        if !matches!(progress, Ok(Progress::Scanned { .. } | Progress::Differs(_))) {
            self.end_snapshot();
        }
        progress
    }

    /// What records have kept of each table, at the position of a snapshot of now. Not in the middle of a table's scan.
    pub fn kept(&mut self) -> Result<Kept, ScrubError> {
        let database = Arc::clone(&self.database);
        let _gate = database.enter();
        self.end_snapshot();
        let snapshot = self.begin_snapshot()?;
        self.roll_back();
        let name = |table| snapshot.catalog.tables.get(table).map(|table| table.name.clone());
        let tables = snapshot.kept.iter();
        let tables = tables.map(|(table, kept)| (*table, name(table).unwrap_or_default(), *kept));
        Ok(Kept {
            position: snapshot.position,
            tables: tables.collect(),
        })
    }

    fn advance(&mut self, rows_max: u64) -> Result<Progress, ScrubError> {
        let mut rows = 0;
        if let Walk::From(first) = self.walk {
            rows = self.walk_pages(first, rows_max)?;
        }
        while rows < rows_max {
            let Some(scan) = &mut self.scan else {
                if let Some(difference) = self.enter_next_table()? {
                    return Ok(Progress::Differs(difference));
                }
                if self.scan.is_none() {
                    let position = self
                        .snapshot
                        .as_ref()
                        .map_or(Position::ZERO, |snapshot| snapshot.position);
                    return Ok(Progress::Finished {
                        position,
                        pages: self.pages,
                        tables: self.tables,
                        rows: self.rows,
                    });
                }
                continue;
            };
            if scan.lines.step()? {
                let values: Vec<ValueRef<'_>> = (1..scan.lines.column_count())
                    .map(|column| scan.lines.value(column))
                    .collect();
                scan.sum = scan
                    .sum
                    .plus(self.hasher.hash(&scan.table, scan.lines.integer(0), &values));
                rows += 1;
                self.rows += 1;
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.rows += 1;
                }
            } else if let Some(difference) = self.leave_table()? {
                return Ok(Progress::Differs(difference));
            }
        }
        Ok(Progress::Scanned { rows })
    }

    /// Reads so many pages, and answers how many there were. Those that the WAL has are read there, and it is looked at as a whole: what they are in the
    /// main file nobody reads any more.
    fn walk_pages(&mut self, first: u32, pages_max: u64) -> Result<u64, ScrubError> {
        if first == 1 {
            LiveWal::default()
                .look(&self.database.owner())
                .map_err(|error| match error {
                    LookError::Rotten(RottenFrame(frame)) => ScrubError::RottenWal { frame },
                    LookError::Sqlite(code) => ScrubError::Sqlite(SqliteError {
                        code,
                        message: "cannot look at the WAL".to_owned(),
                        offset: None,
                    }),
                })?;
        }
        self.database.execute("BEGIN")?;
        let read = || {
            let mut count = Prepared::internal(&self.database, "PRAGMA main.page_count")?;
            count.step()?;
            let count = u32::try_from(count.integer(0)).unwrap_or(u32::MAX);
            let after = count
                .saturating_add(1)
                .min(first.saturating_add(u32::try_from(pages_max).unwrap_or(u32::MAX)));
            let mut page =
                Prepared::internal(&self.database, "SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
            for number in first..after {
                page.bind(1, ValueRef::Integer(i64::from(number)))?;
                page.step()?;
                page.reset();
            }
            Ok((after, after > count))
        };
        let result: Result<(u32, bool), SqliteError> = read();
        self.roll_back();
        let (after, is_last) = result?;
        self.walk = if is_last { Walk::Done } else { Walk::From(after) };
        let pages = u64::from(after.saturating_sub(first));
        self.pages += pages;
        Ok(pages)
    }

    /// Starts to read the table with the next id, if any. A new snapshot is compared as a whole first: the schema,
    /// and sums kept for tables that are not there.
    fn enter_next_table(&mut self) -> Result<Option<Difference>, ScrubError> {
        if self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.rows >= ROWS_PER_SNAPSHOT)
        {
            self.end_snapshot();
        }
        if self.snapshot.is_none() {
            let snapshot = self.begin_snapshot()?;
            let difference = snapshot.difference_of_tables();
            self.snapshot = Some(snapshot);
            if difference.is_some() {
                return Ok(difference);
            }
        }
        let after = TableId(self.last.0.saturating_add(1));
        let snapshot = self.snapshot.as_ref().expect("begun above");
        let Some(table) = snapshot
            .catalog
            .tables
            .range(after..)
            .next()
            .map(|(_, table)| Arc::clone(table))
        else {
            return Ok(None);
        };
        self.last = table.id;
        let lines = Prepared::internal(&self.database, &fingerprint::scan_statement(&table))?;
        self.scan = Some(Scan {
            lines,
            table,
            sum: Fingerprint::default(),
        });
        Ok(None)
    }

    /// Compares a table that was read to its end.
    fn leave_table(&mut self) -> Result<Option<Difference>, ScrubError> {
        let (Some(Scan { lines, table, sum }), Some(snapshot)) = (self.scan.take(), &self.snapshot) else {
            return Ok(None);
        };
        drop(lines);
        self.tables += 1;
        let found = match table.is_autoincrement {
            true => {
                let sequence = fingerprint::read_sequence(&self.database, &table.name)?;
                sum.plus(fingerprint::of_sequence(table.id, sequence))
            }
            false => sum,
        };
        let kept = snapshot.kept.get(&table.id).copied().unwrap_or_default();
        let kind = if found != kept {
            Some(DifferenceKind::Content { kept, found })
        } else if self.depth == Depth::RowsAndIndexes {
            complaint(&self.database, &table.name)?.map(|complaint| DifferenceKind::Structure { complaint })
        } else {
            None
        };
        Ok(kind.map(|kind| Difference {
            table: table.id,
            name: table.name.clone(),
            position: snapshot.position,
            kind,
        }))
    }

    fn begin_snapshot(&self) -> Result<Snapshot, ScrubError> {
        self.database.execute("BEGIN")?;
        let read = || {
            let mut line = Prepared::internal(&self.database, internal::SELECT_POSITION)?;
            let (position, _) = internal::read_position(&mut line)?;
            let kept = internal::read_fingerprints(&self.database)?;
            let catalog = Catalog::load(&self.database)?.map_err(ScrubError::Catalog)?;
            Ok(Snapshot {
                position,
                catalog,
                kept,
                rows: 0,
            })
        };
        read().inspect_err(|_| self.roll_back())
    }

    fn end_snapshot(&mut self) {
        self.scan = None;
        if self.snapshot.take().is_some() {
            self.roll_back();
        }
    }

    /// Of a read transaction: cannot fail but for what the next statement will say as well.
    fn roll_back(&self) {
        if !self.database.is_autocommit() {
            let _ = self.database.execute("ROLLBACK");
        }
    }
}

impl Snapshot {
    fn difference_of_tables(&self) -> Option<Difference> {
        let difference = |table, kept, found| Difference {
            table,
            name: String::new(),
            position: self.position,
            kind: DifferenceKind::Content { kept, found },
        };
        let schema = self.kept.get(&TableId(0)).copied().unwrap_or_default();
        if schema != self.catalog.schema {
            return Some(difference(TableId(0), schema, self.catalog.schema));
        }
        let is_gone = |table: &TableId| table.0 != 0 && !self.catalog.tables.contains_key(table);
        let (table, kept) = self.kept.iter().find(|(table, _)| is_gone(table))?;
        Some(difference(*table, *kept, Fingerprint::default()))
    }
}

/// What SQLite has to say against a table and its indexes.
fn complaint(database: &Database, table: &str) -> Result<Option<String>, SqliteError> {
    let mut lines = Prepared::internal(
        database,
        &format!("PRAGMA main.integrity_check({})", quoted_name(table)),
    )?;
    if !lines.step()? {
        return Ok(None);
    }
    Ok(lines.string(0).filter(|line| *line != "ok").map(str::to_owned))
}

/// Why a replica cannot be looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScrubError {
    /// It cannot be opened.
    Open(OpenError),
    /// It cannot be read.
    Sqlite(SqliteError),
    /// Its catalog does not fit its schema.
    Catalog(String),
    /// A frame of its WAL is not what was written.
    RottenWal {
        /// Its number, from 1; 0: the WAL's header.
        frame: u32,
    },
}

impl ScrubError {
    /// Whether the replica is damaged: it must stop serving and be seeded anew, as after a [`Difference`].
    pub fn is_damage(&self) -> bool {
        match self {
            ScrubError::Open(error) => error.is_damage(),
            ScrubError::Sqlite(error) => is_damage_code(error.code),
            ScrubError::Catalog(_) | ScrubError::RottenWal { .. } => true,
        }
    }
}

impl From<OpenError> for ScrubError {
    fn from(error: OpenError) -> ScrubError {
        ScrubError::Open(error)
    }
}

impl From<SqliteError> for ScrubError {
    fn from(error: SqliteError) -> ScrubError {
        ScrubError::Sqlite(error)
    }
}

impl fmt::Display for ScrubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScrubError::Open(error) => error.fmt(f),
            ScrubError::Sqlite(error) => write!(f, "cannot read the replica: {error}"),
            ScrubError::RottenWal { frame } => {
                write!(f, "frame {frame} of SQLite's WAL is not what was written")
            }
            ScrubError::Catalog(what) => write!(f, "the catalog does not fit the schema: {what}"),
        }
    }
}

impl std::error::Error for ScrubError {}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.table, self.name.as_str()) {
            (TableId(0), _) => write!(f, "the schema")?,
            (id, "") => write!(f, "table {id}, which is gone,")?,
            (_, name) => write!(f, "table {name:?}")?,
        }
        write!(f, " differs from the log at {}: ", self.position)?;
        match &self.kind {
            DifferenceKind::Content { kept, found } => write!(f, "fingerprint {found}, expected {kept}"),
            DifferenceKind::Structure { complaint } => f.write_str(complaint),
        }
    }
}

#[cfg(test)]
mod tests;
