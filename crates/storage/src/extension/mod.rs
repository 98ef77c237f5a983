//! Functions and virtual tables of [`bellwether_types::extension`], on a replica's connections.
//!
//! The tables of a namespace stand in a database in memory that every connection attaches under the namespace's
//! name, so SQLite itself resolves `pg_class`, `pg_catalog.pg_class` and `pg_catalog.pg_class.oid`; a table of the
//! client's goes before one of the same name there. The database's file, its log and its fingerprints know nothing
//! of them. A statement that reads one reads the client's database in the same snapshot.
//!
//! Promises: a statement sees one schema from its beginning to its end, its own transaction's changes included; the
//! schema is read from SQLite once while it stays the same, for all connections of a replica. Views and triggers of
//! the client's cannot name these tables: SQLite keeps them within their own database.

mod declared;
mod functions;
mod ids;
mod image;
mod kept;
mod read;
mod tables;

#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bellwether_types::record::NOTIFICATIONS_BYTES_MAX;
use bellwether_types::{Call, ErrorKind, Extension, Facts, Notification, SizeOf, SqlError, Value, ValueRef};
use rusqlite::{Connection, ffi};

use crate::authorizer::{self, OwnScope};
use crate::error::SqliteError;
use crate::files::ConnectionRole;
use crate::statement::Prepared;
use image::Image;
use kept::Kept;

/// What the connections of a replica are extended by, and what they share of it. Clones share.
#[derive(Debug, Clone, Default)]
pub struct Extended {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    extension: &'static Extension,
    /// One per namespace.
    images: OnceLock<Vec<Image>>,
    /// The schema last read from committed state.
    kept: Mutex<Option<Arc<Kept>>>,
}

impl Extended {
    /// By these functions and tables.
    pub fn by(extension: &'static Extension) -> Extended {
        Extended {
            shared: Some(Arc::new(Shared {
                extension,
                images: OnceLock::new(),
                kept: Mutex::default(),
            })),
        }
    }

    /// Functions that any connection needs to make sense of the schema: indexes and generated columns use them.
    pub(crate) fn register_pure(&self, connection: &Connection) -> rusqlite::Result<()> {
        match &self.shared {
            Some(shared) => functions::register_pure(connection, shared.extension),
            None => Ok(()),
        }
    }

    /// All of it, for a connection that runs clients' statements.
    pub(crate) fn attach(
        &self,
        connection: &Connection,
        role: ConnectionRole,
    ) -> rusqlite::Result<Option<Arc<Attached>>> {
        let Some(shared) = &self.shared else {
            return Ok(None);
        };
        // SAFETY: used only while the connection is open.
        let handle = unsafe { connection.handle() };
        let attached = Arc::new(Attached {
            handle,
            shared: Arc::clone(shared),
            is_writer: role == ConnectionRole::Writer,
            asking: Mutex::default(),
            notified: Mutex::default(),
            #[cfg(test)]
            rows_visited: std::sync::atomic::AtomicUsize::new(0),
        });
        // SAFETY: an open connection; its `Database` keeps `attached` until after it closed it.
        unsafe {
            functions::register(connection, &attached)?;
            tables::register(connection, &attached)?;
        }
        for image in shared.images()? {
            image.attach(connection)?;
        }
        Ok(Some(attached))
    }
}

impl Shared {
    fn images(&self) -> rusqlite::Result<&[Image]> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let built = image::build(self.extension)?;
        Ok(self.images.get_or_init(|| built))
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection's functions and tables look at. Used by the thread that uses the connection.
#[derive(Debug)]
pub(crate) struct Attached {
    handle: *mut ffi::sqlite3,
    shared: Arc<Shared>,
    /// Sees changes of the schema that may be rolled back.
    is_writer: bool,
    asking: Mutex<Asking>,
    /// By the statement that runs, which may; `None`: it may not.
    notified: Mutex<Option<Notified>>,
    #[cfg(test)]
    rows_visited: std::sync::atomic::AtomicUsize,
}

// SAFETY: the handle is used only inside callbacks, that is by the one thread that holds the connection's gate.
unsafe impl Send for Attached {}
// SAFETY: as above.
unsafe impl Sync for Attached {}

/// Who asks, and what the statement sees.
#[derive(Debug, Default)]
struct Asking {
    facts: Arc<Facts>,
    /// Of the statement that runs.
    pinned: Option<Arc<Kept>>,
    /// Of an earlier one, with SQLite's number of the schema's version.
    last: Option<(i64, Arc<Kept>)>,
}

/// What a statement tells to listeners.
#[derive(Debug, Default)]
struct Notified {
    notifications: Vec<Notification>,
    size_bytes: usize,
}

impl Attached {
    /// The statement that runs next may notify, or not any more. What the one before has told.
    pub(crate) fn take_notified(&self, may_go_on: bool) -> Vec<Notification> {
        let next = may_go_on.then(Notified::default);
        let mut notified = self.notified.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *notified, next)
            .map(|notified| notified.notifications)
            .unwrap_or_default()
    }

    /// In bytes. Reads every page of a tree, and can be interrupted meanwhile.
    fn size(&self, of: &SizeOf) -> Result<Value, SqliteError> {
        let (sql, name) = match of {
            SizeOf::Database => (
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                None,
            ),
            SizeOf::Tree(name) => (
                "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1",
                Some(name),
            ),
            SizeOf::Indexes(name) => (
                "SELECT coalesce(sum(pgsize), 0) FROM sqlite_schema AS s CROSS JOIN dbstat AS d
                 WHERE s.type = 'index' AND s.tbl_name = ?1 AND d.name = s.name",
                Some(name),
            ),
            SizeOf::Table(name) => (
                "SELECT coalesce(sum(pgsize), 0) FROM sqlite_schema AS s CROSS JOIN dbstat AS d
                 WHERE s.rootpage > 0 AND s.tbl_name = ?1 AND d.name = s.name",
                Some(name),
            ),
        };
        let _scope = OwnScope::enter();
        let mut measured = Prepared::on(self.handle, sql)?;
        if let Some(name) = name {
            measured.bind(1, ValueRef::Text(name.as_bytes()))?;
        }
        measured.step()?;
        Ok(Value::Integer(measured.integer(0)))
    }

    fn notify(&self, notification: Notification) -> Result<Value, SqlError> {
        let nothing = Value::Text(String::new());
        if !authorizer::is_clients() {
            // A schema statement that is applied: its sender's node has told it.
            return Ok(nothing);
        }
        let mut notified = self.notified.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(notified) = &mut *notified else {
            let message = "notifications cannot be sent by a statement that only reads";
            return Err(SqlError::new(ErrorKind::ReadOnly, message)
                .with_hint("Call pg_notify() in the statement itself, not in a view, or use NOTIFY."));
        };
        if notified.notifications.last() == Some(&notification) {
            // Told once for a transaction anyhow.
            return Ok(nothing);
        }
        notified.size_bytes += notification.size_bytes();
        if notified.size_bytes > NOTIFICATIONS_BYTES_MAX {
            return Err(too_many_notifications());
        }
        notified.notifications.push(notification);
        Ok(nothing)
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Statements are this session's from here on.
    pub(crate) fn set_facts(&self, facts: &Arc<Facts>) {
        let mut asking = self.asking();
        if !Arc::ptr_eq(&asking.facts, facts) {
            asking.facts = Arc::clone(facts);
        }
    }

    /// Whose statements run.
    pub(crate) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.asking().facts)
    }

    /// What a function sees, if it is one of the extension's.
    pub(crate) fn call(&self, name: &str) -> Option<Call> {
        let mut functions = self.shared.extension.functions();
        let found = functions.find(|function| function.name.eq_ignore_ascii_case(name));
        found.map(|function| function.call)
    }

    /// A statement begins: it may see another schema than the one before.
    pub(crate) fn begin_statement(&self) {
        self.asking().pinned = None;
    }

    /// The schema as the running statement sees it.
    fn kept(&self) -> Result<Arc<Kept>, SqliteError> {
        let (facts, last) = {
            let asking = self.asking();
            if let Some(pinned) = &asking.pinned {
                return Ok(Arc::clone(pinned));
            }
            (Arc::clone(&asking.facts), asking.last.clone())
        };
        // What it reads is not asked about, whosever statement runs.
        let _scope = OwnScope::enter();
        let reading = read::Reading::begin(self.handle)?;
        let version = reading.version();
        let kept = match last {
            // Committed states have a version each; what a writer rolls back may share one.
            Some((seen, kept))
                if seen == version && !self.is_writer && kept.schema.database() == facts.database =>
            {
                kept
            }
            _ => self.find(&reading, &facts.database)?,
        };
        let mut asking = self.asking();
        asking.last = Some((version, Arc::clone(&kept)));
        asking.pinned = Some(Arc::clone(&kept));
        Ok(kept)
    }

    /// Known to another connection, or to this one before; else read.
    fn find(&self, reading: &read::Reading, database: &str) -> Result<Arc<Kept>, SqliteError> {
        let found = reading.objects()?;
        let last = self.asking().last.as_ref().map(|(_, kept)| Arc::clone(kept));
        let shared = self.shared.kept().clone();
        let is_same = |kept: &Arc<Kept>| kept.digest == found.digest && kept.schema.database() == database;
        if let Some(known) = [last, shared].into_iter().flatten().find(is_same) {
            return Ok(known);
        }
        let digest = found.digest;
        let schema = reading.schema(found, database)?;
        let kept = Arc::new(Kept::new(digest, schema, self.shared.extension));
        if !self.is_writer {
            *self.shared.kept() = Some(Arc::clone(&kept));
        }
        Ok(kept)
    }
}

/// More than a record takes.
pub(crate) fn too_many_notifications() -> SqlError {
    let message = "too many notifications";
    SqlError::new(ErrorKind::ProgramLimit, message)
        .with_detail(format!(
            "Transactions that are committed together may notify with {} KiB.",
            NOTIFICATIONS_BYTES_MAX >> 10
        ))
        .with_hint("Notify of less, in smaller transactions; or write rows, and notify that they are there.")
}

/// SQLite's name of an object of ours.
fn c_string(text: &str) -> CString {
    CString::new(text).expect("names of ours have no zero byte")
}
